"""Score histograms: how far apart good and defective images lie, category by category."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import StoreError
from benchmark.plots.common import (
    DEFECTIVE,
    GOOD,
    figure,
    folder_of,
    headline,
    legend_below,
    picture_of,
    save,
)
from benchmark.records.stored import Array, Stored, one_seed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

BINS = 30
SCALING = (
    "image scores scaled to 0…1 by the smallest and largest test score of the category, for this "
    "picture only; bars: share of the images of a kind"
)


def histograms(
    frame: pd.DataFrame, out: Path, *, form: str = "png", say: Callable[[str], None] = print
) -> list[Path]:
    """Draw one picture per configuration, a panel per category (as in RD4AD's Figure 5).

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`; the first seed is shown.
        out: folder of the pictures.
        form: ``png``, ``pdf`` or ``svg``.
        say: told of records whose scores are gone.
    """
    groups: dict[tuple[str, str, str], list[Stored]] = defaultdict(list)
    for stored in one_seed(frame):
        groups[stored.row["dataset"], stored.row["protocol"], stored.row["config"]].append(stored)
    written = []
    for group in groups.values():
        shown = []
        for stored in group:
            try:
                shown.append((stored, stored.scores))
            except StoreError as error:
                say(f"left out {stored.title}: {error}")
        if not shown:
            continue
        columns = min(len(shown), 5)
        rows = -(-len(shown) // columns)
        made = figure(max(2.3 * columns, 4.5), 1.9 * rows + 0.9)
        axes = made.subplots(rows, columns, squeeze=False)
        for empty in axes.flat[len(shown) :]:
            empty.set_axis_off()
        for place, (stored, scores) in zip(axes.flat, shown, strict=False):
            threshold = stored.threshold
            _panel(place, np.asarray(scores.scores), np.asarray(scores.labels, bool), threshold)
            place.set_title(stored.row["category"], fontsize=8)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        legend_below(made, handles, labels, len(labels))
        row = group[0].row
        random = "  RANDOM WEIGHTS" if row["random_weights"] else ""
        headline(
            made,
            f"{row['name']} ({row['dataset']}, protocol {row['protocol']}, seed {row['seed']})"
            f"{random}\n{SCALING}",
            7.5,
        )
        path = folder_of(out, row) / f"{picture_of(row, 'histograms')}.{form}"
        written.append(save(made, path))
    return written


def _panel(axes: Axes, scores: Array, labels: Array, threshold: float | None) -> None:
    low, high = float(scores.min()), float(scores.max())
    span = high - low or 1.0
    edges = np.linspace(0, 1, BINS + 1).tolist()
    for kind, color, name in ((~labels, GOOD, "good"), (labels, DEFECTIVE, "defective")):
        if not kind.any():
            continue
        values = (scores[kind] - low) / span
        weights = np.full(len(values), 1 / len(values))
        hatch = "///" if name == "defective" else None
        axes.hist(values, edges, weights=weights, color=color, alpha=0.6, label=name, hatch=hatch)
    if threshold is not None:
        where = (threshold - low) / span
        axes.axvline(where, color="black", lw=1, ls="--", label="threshold (held-out good images)")
    axes.tick_params(labelsize=6)
    axes.set_xlim(-0.02, 1.02)
