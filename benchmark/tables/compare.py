"""``bench compare``: is one run better than another, and does a run reach the paper?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import BenchError, SettingsError, StoreError, unknown
from benchmark.metrics.names import METRICS
from benchmark.records.exchange import is_results
from benchmark.records.names import Labels, extended, short_names
from benchmark.records.select import block_title, category_groups, choose, few_images
from benchmark.records.stored import Datasets, Stored
from benchmark.tables import TABLES
from benchmark.tables.build import OTHER_HARDWARE, Builder
from benchmark.tables.grid import DASH, Grid, Row, Text, words
from benchmark.tables.layout import Layout, Method, Slot
from benchmark.tables.live import Value, over_seeds

if TYPE_CHECKING:
    import pandas as pd

WILCOXON_FROM = 6
"""Below six pairs a two-sided signed-rank test cannot reach 5 %."""
NOISE_FROM = 3
HEADS = [[*map(words, ("Category", "Metric", "Published", "Here", "Seeds", "Verdict"))]]
VERDICTS = (
    "Within 1 point: 0.01 as a fraction. Within noise: inside mean ± 2 standard deviations, from "
    f"{NOISE_FROM} seeds on."
)


def side(frame: pd.DataFrame | None, name: str) -> pd.DataFrame:
    """Choose the records of one side: a method, a readable name, or a folder.

    Args:
        frame: the records that a name is looked for in; None when only folders are named.
        name: of a method or configuration, or a results folder, a folder below one, or an exported
            file.

    Raises:
        StoreError: nothing of that name, or several configurations.
    """
    if is_results(name):
        from benchmark.records.frame import load_results

        rows = choose(load_results(name))
    else:
        assert frame is not None
        rows = choose(frame, methods=[name])
    have = rows.drop_duplicates(["dataset", "protocol", "config"])
    if len(have) > 1:
        lines = "\n  ".join(
            f"{Path(row['path']).parent}  ({row['name']}, {row['dataset']}, {row['protocol']})"
            for _, row in have.iterrows()
        )
        raise StoreError(f"{name} could be several; name one of these folders instead:\n  {lines}")
    return rows


def two_runs(
    a: pd.DataFrame,
    b: pd.DataFrame,
    metric: str = "image_auroc",
    datasets: Datasets | None = None,
) -> Grid:
    """Compare two runs: per category the difference A − B with a bootstrap interval over the test
    images.

    Within a category seeds are averaged first: every resample of the images gives one difference
    of the two means over seeds. Over the categories a Wilcoxon signed-rank test, from six on. The
    names of the two data sets may differ as long as the images are the same.

    Args:
        a, b: records of one configuration each.
        metric: any.
        datasets: where the ground truth of pixel metrics is; None for ``BENCH_DATA``.

    Raises:
        StoreError: the two were not run on the same images under the same protocol.
    """
    import pandas as pd

    from benchmark.records.resample import RESAMPLES, interval

    datasets = datasets or Datasets()
    if metric not in METRICS:
        raise SettingsError(unknown("metric", metric, METRICS))
    shared = _shared(a, b)
    both = pd.concat([a, b])
    labels = short_names(both)
    names = _told_apart(a.iloc[0], b.iloc[0], labels)
    notes: list[str] = []
    rows, differences = [], []
    for category in shared:
        one, two = (over_seeds(f, metric, [category]) for f in (a, b))
        difference = one.mean - two.mean
        between = chance = DASH
        if not math.isnan(difference):
            differences.append(difference)
            mine, theirs = (_runs(f[f["category"] == category]) for f in (a, b))
            try:
                low, high = interval(mine, theirs, metric, datasets)
                between = f"{_signed(low)} … {_signed(high)}"
                chance = _delong(mine, theirs) if metric == "image_auroc" else DASH
            except BenchError as error:
                notes.append(f"{category}: no interval, {str(error).splitlines()[0]}")
        shown = (one.text(), two.text(), _signed(difference), between, chance)
        rows.append(Row((words(category), *map(words, shown))))
    if len(differences) > 1:
        row = ("Average", DASH, DASH, _signed(float(np.mean(differences))), DASH, DASH)
        rows.append(Row(tuple(map(words, row)), "average"))
    notes += [_wilcoxon(differences), *few_images(both[both["category"].isin(shared)])]
    notes.append(f"Interval: 95 % of {RESAMPLES} resamples of the test images, seeds averaged.")
    sides = [
        replace(words(name), full=full)
        for name, full in zip(names, _told_apart(a.iloc[0], b.iloc[0]), strict=True)
    ]
    heads = [words("A − B"), words("95 % interval"), words("DeLong p")]
    head = [[words("Category"), *sides, *heads]]
    if metric != "image_auroc":  # the test is for AUROCs of images
        head, rows = [head[0][:-1]], [replace(row, texts=row.texts[:-1]) for row in rows]
    title = f"{metric}: {names[0]} against {names[1]}, {block_title(a.iloc[0])}"
    return Grid(title, head, rows, notes, above=labels.shared, legend=labels.sentences())


def _shared(a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    """List the categories that both sides were run on. Raises StoreError when nothing is
    comparable."""
    one, two = a.iloc[0], b.iloc[0]
    for what, column in (("data set", "source"), ("protocol", "protocol"), ("pixels", "window")):
        if one[column] != two[column]:
            raise StoreError(
                "these runs cannot be compared, they differ in data set, protocol or measured "
                f"pixels: {what} {one[column]} there, {two[column]} here"
            )
    mine = set(a["category"]) & set(b["category"])
    shared = [c for _, members in category_groups(a) for c in members if c in mine]
    if not shared:
        raise StoreError(
            f"these runs have no category in common: {', '.join(sorted(set(a['category'])))} there, "
            f"{', '.join(sorted(set(b['category'])))} here"
        )
    for category in shared:
        data = {d for f in (a, b) for d in f[f["category"] == category]["data"]}
        if len(data) > 1:
            raise StoreError(
                f"{category}: the two were run on different images (fingerprints "
                f"{', '.join(sorted(map(str, data)))}), so image by image nothing can be compared; "
                "run one of them again on the other's data"
            )
    return shared


def _told_apart(
    a: pd.Series[Any], b: pd.Series[Any], labels: Labels | None = None
) -> tuple[str, str]:
    """Give the two sides names, with the data set's name where only that differs."""
    one, two = (labels.of[row["name"]] if labels else str(row["name"]) for row in (a, b))
    if a["name"] != b["name"]:
        return one, two
    if a["dataset"] != b["dataset"]:
        return extended(one, a["dataset"]), extended(two, b["dataset"])
    return f"{one} (A)", f"{two} (B)"


def _runs(rows: pd.DataFrame) -> list[Stored]:
    return [Stored(row) for _, row in rows.sort_values("seed").iterrows()]


def _delong(a: Sequence[Stored], b: Sequence[Stored]) -> str:
    """Write the p of DeLong's test, the AUROC of each side averaged over its seeds; none where
    images come in groups, since those of one resemble each other and the test takes them as
    independent."""
    from benchmark.records.resample import aligned
    from benchmark.statistics.delong import delong

    units = a[0].scores.units
    if len(set(units)) < len(units):
        return DASH
    labels = aligned(a[0].scores)[1]
    one, two = (np.stack([aligned(run.scores)[0] for run in side]) for side in (a, b))
    p = delong(one, two, labels).p
    return DASH if math.isnan(p) else f"{p:.3g}"


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


@dataclass(frozen=True)
class Comparison:
    """A published number and the records that stand for it.

    Attributes:
        layout, method, slot, metric: which number.
        rows: the records of one configuration.
        published, here: as printed.
        verdict: ``equal after rounding``, ``within noise``, ``within 1 point``, ``off``; empty where
            none can be given.
        why: why there is no verdict.
    """

    layout: Layout
    method: Method
    slot: Slot
    metric: str
    rows: pd.DataFrame
    published: str
    here: str
    verdict: str
    why: str = ""

    @property
    def column(self) -> str:
        """The table and its column, such as ``rd4ad-2: PaDiM [7]``."""
        return f"{self.layout.name}: {f'{self.method.head} {self.method.cite}'.strip()}"


def comparisons(frame: pd.DataFrame, common: bool = False) -> Iterator[Comparison]:
    """Yield every published number that some record stands for, once for each configuration."""
    groups = [part for _, part in frame.groupby(["dataset", "protocol", "config"], sort=True)]
    for layout in TABLES.values():
        if not isinstance(layout, Layout):
            continue
        known = {m.reference.method for m in layout.methods if m.reference}
        for part in groups:
            if part["method"].iloc[0] not in known:
                continue
            builder = Builder(layout, part, common)
            for method in layout.methods:
                for slot in layout.slots:
                    for metric in slot.metrics:
                        yield from _compared(builder, method, slot, metric)


def with_published(frame: pd.DataFrame, common: bool = False) -> Grid:
    """List every published number that some record stands for, with a verdict."""
    labels = short_names(frame)

    def heading(found: Comparison) -> Text:
        row = found.rows.iloc[0]
        name, protocol = str(row["name"]), f"protocol {row['protocol']}"
        short = f"{found.column}; run here: {labels.of[name]}, {protocol}"
        return replace(words(short), full=f"{found.column}; run here: {name}, {protocol}")

    rows = list(verdict_rows(comparisons(frame, common), heading))
    if not rows:
        raise StoreError(
            "no record stands for a published number; bench run --table NAME makes some"
        )
    return Grid(
        "Published and run here",
        HEADS,
        rows,
        [VERDICTS, *few_images(frame)],
        stub=2,
        above=labels.shared,
        legend=labels.sentences(),
    )


def verdict_rows(
    found: Iterable[Comparison], heading: Callable[[Comparison], Text]
) -> Iterator[Row]:
    """Write one row per published number, under headings over those that share one."""
    last = words("")
    for one in found:
        if (head := heading(one)) != last:
            yield Row((head,), "group")
        last = head
        texts = (one.slot.head, one.method.variant(one.metric), one.published, one.here)
        verdict = words(one.verdict) if one.verdict else words("not comparable", [one.why])
        seeds = str(one.rows["seed"].nunique())
        yield Row((*map(words, texts), words(seeds), verdict))


def _compared(builder: Builder, method: Method, slot: Slot, metric: str) -> Iterator[Comparison]:
    number = builder.published(method, slot, metric)
    found = builder.match(method, slot)
    value = builder.run(method, slot, metric)
    if number is None or found.rows is None or math.isnan(value.mean):
        return
    decimals = len(number.value.partition(".")[2])
    here = value.text(max(decimals, slot.decimals))
    verdict = why = ""
    if builder.comparable(method, slot, metric):
        theirs = builder.value(method, slot, metric, "published")
        verdict = _verdict(builder.layout, metric, value, theirs, decimals, found.rows)
    else:
        why = builder.layout.no_verdict or "; ".join(found.differences)
        why = why or ("other hardware" if metric in OTHER_HARDWARE else "another metric")
    place = (builder.layout, method, slot, metric)
    yield Comparison(*place, found.rows, number.value, here, verdict, why)


def _verdict(
    layout: Layout, metric: str, value: Value, theirs: float, decimals: int, rows: pd.DataFrame
) -> str:
    """Say how near a mean over seeds is to a published number, both in the table's unit."""
    difference = abs(value.mean - theirs)
    point = 1.0 if layout.percent else 0.01
    if round(value.mean, decimals) == theirs:
        return "equal after rounding"
    if metric not in METRICS:
        return "off"
    noise = value.spread is not None and rows["seed"].nunique() >= NOISE_FROM
    if noise and value.spread is not None and difference <= 2 * value.spread:
        return "within noise"
    return "within 1 point" if difference <= point else "off"


def _signed(value: float) -> str:
    return DASH if math.isnan(value) else f"{value:+.3f}".replace("-", "−")
