"""Which records a table is made from, and what may be compared with what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.errors import BenchError, StoreError, unknown
from benchmark.plugins.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

FEW = 10
"""Test images of a kind below which tables and the report say how many stand behind a number: with
10 good ones, one of them moves an AUROC by up to 0.1."""
COMPARABLE = ["dataset", "protocol", "window"]
"""A ranking has one value of each: numbers of another data set, protocol or evaluation geometry
stand in a block of their own."""


def choose(
    frame: pd.DataFrame,
    *,
    dataset: str | None = None,
    protocol: str | None = None,
    methods: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Choose the finished records that were asked for, each cell once.

    Args:
        frame: from :func:`benchmark.load_results`.
        dataset, protocol: as in the results folder; None for all.
        methods: names of methods, or readable names of configurations.
        categories: their names; None for all.
        seeds: None for all.

    Raises:
        StoreError: nothing is left, or two folders hold different results of one cell.
        SettingsError: a name that no record has.
    """
    for column, wanted in (("dataset", dataset), ("protocol", protocol)):
        if wanted is not None:
            frame = frame[frame[column] == _known(column, wanted, frame)]
    if categories:
        for name in categories:
            _known("category", name, frame)
        frame = frame[frame["category"].isin(categories)]
    if methods:
        for name in methods:
            _known("method", name, frame, "name")
        frame = frame[frame["method"].isin(methods) | frame["name"].isin(methods)]
    if seeds:
        for seed in seeds:
            _known("seed", str(seed), frame)
        frame = frame[frame["seed"].isin(seeds)]
    done = frame[frame["status"] == "ok"]
    if done.empty:
        raise StoreError(
            "no finished record to make a table from"
            + (f" ({len(frame)} failed; see their files)" if len(frame) else "")
            + "; run something first (bench run), or name the folder with --results DIR"
        )
    return each_once(done)


def each_once(frame: pd.DataFrame) -> pd.DataFrame:
    """Drop copies of a cell found in several folders; refuse versions that differ."""
    from benchmark.metrics.names import METRICS

    cell = ["dataset", "protocol", "config", "category", "seed"]
    for _, copies in frame[frame.duplicated(cell, keep=False)].groupby(cell):
        # a metric that one of them lacks is newer than that record
        values = copies[list(METRICS)].dropna(axis="columns").round(9)
        if len(values.drop_duplicates()) > 1 or copies["data"].nunique(dropna=False) > 1:
            raise StoreError(
                "two records of one cell hold different results:\n  "
                + "\n  ".join(copies["path"])
                + "\npass only one of their folders as --results"
            )
    return frame.drop_duplicates(cell)


def blocks(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the parts of a frame within which numbers may be ranked, each with a heading.

    Raises:
        StoreError: one category with two contents under the same name.
    """
    for (dataset, _, _), part in frame.groupby(COMPARABLE, sort=True):
        for category, same in part.groupby("category"):
            if same["data"].nunique() > 1:
                one = same.drop_duplicates("data")
                raise StoreError(
                    f"{dataset} {category}: these records were made from different images:\n  "
                    + "\n  ".join(one["path"])
                    + "\nkeep them apart with --results or --methods (and with --name when running)"
                )
        yield block_title(part.iloc[0]), part


def block_title(row: pd.Series[Any]) -> str:
    """Say what the numbers of a block have in common."""
    return f"{row['dataset']}, protocol {row['protocol']}, {row['window']}"


def few_images(frame: pd.DataFrame) -> list[str]:
    """List in one sentence the categories with fewer than FEW good or defective test images, if
    any."""
    texts = []
    for category, rows in frame.groupby("category", sort=False):
        good, defective = rows["good_images"].min(), rows["defective_images"].min()
        if good < FEW or defective < FEW:
            texts.append(f"{category} ({good:.0f} good, {defective:.0f} defective)")
    texts = sorted(texts)
    return [f"Few test images stand behind the numbers of {', '.join(texts)}."] if texts else []


def rankable(frame: pd.DataFrame, categories: Iterable[str]) -> bool:
    """Tell whether the test images can show which configuration is better: at least two of each
    kind in every category."""
    rows = frame[frame["category"].isin(list(categories))]
    return not ((rows["good_images"] < 2) | (rows["defective_images"] < 2)).any()


def category_groups(part: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """List the block's categories in the data set's own order, under its named groups."""
    present = list(part["category"].unique())
    groups: list[tuple[str, list[str]]] = []
    try:
        known = Registry().dataset(part["source"].iloc[0])
        groups = [(k, [c for c in v if c in present]) for k, v in known.groups.items()]
    except BenchError:  # a plugin's data set: its records are enough for a table
        pass
    grouped = [c for _, members in groups for c in members]
    rest = sorted((c for c in present if c not in grouped), key=_natural)
    return [(k, v) for k, v in groups if v] + ([("", rest)] if rest else [])


def _natural(text: str) -> tuple[bool, int, str]:
    return not text.isdigit(), int(text) if text.isdigit() else 0, text


def _known(column: str, wanted: str, frame: pd.DataFrame, other: str | None = None) -> str:
    names = set(map(str, frame[column])) | (set(frame[other]) if other else set())
    if wanted not in names:
        word = {"dataset": "data set", "protocol": "protocol"}.get(column, column)
        raise StoreError(f"among these records: {unknown(word, wanted, names)}")
    return wanted
