"""The table of what falls by how much when a category is made harder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmark.data.corruptions import CORRUPTIONS
from benchmark.data.stress import Stress, corruption
from benchmark.errors import SettingsError, StoreError, unknown
from benchmark.metrics.names import METRICS
from benchmark.records.names import short_names
from benchmark.records.select import block_title, blocks, category_groups
from benchmark.tables.grid import Grid, Row, words
from benchmark.tables.live import Value, over_seeds

if TYPE_CHECKING:
    import pandas as pd

AXES = ("shots", "contaminate", *CORRUPTIONS)


@dataclass(frozen=True)
class Stressed:
    """What was run of one protocol, clean and harder.

    Attributes:
        title: of the block.
        categories: those that every variant shown has.
        clean: the records of the protocol itself; may be empty.
        harder: per axis its variants from mild to hard: amount and records.
    """

    title: str
    categories: list[str]
    clean: pd.DataFrame
    harder: dict[str, list[tuple[float, pd.DataFrame]]]

    @property
    def names(self) -> list[str]:
        """The configurations of which there is a harder variant."""
        found = (rows for variants in self.harder.values() for _, rows in variants)
        return sorted({str(name) for rows in found for name in rows["name"]})


def stressed(frame: pd.DataFrame) -> Iterator[Stressed]:
    """Sort records by protocol, axis and amount.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`.

    Raises:
        StoreError: none of them was made harder.
    """
    list(blocks(frame))  # one category under one name, or an error that says so
    ways = frame["stress"].map(lambda values: Stress.from_json(values))
    base = [
        protocol.removesuffix(way.label)
        for protocol, way in zip(frame["protocol"], ways, strict=True)
    ]
    frame = frame.assign(way=ways, base=base)
    found = False
    for _, part in frame.groupby(["dataset", "base", "window"], sort=True):
        clean = part[part["way"] == Stress()]
        harder: dict[str, list[tuple[float, pd.DataFrame]]] = {}
        order = [c for _, group in category_groups(part) for c in group]
        shared = set(order)
        for way in dict.fromkeys(part["way"]):
            if way == Stress():
                continue
            rows = part[part["way"] == way]
            axis, amount = place(way)
            harder.setdefault(axis, []).append((amount, rows))
            for _, same in rows.groupby("name"):
                shared &= set(same["category"])
        if not harder:
            continue
        found = True
        variants = {
            axis: sorted(harder[axis], key=lambda v: v[0], reverse=axis == "shots")
            for axis in AXES
            if axis in harder
        }
        row = part.iloc[0].copy()
        row["protocol"] = row["base"]
        title = block_title(row)
        yield Stressed(title, [c for c in order if c in shared], clean, variants)
    if not found:
        raise StoreError(
            "no record of a harder variant; make some with bench run --shots 1 4 16, --contaminate "
            ".05 .1 or --corrupt noise:1-5 blur:1-5"
        )


def place(way: Stress) -> tuple[str, float]:
    """Return the axis that a variant lies on, and where.

    >>> place(Stress(shots=4)), place(Stress(corrupt="noise:3"))
    (('shots', 4.0), ('noise', 3.0))
    """
    if way.corrupt:
        kind, strength = corruption(way.corrupt)
        return kind, float(strength)
    return ("shots", float(way.shots)) if way.shots else ("contaminate", way.contaminate)


def stress(frame: pd.DataFrame, metrics: Sequence[str] = ("image_auroc",)) -> list[Grid]:
    """Make one block per metric and protocol: variants × configurations, each with what it lost.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`.
        metrics: names of metrics.

    Raises:
        SettingsError: no such metric.
        StoreError: no record of a harder variant.
    """
    for metric in metrics:
        if metric not in METRICS:
            raise SettingsError(unknown("metric", metric, METRICS))
    return [_grid(found, metric) for metric in metrics for found in stressed(frame)]


def _grid(found: Stressed, metric: str) -> Grid:
    import pandas as pd

    names = found.names
    labels = short_names(pd.concat([rows for part in found.harder.values() for _, rows in part]))
    clean = {name: _value(found.clean, name, metric, found.categories) for name in names}
    rows = [Row(tuple(map(words, ("clean", *(clean[name].text() for name in names)))))]
    for axis, variants in found.harder.items():
        rows.append(Row((words(_axis(axis)),), "group"))
        for amount, part in variants:
            texts = [_amount(axis, amount)]
            for name in names:
                value = _value(part, name, metric, found.categories)
                lost = value.mean - clean[name].mean
                sign = f" ({lost:+.3f})".replace("-", "−") if not math.isnan(lost) else ""
                texts.append(value.text() + sign)
            rows.append(Row(tuple(map(words, texts))))
    notes = [
        (
            f"Averages over {', '.join(found.categories) or 'no category that all variants have'}; in "
            "parentheses the difference from the clean row."
        )
    ]
    if any(axis in CORRUPTIONS for axis in found.harder):
        notes.append(
            "Corrupted test images, good and defective alike, are judged by the clean detector with "
            "the clean threshold."
        )
    heads = [words("Variant"), *(replace(words(labels.of[name]), full=name) for name in names)]
    return Grid(
        f"Stress, {metric}: {found.title}",
        [heads],
        rows,
        notes,
        above=labels.shared,
        legend=labels.sentences(),
    )


def _value(rows: pd.DataFrame, name: str, metric: str, categories: Sequence[str]) -> Value:
    same = rows[rows["name"] == name]
    if same.empty or not categories:
        return Value(math.nan)
    return over_seeds(same, metric, categories)


def _axis(axis: str) -> str:
    texts = {"shots": "training images", "contaminate": "defective images moved into the training"}
    return texts.get(axis, f"{axis}, strength")


def _amount(axis: str, amount: float) -> str:
    return f"{amount:.3g}" if axis != "contaminate" else f"{amount:.0%} of the test's"
