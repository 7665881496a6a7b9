"""``bench compare``: is one run better than another, and does a run reach the paper?"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import BenchError, SettingsError, StoreError, unknown
from benchmark.metrics.names import METRICS
from benchmark.records.select import blocks, category_groups, choose
from benchmark.records.stored import Images, Stored
from benchmark.tables import TABLES
from benchmark.tables.build import OTHER_HARDWARE, Builder
from benchmark.tables.grid import DASH, Grid, Row, cell
from benchmark.tables.layout import Entry, Layout, Slot
from benchmark.tables.live import over_seeds

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.records.names import Method

WILCOXON_FROM = 6
"""Below six pairs a two-sided signed-rank test cannot reach 5 %."""
NOISE_FROM = 3


def compare(given: Namespace) -> int:
    """``bench compare A B`` or ``bench compare --published``."""
    from benchmark.records.frame import load_results
    from benchmark.records.names import known_methods
    from benchmark.tables.render import render

    frame = choose(
        load_results(given.results, given.plugin), dataset=given.dataset, protocol=given.protocol
    )
    if given.published:
        if given.runs:
            raise SettingsError("compare either two runs (A B) or --published, not both")
        grid = with_published(frame, known_methods(given.plugin), given.common)
        images = None
    else:
        if len(given.runs) != 2:
            raise SettingsError(
                "name two runs, as in: bench compare spade padim; or use --published"
            )
        a, b = (side(frame, name, given.plugin) for name in given.runs)
        images = Images(given.data_root, given.plugin)
        grid = two_runs(a, b, given.metric, images)
    print(render([grid], given.format))
    return 1 if images and images.refused else 0


def side(frame: pd.DataFrame, name: str, plugins: Sequence[str | Path] = ()) -> pd.DataFrame:
    """The records of one side: a method, a readable name, or a folder of one configuration.

    Raises:
        StoreError: nothing of that name, or several configurations.
    """
    if Path(name).is_dir():
        from benchmark.records.frame import load_results

        rows = choose(load_results(name, plugins))
    else:
        rows = choose(frame, methods=[name])
    have = rows[["name", "dataset", "protocol"]].drop_duplicates()
    if len(have) > 1:
        lines = "\n  ".join(" | ".join(row) for row in have.itertuples(index=False))
        raise StoreError(
            f"{name} could be several; use the readable name, --dataset, --protocol:\n  {lines}"
        )
    return rows


def two_runs(
    a: pd.DataFrame,
    b: pd.DataFrame,
    metric: str = "image_auroc",
    images: Images | None = None,
) -> Grid:
    """Per category the difference A − B with a bootstrap interval over the test images.

    Within a category seeds are averaged first: every resample of the images gives one difference
    of the two means over seeds. Over the categories a Wilcoxon signed-rank test, from six on.

    Args:
        a, b: records of one configuration each.
        metric: any.
        images: where the ground truth of pixel metrics is; None for ``BENCH_DATA``.

    Raises:
        StoreError: the two were not run on the same images under the same protocol.
    """
    import pandas as pd

    from benchmark.records.resample import RESAMPLES, interval

    images = images or Images()

    if metric not in METRICS:
        raise SettingsError(unknown("metric", metric, METRICS))
    both = pd.concat([a, b])
    parts = list(blocks(both))
    if len(parts) > 1:
        raise StoreError(
            "these runs cannot be compared, they differ in data set, protocol or measured pixels: "
            + " | ".join(title for title, _ in parts)
        )
    names = [a["name"].iloc[0], b["name"].iloc[0]]
    if names[0] == names[1]:
        names = [f"{names[0]} (A)", f"{names[1]} (B)"]
    shared = [c for _, g in category_groups(both) for c in g if c in set(a["category"])]
    shared = [c for c in shared if c in set(b["category"])]
    notes: list[str] = []
    rows, differences = [], []
    for category in shared:
        one, two = (over_seeds(f, metric, [category]) for f in (a, b))
        difference = one.mean - two.mean
        between = DASH
        if not math.isnan(difference):
            one_side, other_side = (_runs(f[f["category"] == category]) for f in (a, b))
            try:
                low, high = interval(one_side, other_side, metric, images)
                between = f"{_signed(low)} … {_signed(high)}"
            except BenchError as error:
                notes.append(f"{category}: no interval, {str(error).splitlines()[0]}")
        if not math.isnan(difference):
            differences.append(difference)
        shown = (one.text(), two.text(), _signed(difference), between)
        rows.append(Row((cell(category), *map(cell, shown))))
    if len(differences) > 1:
        mean = float(np.mean(differences))
        row = ("Average", DASH, DASH, _signed(mean), DASH)
        rows.append(Row(tuple(map(cell, row)), "average"))
    notes.append(_wilcoxon(differences))
    notes.append(f"Interval: 95 % of {RESAMPLES} resamples of the test images, seeds averaged.")
    head = [[cell("Category"), *map(cell, (*names, "A − B", "95 % interval"))]]
    return Grid(f"{metric}: {names[0]} against {names[1]}, {parts[0][0]}", head, rows, notes)


def _runs(rows: pd.DataFrame) -> list[Stored]:
    return [Stored(row) for _, row in rows.sort_values("seed").iterrows()]


def _wilcoxon(differences: Sequence[float]) -> str:
    if len(differences) < WILCOXON_FROM:
        return (
            f"Categories compared: {len(differences)}, too few to tell whether one is better over categories "
            f"(Wilcoxon needs {WILCOXON_FROM})."
        )
    if not any(differences):
        return "No category differs."
    from scipy.stats import wilcoxon

    p = float(wilcoxon(differences).pvalue)
    word = "better in the median" if p < 0.05 else "no difference that 5 % would show"
    return f"Wilcoxon signed-rank test over {len(differences)} categories: p = {p:.3g} ({word})."


def with_published(frame: pd.DataFrame, known: Mapping[str, Method], common: bool = False) -> Grid:
    """Every printed number that some record stands for, with a verdict."""
    rows: list[Row] = []
    notes: list[str] = []
    for layout in TABLES.values():
        if not isinstance(layout, Layout):
            continue
        try:
            builder = Builder(layout, frame, known, common)
        except BenchError as error:
            notes.append(str(error))
            continue
        for entry in layout.entries:
            for slot in layout.slots:
                for metric in slot.metrics:
                    found = _cell_verdict(builder, entry, slot, metric)
                    if found:
                        head = f"{entry.head} {entry.cite}".strip()
                        labels = (layout.name, head, slot.head, entry.variant(metric))
                        rows.append(Row(tuple(map(cell, (*labels, *found)))))
    if not rows:
        raise StoreError(
            "no record stands for a published number; bench run --table NAME makes some"
        )
    heads = ("Table", "Column", "Category", "Metric", "Published", "Here", "Verdict")
    notes.append(
        "Within 1 point: 0.01 as a fraction. Within noise: inside mean ± 2 standard deviations, from "
        f"{NOISE_FROM} seeds on."
    )
    return Grid("Published and run here", [[*map(cell, heads)]], rows, notes, stub=4)


def _cell_verdict(
    builder: Builder, entry: Entry, slot: Slot, metric: str
) -> tuple[str, str, str] | None:
    number = builder.published(entry, slot, metric)
    found = builder.match(entry, slot)
    value = builder.run(entry, slot, metric)
    if number is None or found.rows is None or math.isnan(value.mean):
        return None
    theirs = builder.value(entry, slot, metric, "published")
    decimals = len(number.value.partition(".")[2])
    here = value.text(max(decimals, slot.decimals))
    if not builder.comparable(entry, slot, metric):
        why = builder.layout.no_verdict or "; ".join(found.differences)
        why = why or ("other hardware" if metric in OTHER_HARDWARE else "another metric")
        return number.value, here, f"not comparable: {why}"
    seeds = int(found.rows["seed"].nunique())
    difference = abs(value.mean - theirs)
    point = 1.0 if builder.layout.percent and metric in METRICS else 0.01
    if metric not in METRICS:
        word = "equal after rounding" if round(value.mean, decimals) == theirs else "off"
    elif round(value.mean, decimals) == theirs:
        word = "equal after rounding"
    elif seeds >= NOISE_FROM and value.spread is not None and difference <= 2 * value.spread:
        word = "within noise"
    elif difference <= point:
        word = "within 1 point"
    else:
        word = "off"
    return number.value, here, word


def _signed(value: float) -> str:
    return DASH if math.isnan(value) else f"{value:+.3f}".replace("-", "−")
