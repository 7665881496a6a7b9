"""Cost against quality, and which kinds of defects are found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from benchmark.errors import StoreError
from benchmark.plots.common import (
    SERIES,
    figure,
    folder_of,
    headline,
    legend_below,
    picture_over,
    save,
    style,
)
from benchmark.records.names import short_names
from benchmark.records.select import blocks, category_groups
from benchmark.records.stored import Stored, one_seed
from benchmark.tables.live import over_seeds

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FALSE_ALARMS = 0.01


def cost(
    frame: pd.DataFrame,
    out: Path,
    *,
    metric: str = "image_auroc",
    form: str = "png",
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Draw seconds per image against quality; the area of a point is what the method stores.

    One picture per comparable block and device: times of two machines are no comparison.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`.
        out: folder of the pictures.
        metric: averaged over the categories of the block.
        form: ``png``, ``pdf`` or ``svg``.
        say: told of configurations without a value.
    """
    written = []
    for title, part in blocks(frame):
        every = [c for _, g in category_groups(part) for c in g]
        labels = short_names(part)
        for device, same in part.groupby("device", dropna=False):
            points = []
            for name, rows in same.groupby("name", sort=False):
                value = over_seeds(rows, metric, every).mean
                seconds = float(rows["latency_batch_1_seconds"].mean())
                if math.isnan(value) or math.isnan(seconds):
                    say(
                        f"left out {name}: no {metric} over all {len(every)} categories, or no time"
                    )
                    continue
                points.append((str(name), seconds, value, float(rows["stored_bytes"].mean())))
            if not points:
                continue
            made = figure(6.4, 4.4)
            axes = made.subplots()
            handles, names = [], []
            for i, (name, seconds, value, stored) in enumerate(points):
                area = 30 + 0.8 * stored / 1e6
                color = SERIES[i % len(SERIES)]
                axes.scatter(seconds, value, area, color=color, alpha=0.7)
                axes.annotate(
                    f"{i + 1}",
                    (seconds, value),
                    textcoords="offset points",
                    xytext=(math.sqrt(area) / 2 + 3, 0),
                    va="center",
                    fontsize=8,
                )
                handles.append(axes.scatter([], [], 30, color=color, alpha=0.7))
                names.append(f"{i + 1}  {labels.of[name]}, {stored / 1e6:.0f} MB")
            legend_below(made, handles, names, 2)
            low, high = (found(point[1] for point in points) for found in (min, max))
            time_axis(axes, low, high)
            axes.margins(x=0.15, y=0.2)
            axes.set_xlabel(f"seconds per image, one at a time, on {device}", fontsize=8)
            axes.set_ylabel(
                f"{metric}, mean over {', '.join(every) if len(every) < 4 else f'{len(every)} categories'}",
                fontsize=8,
            )
            axes.tick_params(labelsize=7, which="both")
            axes.grid(alpha=0.25)
            said = " ".join([*labels.shared, *labels.sentences()])
            headline(
                made, f"{title}\narea: bytes stored beyond the frozen backbone\n{said}".strip()
            )
            name = picture_over(same.iloc[0], f"cost {metric} {device}")
            written.append(save(made, folder_of(out, same.iloc[0]) / f"{name}.{form}"))
    return written


def time_axis(axes: Axes, low: float, high: float) -> None:
    """Choose a scale and ticks for seconds from ``low`` to ``high`` that do not cover each other."""
    if high > 3 * low:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:  # within a decade a logarithmic axis has one round number or none
        axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter("{x:g}")  # as people write them, not as powers of ten


def defects(
    frame: pd.DataFrame, out: Path, *, form: str = "png", say: Callable[[str], None] = print
) -> list[Path]:
    """Draw recall by defect type: the share of each kind's images above the threshold.

    The threshold is the one set on held-out good images; where the protocol holds out none, the
    highest that gives at most 1 % false alarms on the test images, and the picture says so.
    """
    written = []
    for title, part in blocks(frame):
        order = {name: i for i, name in enumerate(sorted(part["name"].unique()))}
        labels = short_names(part)
        for category, same in part.groupby("category"):
            shares: dict[str, dict[str, float]] = {}
            counts: Counter[str] = Counter()
            oracle = False
            for stored in one_seed(same):
                try:
                    shares[stored.row["name"]], test_set = recall_by_type(stored)
                    counts = counts_by_type(stored)
                except StoreError as error:
                    say(f"left out {stored.title}: {error}")
                    continue
                oracle = oracle or test_set
            kinds = list(dict.fromkeys(k for s in shares.values() for k in s))
            if not kinds:
                continue
            made = figure(6.4, 0.9 + 0.22 * len(kinds) * (len(shares) + 1))
            axes = made.subplots()
            height = 0.8 / len(shares)
            for i, (name, found) in enumerate(shares.items()):
                at = np.arange(len(kinds)) + (i - (len(shares) - 1) / 2) * height
                values = [found.get(kind, math.nan) for kind in kinds]
                axes.barh(
                    at, values, height, label=labels.of[name], color=style(order[name])["color"]
                )
                for y, v in zip(at, values, strict=True):
                    axes.text(v + 0.01, y, f"{v:.0%}", va="center", fontsize=6)
            axes.set_yticks(
                range(len(kinds)), [f"{kind} (n = {counts[kind]})" for kind in kinds], fontsize=7
            )
            axes.invert_yaxis()
            axes.set_xlim(0, 1.1)
            axes.tick_params(axis="x", labelsize=7)
            rule = (
                "threshold: at most 1 % false alarms among the good test images (an oracle)"
                if oracle
                else "threshold set on held-out good images"
            )
            axes.set_xlabel(f"share of the images found; {rule}", fontsize=7)
            legend_below(made, *axes.get_legend_handles_labels(), 2)
            said = " ".join([*labels.shared, *labels.sentences()])
            headline(made, f"{category} ({title})\n{said}".strip())
            row = same.iloc[0]
            name = picture_over(row, "defects", str(category))
            written.append(save(made, folder_of(out, row) / f"{name}.{form}"))
    return written


def recall_by_type(stored: Stored) -> tuple[dict[str, float], bool]:
    """Return the share found per defect type, and whether the threshold was taken from the test
    images."""
    scores = stored.scores
    values, labels = np.asarray(scores.scores), np.asarray(scores.labels, bool)
    threshold, oracle = limit(stored)
    kinds = np.asarray(scores.defects)
    shares = {
        str(kind): float((values[labels & (kinds == kind)] > threshold).mean())
        for kind in sorted(set(kinds[labels]))
    }
    return shares, oracle


def counts_by_type(stored: Stored) -> Counter[str]:
    """Count the test images of each defect type."""
    scores = stored.scores
    return Counter(k for k, label in zip(scores.defects, scores.labels, strict=True) if label)


def limit(stored: Stored) -> tuple[float, bool]:
    """Return the threshold set on held-out good images; where there is none, the highest that gives
    at most 1 % false alarms on the test images, and True."""
    if stored.threshold is not None:
        return stored.threshold, False
    scores = stored.scores
    good = np.sort(np.asarray(scores.scores)[~np.asarray(scores.labels, bool)])
    allowed = math.floor(FALSE_ALARMS * len(good))
    return (float(good[len(good) - 1 - allowed]) if len(good) else -math.inf), True
