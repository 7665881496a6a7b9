"""A contact sheet: the verdicts on one page, the most anomalous first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from benchmark.plots.common import DEFECTIVE, GOOD, figure, headline, save
from benchmark.records.kept import Kept

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHEET = "sheet.png"
COLUMNS, MOST = 4, 48
WIDTH = 11.0
"""Inches of a sheet."""
GAP, CAPTION = 0.06, 0.18
"""Inches around a tile: to the sides, and above and below, where its caption stands."""


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
    side = WIDTH / columns - 2 * GAP
    made = figure(WIDTH, lines * (side * tallest + 2 * CAPTION) + 0.75)
    engine = ConstrainedLayoutEngine(w_pad=GAP, h_pad=CAPTION, wspace=0, hspace=0)
    made.set_layout_engine(engine)
    grid = made.subplots(lines, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, row, photo in zip(grid.flat, shown, photos, strict=False):
        _tile(axes, row, photo)
    headline(made, _head(kept, rows, len(shown)), 9)
    return save(made, folder / SHEET)


def _tile(axes: Axes, row: Mapping[str, Any], photo: Any) -> None:
    colour = {"defective": DEFECTIVE, "good": GOOD}.get(row["decision"] or "", "0.4")
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    axes.imshow(photo)
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=2.5)
    margin = "" if row["margin"] is None else f" ({row['margin']:+.3g})"
    verdict = f"{(row['decision'] or '').upper()}  {row['score']:.4g}{margin}".strip()
    name = _shortened("/".join(Path(row["path"]).parts[-2:]))
    for text, height, ink, weight in ((name, 13, "black", "normal"), (verdict, 4, colour, "bold")):
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
        written = axes.annotate(text, (0, 1), (0, height), **place, fontsize=7)
        written.set(color=ink, fontweight=weight)
        written.set_in_layout(False)  # room for it is in CAPTION; a long name takes none of a tile


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
    outlined = "" if found["pixel"] is None else "outlined where pixels are above their threshold; "
    more = f"; the {shown} highest of {len(judged)}" if shown < len(judged) else ""
    return f"{text}\nphotograph and map, {outlined}score (and how far above the threshold), highest first{more}"


def _shortened(name: str) -> str:
    return name if len(name) <= 44 else f"…{name[-43:]}"
