"""ROC, precision-recall and PRO curves of several methods in one axis."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import BenchError
from benchmark.plots.common import (
    figure,
    folder_of,
    headline,
    legend_below,
    picture_over,
    save,
    style,
)
from benchmark.records.names import short_names
from benchmark.records.select import blocks
from benchmark.records.stored import Array, Datasets, Stored, one_seed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from benchmark.metrics import Curves

PRO_LIMIT = 0.3
TITLES = ("image ROC", "pixel ROC", "pixel precision-recall", "PRO, the part that counts")
AXES = (
    ("false positive rate", "true positive rate"),
    ("false positive rate", "true positive rate"),
    ("recall", "precision"),
    ("false positive rate", "per-region overlap"),
)


def curves(
    frame: pd.DataFrame,
    out: Path,
    datasets: Datasets,
    *,
    form: str = "png",
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Draw one picture per comparable block and category.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`; the first seed is shown.
        out: folder of the pictures.
        datasets: where the data sets are: pixel curves need the masks.
        form: ``png``, ``pdf`` or ``svg``.
        say: told of what is missing.
    """
    written = []
    for title, part in blocks(frame):
        order = {name: i for i, name in enumerate(sorted(part["name"].unique()))}
        labels = short_names(part)
        for category, same in part.groupby("category"):
            made = figure(13, 3.9)
            axes = list(made.subplots(1, 4))
            why: list[str] = []
            for stored in one_seed(same):
                name = labels.of[stored.row["name"]]
                try:
                    _draw(axes, stored, datasets, name, order[stored.row["name"]])
                except BenchError as error:
                    why.append(str(error).splitlines()[0])
                    say(f"{stored.title}: {why[-1]}")
            for place, heading, (x, y) in zip(axes, TITLES, AXES, strict=True):
                place.set_title(heading, fontsize=9)
                place.set_xlabel(x, fontsize=8)
                place.set_ylabel(y, fontsize=8)
                place.set_xlim(0, 1)
                place.set_ylim(0, 1.01)
                place.tick_params(labelsize=7)
                place.grid(alpha=0.25)
                if not place.lines:  # an empty frame would leave its reason to be guessed
                    _explain(place, why)
            axes[3].set_xlim(0, PRO_LIMIT)
            handles, shown = axes[0].get_legend_handles_labels()
            if not handles:
                continue
            legend_below(made, handles, shown, 3, 8)
            said = " ".join([*labels.shared, *labels.sentences()])
            headline(made, f"{category} ({title})\n{said}".strip(), 9)
            row = same.iloc[0]
            name = picture_over(row, "curves", str(category))
            written.append(save(made, folder_of(out, row) / f"{name}.{form}"))
    return written


def _explain(place: Axes, why: list[str]) -> None:
    """Write into an empty frame why nothing is drawn there."""
    reason = why[0] if why else "no maps were kept, or the test images have no masks"
    place.set_axis_off()
    text = textwrap.fill(f"not drawn: {reason}", 38)
    place.text(0.5, 0.5, text, ha="center", va="center", fontsize=7, transform=place.transAxes)


def _draw(axes: list[Axes], stored: Stored, datasets: Datasets, name: str, index: int) -> None:
    """Draw the image curve from the score file, pixel curves from maps and masks."""
    scores = stored.scores
    labels = np.asarray(scores.labels, bool)
    if labels.any() and not labels.all():
        x, y = roc(np.asarray(scores.scores), labels)
        axes[0].plot(x, y, label=name, **style(index))  # type: ignore[arg-type]
    found = pixel_curves(stored, datasets)
    if found is None:
        return
    steps = ("default", "steps-pre", "default")
    for place, curve, step in zip(axes[1:], (found.roc, found.pr, found.pro), steps, strict=True):
        place.plot(curve.x, curve.y, drawstyle=step, **style(index))  # type: ignore[arg-type]


def roc(scores: Array, labels: Array) -> tuple[Array, Array]:
    """Return false and true positive rates at every distinct threshold, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits, alarms = np.cumsum(labels[order])[ends], np.cumsum(~labels[order])[ends]
    return np.r_[0, alarms / alarms[-1]], np.r_[0, hits / hits[-1]]


def pixel_curves(stored: Stored, datasets: Datasets) -> Curves | None:
    """Compute curves over all measured pixels; None without maps, masks or anomalous pixels."""
    if stored.maps is None:
        return None
    from benchmark.machine import cores
    from benchmark.metrics import PixelMeter
    from benchmark.records.measure import measured_pixels

    category = datasets.scored(stored)
    if not category.has_masks:
        return None
    meter = PixelMeter(variants=False, curves=True)
    threads = cores()
    pixels = measured_pixels(stored.scores, stored.maps, category, stored.geometry, threads)
    for image in pixels:
        meter.add(image.window, image.mask, ids=[image.sample.id])
    return meter.result().curves
