"""Tables of ranks: which methods the categories tell apart, and what the order hangs on."""

from __future__ import annotations

import string
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmark.errors import RecordWarning, SettingsError, StoreError, unknown
from benchmark.metrics.names import METRICS, SHOWN
from benchmark.records.decide import at_threshold
from benchmark.records.names import short_names
from benchmark.records.select import blocks, category_groups, rankable
from benchmark.statistics.agreement import agreement
from benchmark.statistics.ranks import ALPHA, Ranking, needed, rank
from benchmark.tables.grid import DASH, Grid, Row, words

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]
DECIDED = "image_accuracy"
RULES = ("max", "mean+3sd", "quantile:.95", "quantile:.99")
"""Threshold rules that are held against the records' own."""


@dataclass(frozen=True)
class Field:
    """The methods of one block that were run on the same categories.

    Attributes:
        title: of the block.
        names: M methods.
        categories: C, in the data set's order.
        values: float64 (M, C), means over seeds; the negated ones of a metric that is better low.
        part: the records of these methods and categories.
        notes: who was left out and why.
    """

    title: str
    names: tuple[str, ...]
    categories: tuple[str, ...]
    values: Array
    part: pd.DataFrame
    notes: tuple[str, ...]


def fields(frame: pd.DataFrame, metric: str, common: bool = False) -> Iterator[Field]:
    """Yield, for every block, what can be ranked in it.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`.
        metric: any.
        common: rank over the categories that all methods have; else methods that lack one are left
            out.

    Raises:
        SettingsError: no such metric.
        StoreError: no block has two methods to rank.
    """
    if metric not in METRICS:
        raise SettingsError(unknown("metric", metric, METRICS))
    why: list[str] = []
    ranked = False
    for title, part in blocks(frame):
        notes: list[str] = []
        every = [c for _, members in category_groups(part) for c in members]
        fit = [c for c in every if rankable(part, [c])]
        if len(fit) < len(every):
            few = ", ".join(c for c in every if c not in fit)
            notes.append(f"Left out, fewer than two test images of a kind: {few}.")
        table = _up(metric) * part.groupby(["name", "category"])[metric].mean().unstack("category")
        table = table.reindex(columns=fit)
        if common:
            table = table.dropna(axis=1)
            if table.shape[1] < len(fit):
                notes.append(f"Over the {table.shape[1]} categories that all methods have.")
        whole = table.dropna()
        out = [str(name) for name in table.index if name not in whole.index]
        if out:
            notes.append(f"Left out, no {metric} on every category: {', '.join(out)}.")
        if len(whole) < 2 or not whole.shape[1]:
            why.append(f"{title}: {len(whole)} methods with {metric} on all {len(fit)} categories")
            continue
        ranked = True
        names, categories = tuple(map(str, whole.index)), tuple(map(str, whole.columns))
        same = part[part["name"].isin(names) & part["category"].isin(categories)]
        yield Field(title, names, categories, whole.to_numpy(), same, tuple(notes))
    if not ranked:
        raise StoreError(
            "nothing to rank: two methods of one protocol are needed on the same categories\n  "
            + "\n  ".join(why)
            + "\n--common ranks over the categories that all of them have"
        )


def ranks(
    frame: pd.DataFrame, metrics: Sequence[str] = ("image_auroc",), common: bool = False
) -> list[Grid]:
    """Rank methods over categories, one block per metric and comparable part.

    Args:
        frame, common: as for :func:`fields`.
        metrics: names of metrics.
    """
    return [_ranked(field, metric) for metric in metrics for field in fields(frame, metric, common)]


def sensitivity(
    frame: pd.DataFrame, metrics: Sequence[str] = ("image_auroc",), common: bool = False
) -> list[Grid]:
    """Show how much of a ranking hangs on one choice, one block per metric and comparable part.

    Args:
        frame, common: as for :func:`fields`.
        metrics: those whose mean over categories is the ranking that others are compared with.
    """
    return [
        _hanging(field, metric) for metric in metrics for field in fields(frame, metric, common)
    ]


def verdict(found: Ranking, categories: int) -> str:
    """Say in one sentence what the tests found."""
    least = needed(len(found.names))
    if categories < least:
        return (
            f"Cannot tell: {len(found.names)} methods need at least {least} categories before a "
            f"pair of them can differ significantly; there are {categories}."
        )
    if found.friedman >= ALPHA:  # False for NaN: two methods have no such test
        return f"Cannot tell them apart: Friedman's test over {categories} categories has p = {found.friedman:.3g}."
    pairs = [(i, j) for i in range(len(found.names)) for j in range(i)]
    apart = sum(found.apart(i, j) for i, j in pairs)
    friedman = "" if np.isnan(found.friedman) else f"Friedman's test: p = {found.friedman:.3g}. "
    return (
        f"{friedman}{apart} of {len(pairs)} pairs differ over {categories} categories (Wilcoxon's "
        f"signed-rank test{', Holm-corrected' if len(pairs) > 1 else ''}, {ALPHA:.0%})."
    )


def letters(found: Ranking) -> list[str]:
    """Give each method the letters of its groups: those that share one cannot be told apart."""
    out = [""] * len(found.names)
    for letter, group in zip(string.ascii_letters, found.groups(), strict=False):
        for i in group:
            out[i] += letter
    return out


def _up(metric: str) -> int:
    return 1 if METRICS[metric].better == "higher" else -1


def _ranked(field: Field, metric: str) -> Grid:
    labels = short_names(field.part)
    found = rank(field.names, field.values)
    enough = len(field.categories) >= needed(len(found.names))
    rows = [
        Row(
            tuple(
                map(
                    words,
                    (labels.of[name], f"{place:.2f}", f"{_up(metric) * values.mean():.3f}", group),
                )
            )
        )
        for name, place, values, group in zip(
            found.names,
            found.ranks,
            found.values,
            letters(found) if enough else [DASH] * len(found.names),
            strict=True,
        )
    ]
    heads = [words(h) for h in ("Method", "Average rank", f"Mean {metric}", "Group")]
    notes = [verdict(found, len(field.categories))]
    if enough:
        notes.append("Methods that share a letter cannot be told apart.")
    return Grid(
        f"Ranks by {metric}: {field.title}",
        [heads],
        rows,
        [*notes, *field.notes],
        above=labels.shared,
        legend=labels.sentences(),
    )


def _hanging(field: Field, metric: str) -> Grid:
    reference = field.values.mean(axis=1)
    rows = [_agreed(what, reference, v) for what, v in _variants(field, metric).items()]
    own, *others = _by_rule(field)
    rows.append(_agreed(f"{DECIDED}: another threshold rule", own, others))
    heads = ("Chosen differently", "Variants", "Lowest τ", "Mean τ", "Another method is first")
    best = field.names[int(np.argmax(reference))]
    notes = [
        (
            f"Kendall's τ with the order of {len(field.names)} methods by {metric}, averaged over "
            f"{len(field.categories)} categories and all seeds; first there: {best}."
        ),
        *field.notes,
    ]
    title = f"What the order by {metric} hangs on: {field.title}"
    return Grid(title, [[*map(words, heads)]], rows, notes)


def _agreed(what: str, reference: Array, variants: Sequence[Array]) -> Row:
    if not variants:
        return Row(tuple(map(words, (what, "0", DASH, DASH, DASH))))
    found = agreement(reference, variants)
    shown = (
        str(found.variants),
        f"{found.lowest:.2f}",
        f"{found.mean:.2f}",
        f"{found.changed} of {found.variants}",
    )
    return Row(tuple(map(words, (what, *shown))))


def _by_rule(field: Field) -> list[Array]:
    """Average DECIDED over categories at the records' own threshold rule and, where their scores
    were kept and images held out, at the others."""

    def averaged(part: pd.DataFrame) -> Array:
        table = part.groupby(["name", "category"])[DECIDED].mean().unstack("category")
        found = table.reindex(index=list(field.names), columns=list(field.categories))
        values: Array = found.to_numpy().mean(axis=1)
        return values

    own = averaged(field.part)
    if np.isnan(own).any():
        return [own]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)  # a record without scores: left out below
        others = [averaged(at_threshold(field.part, rule)) for rule in RULES]
    return [own, *(values for values in others if not np.isnan(values).any())]


def _variants(field: Field, metric: str) -> Mapping[str, list[Array]]:
    """Rank again with one choice made differently, (M,) each, in the order of the field's names."""
    names, categories = list(field.names), list(field.categories)
    seeds = field.part.pivot_table(
        index="name", columns=["seed", "category"], values=metric, aggfunc="first"
    ).loc[names] * _up(metric)
    have = sorted(set(seeds.columns.get_level_values("seed")))
    by_seed = [seeds[s].reindex(columns=categories) for s in have] if len(have) > 1 else []
    count = len(categories)
    left_out = [np.delete(field.values, i, axis=1).mean(axis=1) for i in range(count)]
    by_metric = []
    for other in SHOWN:
        table = field.part.groupby(["name", "category"])[other].mean().unstack("category")
        values = _up(other) * table.reindex(index=names, columns=categories).to_numpy()
        if other != metric and not np.isnan(values).any():
            by_metric.append(values.mean(axis=1))
    return {
        "one seed alone": [t.to_numpy().mean(1) for t in by_seed if not t.isna().any(axis=None)],
        "one category left out": left_out if count > 1 else [],
        "one category alone": list(field.values.T) if count > 1 else [],
        "another metric": by_metric,
    }
