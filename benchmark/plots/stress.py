"""Quality against how hard a category was made."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.data.corruptions import CORRUPTIONS
from benchmark.plots.common import (
    figure,
    folder_of,
    headline,
    legend_below,
    picture_over,
    save,
    style,
)
from benchmark.records.stored import Stored
from benchmark.tables.live import over_seeds
from benchmark.tables.stress import Stressed, stressed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLUMNS = 4
LABELS = {"shots": "training images", "contaminate": "share of the test's defects trained on"}


def stress(
    frame: pd.DataFrame,
    out: Path,
    *,
    metric: str = "image_auroc",
    form: str = "png",
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Draw a metric against the number of shots, the contamination, each corruption's strength.

    One picture per protocol, a panel per axis; bands are one standard deviation over seeds.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`.
        out: folder of the pictures.
        metric: averaged over the categories that all variants have.
        form: ``png``, ``pdf`` or ``svg``.
        say: told of protocols without a category that all variants have.
    """
    written = []
    for found in stressed(frame):
        if not found.categories:
            say(f"left out {found.title}: no category that all of its variants have")
            continue
        columns = min(COLUMNS, len(found.harder))
        lines = -(-len(found.harder) // columns)
        made = figure(max(4.8, 2.3 * columns + 0.4), 0.6 + 2.1 * lines)
        panels = made.subplots(lines, columns, squeeze=False, sharey=True)
        for axes in panels.flat[len(found.harder) :]:
            axes.axis("off")
        for axes, axis in zip(panels.flat, found.harder, strict=False):
            _panel(axes, found, axis, metric)
        panels[0, 0].set_ylabel(metric, fontsize=8)
        handles, names = panels[0, 0].get_legend_handles_labels()
        legend_below(made, handles, names, 2)
        headline(made, f"{found.title}; mean over {', '.join(found.categories)}")
        row = next(rows for variants in found.harder.values() for _, rows in variants).iloc[0]
        name = picture_over(row, f"stress {metric} {row['base']}")
        written.append(save(made, folder_of(out, row).with_name(row["base"]) / f"{name}.{form}"))
    return written


def _panel(axes: Axes, found: Stressed, axis: str, metric: str) -> None:
    """Draw one line per configuration, the clean value at its end."""
    for i, name in enumerate(found.names):
        clean = found.clean[found.clean["name"] == name]
        points = [(amount, rows[rows["name"] == name]) for amount, rows in found.harder[axis]]
        if not clean.empty:
            points.append((_images(clean) if axis == "shots" else 0.0, clean))
        points = sorted((p for p in points if not p[1].empty), key=lambda p: p[0])
        values = [over_seeds(rows, metric, found.categories) for _, rows in points]
        x = np.array([amount for amount, _ in points])
        y = np.array([value.mean for value in values])
        spread = np.array([value.spread or 0.0 for value in values])
        look = style(i)
        axes.plot(
            x, y, look["linestyle"], color=look["color"], marker="o", ms=3, lw=1.3, label=name
        )
        axes.fill_between(x, y - spread, y + spread, color=look["color"], alpha=0.15, lw=0)
    if axis == "shots":
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    elif axis in CORRUPTIONS:
        axes.set_xticks(range(6))
    axes.set_xlabel(LABELS.get(axis, f"{axis}, strength"), fontsize=7)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)


def _images(clean: pd.DataFrame) -> float:
    """Count the images that the clean cells were trained on, averaged over categories."""
    found: Sequence[float] = [
        Stored(row).record["provenance"]["images"]["found"]["train"] * (1 - row["holdout"])
        for _, row in clean.drop_duplicates("category").iterrows()
    ]
    return float(np.mean(found)) if found else math.nan
