"""A contact sheet: the verdicts on one page, the most anomalous first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmark.plots.common import DEFECTIVE, GOOD, figure, headline, save
from benchmark.records.kept import Kept

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHEET = "sheet.png"
COLUMNS, MOST = 4, 48
WIDTH = 11.0
"""Inches of a sheet."""


def write_sheet(kept: Kept, rows: Sequence[Mapping[str, Any]], folder: Path) -> Path | None:
    """Draw the pictures of the highest scores, with name, score and verdict.

    Args:
        kept: the detector.
        rows: of all images, see :class:`benchmark.deploy.predict.Outcome`.
        folder: of the results, which holds the pictures.

    Returns:
        The file; None when no image was judged.
    """
    judged = sorted((r for r in rows if "picture" in r), key=lambda r: -r["score"])
    shown = judged[:MOST]
    if not shown:
        return None
    photos = [np.asarray(Image.open(folder / row["picture"])) for row in shown]
    columns = min(COLUMNS, max(2, len(shown)))
    lines = math.ceil(len(shown) / columns)
    tallest = max(len(photo) / photo.shape[1] for photo in photos)
    side = WIDTH / columns
    made = figure(WIDTH, lines * (side * tallest + 0.42) + 1.1)
    grid = made.subplots(lines, columns, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, row, photo in zip(grid.flat, shown, photos, strict=False):
        _tile(axes, row, photo)
    headline(made, _head(kept, rows, len(shown)), 9)
    return save(made, folder / SHEET)


def _tile(axes: Axes, row: Mapping[str, Any], photo: Any) -> None:
    colour = {"defective": DEFECTIVE, "good": GOOD}.get(row["decision"] or "", "0.4")
    axes.imshow(photo)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(2)
    name = "/".join(Path(row["path"]).parts[-2:])
    verdict = (row["decision"] or "").upper()
    margin = "" if row["margin"] is None else f"  ({row['margin']:+.3g} to the threshold)"
    axes.set_title(_shortened(name), loc="left", fontsize=7, pad=12)
    axes.text(
        0,
        1.015,
        f"{verdict}  {row['score']:.4g}{margin}".strip(),
        transform=axes.transAxes,
        fontsize=7,
        color=colour,
        fontweight="bold",
        va="bottom",
    )


def _head(kept: Kept, rows: Sequence[Mapping[str, Any]], shown: int) -> str:
    judged = [row for row in rows if "score" in row]
    bad = sum(row["decision"] == "defective" for row in judged)
    failed = len(rows) - len(judged)
    found = kept.info["threshold"]
    text = (
        f"{kept.name}, fitted on {kept.info['trained_on']} normal images of {kept.key['category']}"
    )
    if kept.info["random_weights"]:
        text += "   RANDOM WEIGHTS"
    if found["image"] is None:
        text += f"\n{len(judged)} images, no threshold"
    else:
        text += (
            f"\n{bad} of {len(judged)} images defective: score above {found['image']:.4g} (set on "
            f"{found['held_out_images']} held-out normal images; at most about "
            f"{100 * found['false_alarms']:.0f} % false alarms among normal ones)"
        )
    text += f", {failed} not judged" if failed else ""
    outlined = "outlined in green where a pixel is above its threshold; " if found["pixel"] else ""
    more = f"; the {shown} highest of {len(judged)}" if shown < len(judged) else ""
    return f"{text}\nphotograph and map, {outlined}highest score first{more}"


def _shortened(name: str) -> str:
    return name if len(name) <= 44 else f"…{name[-43:]}"
