"""Tables of whatever was run: methods × categories, and methods × metrics."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import SettingsError, unknown
from benchmark.metrics.names import METRICS, SHOWN
from benchmark.metrics.threshold import DEFAULT
from benchmark.records.names import LONGEST, Labels, short_names
from benchmark.records.select import blocks, category_groups, few_images, rankable
from benchmark.tables.grid import DASH, Grid, Part, Row, Text, words
from benchmark.tables.pipes import fits

if TYPE_CHECKING:
    import pandas as pd

    Runs = Mapping[str, pd.DataFrame]
    """The records of a block by readable name."""
    Valued = Callable[[pd.DataFrame, str, Sequence[str]], "Value"]
    """Averages a metric of one configuration over categories."""

RANDOM = "random weights: the backbone is not pre-trained; says nothing about published quality"
ONE_BLOCK = (
    "Best within this block only: blocks differ in data set, protocol or measured pixels and are "
    "not ranked against each other."
)


@dataclass(frozen=True)
class Value:
    """A mean over seeds.

    Attributes:
        mean: the value.
        spread: standard deviation over the seeds; None with fewer than two.
        interval: what the choice of test images explains, shown instead of ``spread``.
    """

    mean: float
    spread: float | None = None
    interval: tuple[float, float] | None = None

    def text(self, decimals: int = 3) -> str:
        """Write the mean, with the deviation where there is one.

        >>> Value(0.98765, 0.002).text(), Value(math.nan).text()
        ('0.988 ± 0.002', '–')
        """
        if math.isnan(self.mean):
            return DASH
        if self.interval is not None:
            low, high = self.interval
            return f"{self.mean:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"
        spread = f" ± {self.spread:.{decimals}f}" if self.spread is not None else ""
        return f"{self.mean:.{decimals}f}{spread}"


def over_seeds(rows: pd.DataFrame, metric: str, categories: Sequence[str]) -> Value:
    """Average one configuration over categories: the mean and the deviation over seeds.

    Seeds are averaged within a category first, so that a category with more seeds weighs no more.
    The deviation is that of the average from seed to seed, over the seeds that all categories have;
    a method that draws nothing has none, however many seeds were run.

    Returns:
        NaN when a category has no value: an average of fewer would be another quantity.
    """
    seeds, column = rows["seed"].unique(), {name: i for i, name in enumerate(categories)}
    table = np.full((len(seeds), len(column)), math.nan)  # by hand: pivoting took most of a summary
    line = {seed: i for i, seed in enumerate(seeds)}
    for seed, name, value in zip(rows["seed"], rows["category"], rows[metric], strict=True):
        if name in column and math.isnan(table[line[seed], column[name]]):
            table[line[seed], column[name]] = value
    known = ~np.isnan(table)
    if not known.any(axis=0).all() or not table.size:
        return Value(math.nan)
    complete = table[known.all(axis=1)]
    several = len(complete) > 1 and rows["draws"].all()
    spread = float(complete.mean(axis=1).std(ddof=1)) if several else None
    return Value(float(np.nanmean(table, axis=0).mean()), spread)


def per_category(
    frame: pd.DataFrame,
    metrics: Sequence[str] = ("image_auroc",),
    common: bool = False,
    valued: Valued = over_seeds,
) -> list[Grid]:
    """Make one block per metric, data set, protocol and measured window: categories ×
    configurations.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`.
        metrics: names of metrics.
        common: average over the categories that all configurations have, and say so.
        valued: averages one configuration over categories.
    """
    parts = list(blocks(frame))
    several = len(parts) > 1
    return [
        _of_categories(title, part, metric, common, several, valued)
        for metric in map(_metric, metrics)
        for title, part in parts
    ]


def summary(
    frame: pd.DataFrame,
    metrics: Sequence[str] = SHOWN,
    common: bool = False,
    valued: Valued = over_seeds,
) -> list[Grid]:
    """Average configurations × metrics over the categories; one block per comparable part."""
    metrics = [_metric(m) for m in metrics]
    parts = list(blocks(frame))
    several = len(parts) > 1
    return [_of_averages(title, part, metrics, common, several, valued) for title, part in parts]


def _of_categories(
    title: str, part: pd.DataFrame, metric: str, common: bool, several: bool, valued: Valued
) -> Grid:
    runs = _runs(part)
    groups = category_groups(part)
    rows = []
    for group, members in groups:
        if group:
            rows.append(Row((words(group),), "group"))
        rows += [_line(part, metric, runs, [c], c, valued) for c in members]
        if group and len(groups) > 1 and len(members) > 1:
            rows.append(_average(part, metric, runs, members, common, "Average", valued))
    every = [c for _, members in groups for c in members]
    if len(every) > 1:
        label = f"Average over {len(every)}"
        rows.append(_average(part, metric, runs, every, common, label, valued))

    def made(labels: Labels) -> Grid:
        heads = [words("Category"), *(_label(labels, n, rows) for n, rows in runs.items())]
        notes = [*undefined(part, [metric]), *_below(part, runs, labels, several)]
        return Grid(f"{metric}: {title}", [heads], rows, notes)

    return _named(part, made)


def _of_averages(
    title: str,
    part: pd.DataFrame,
    metrics: Sequence[str],
    common: bool,
    several: bool,
    valued: Valued,
) -> Grid:
    every = [c for _, members in category_groups(part) for c in members]
    runs = _runs(part)
    notes = []
    columns: list[list[Value]] = []
    for metric in metrics:
        shared = _shared(metric, runs, every) if common else every
        values = [valued(rows, metric, shared) for rows in runs.values()]
        columns.append([v if shared else Value(math.nan) for v in values])
        if shared != every:
            notes.append(f"{metric}: over the {len(shared)} common categories only.")
    ranked = rankable(part, every)
    marked = [_mark(v, ranked, metric) for v, metric in zip(columns, metrics, strict=True)]
    missing = any(math.isnan(value.mean) for column in columns for value in column)
    dashes = f"; {DASH}: not defined for all of them" if missing else ""
    notes.insert(0, f"Averages over {_count(part, every)}{dashes}.")
    notes += undefined(part, metrics)

    def made(labels: Labels) -> Grid:
        lines = [
            Row((_label(labels, n, rows), *(column[i] for column in marked)))
            for i, (n, rows) in enumerate(runs.items())
        ]
        heads = [words("Method"), *map(words, metrics)]
        return Grid(
            f"Summary: {title}", [heads], lines, [*notes, *_below(part, runs, labels, several)]
        )

    return _named(part, made)


def _runs(part: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Split a block by its readable names, in the order in which they appear."""
    return {str(name): rows for name, rows in part.groupby("name", sort=False)}


def _line(
    part: pd.DataFrame, metric: str, runs: Runs, over: Sequence[str], label: str, valued: Valued
) -> Row:
    values = [valued(rows, metric, over) for rows in runs.values()]
    return Row((words(label), *_mark(values, rankable(part, over), metric)))


def _average(
    part: pd.DataFrame,
    metric: str,
    runs: Runs,
    members: Sequence[str],
    common: bool,
    label: str,
    valued: Valued,
) -> Row:
    over = _shared(metric, runs, members) if common else list(members)
    if not over:
        return Row((words(label, ["no category is common to all"]), *[words(DASH)] * len(runs)))
    notes = [f"over the common ones only: {', '.join(over)}"] if len(over) < len(members) else []
    line = _line(part, metric, runs, over, label, valued)
    return Row((words(label, notes), *line.texts[1:]), "average")


def _shared(metric: str, runs: Runs, members: Sequence[str]) -> list[str]:
    """List the categories for which every configuration has a value."""
    have = [set(rows["category"][rows[metric].notna()]) for rows in runs.values()]
    return [c for c in members if all(c in h for h in have)]


def _mark(values: Sequence[Value], ranked: bool, metric: str) -> list[Text]:
    best = winners(values, metric) if ranked else [False] * len(values)
    return [words(v.text(), best=b) for v, b in zip(values, best, strict=True)]


def winners(values: Sequence[Value], metric: str, decimals: int = 3) -> list[bool]:
    """Tell which values of a metric are the best as printed, when there are two to compare."""
    known = [round(v.mean, decimals) for v in values if not math.isnan(v.mean)]
    of_two = min if METRICS[metric].better == "lower" else max
    best = of_two(known) if len(known) > 1 else math.nan
    return [round(v.mean, decimals) == best for v in values]


def _label(labels: Labels, name: str, rows: pd.DataFrame) -> Text:
    """Head the column or row of a configuration, with a footnote where its weights are random."""
    random = rows["random_weights"].any()
    return Text((Part(labels.of[name]),), (RANDOM,) if random else (), full=name)


def _named(part: pd.DataFrame, made: Callable[[Labels], Grid]) -> Grid:
    """Make a grid with the longest names with which it fits a line; else with short ones."""
    for longest in (3 * LONGEST, 2 * LONGEST, LONGEST):
        labels = short_names(part, longest)
        grid = replace(made(labels), above=labels.shared, legend=labels.sentences())
        if fits(grid):
            break
    return grid


def undefined(part: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    """Say why a metric has no value in the whole block, where the records agree on it."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for metric in metrics:
        said = {texts.get(metric) for texts in part["undefined"]}
        if part[metric].isna().all() and len(said) == 1 and (reason := said.pop()):
            reasons[reason].append(metric)
    return [f"No {', '.join(names)}: {reason}." for reason, names in reasons.items()]


def _below(part: pd.DataFrame, runs: Runs, labels: Labels, several: bool) -> list[str]:
    """Write the sentences below a block: seeds, images, and that blocks are not ranked."""
    named = {labels.of[name]: rows for name, rows in runs.items()}
    rules = sorted(part["threshold_rule"].unique())
    thresholds = [f"Thresholds on held-out normal images: {', '.join(rules)}."]
    return [
        seeds_text(named),
        *(thresholds if rules != [DEFAULT] else []),
        *few_images(part),
        *([ONE_BLOCK] if several else []),
    ]


def seeds_text(runs: Mapping[str, pd.DataFrame]) -> str:
    """Say how many seeds stand behind the numbers of each name; a method that draws nothing has
    one."""
    counts = {n: _seeds(r) if r["draws"].all() else "1" for n, r in runs.items()}
    if set(counts.values()) == {"1"}:
        several = any(r["seed"].nunique() > 1 for r in runs.values())
        return "One result: the seeds change nothing." if several else "One seed."
    if len(set(counts.values())) == 1:
        return f"Mean ± standard deviation over {next(iter(counts.values()))} seeds."
    each = ", ".join(f"{name}: {count}" for name, count in counts.items())
    return f"Mean ± standard deviation over seeds ({each})."


def _seeds(run: pd.DataFrame) -> str:
    """Count the seeds of a category, or the fewest and the most of several."""
    counts = run.groupby(["dataset", "category"])["seed"].nunique()
    low, high = counts.min(), counts.max()
    return str(high) if low == high else f"{low} to {high}"


def _count(part: pd.DataFrame, every: Sequence[str]) -> str:
    from benchmark.errors import BenchError
    from benchmark.plugins.registry import Registry

    text = f"{len(every)} categor{'y' if len(every) == 1 else 'ies'}"
    try:
        official = Registry().dataset(part["source"].iloc[0]).official
    except BenchError:
        return text
    if official and len(official) != len(every):
        return f"{len(every)} of the data set's {len(official)} categories ({', '.join(every)})"
    return text


def _metric(name: str) -> str:
    if name not in METRICS:
        raise SettingsError(unknown("metric", name, METRICS))
    return name
