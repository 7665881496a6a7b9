"""Galleries: what a method missed and where it cried wolf, worst first."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.data.dataset import Category, Sample
from benchmark.data.geometry import Geometry
from benchmark.errors import DataError, StoreError
from benchmark.plots.common import figure, folder_of, headline, picture_of, save, shared_range
from benchmark.records.stored import Array, Datasets, Stored, one_seed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OUTLINE = "#00ff66"
THRESHOLD = "#ffffff"
WINDOW = "#56b4e9"
OUTSIDE = 0.02
"""Share of a defect's pixels outside the measured window from which a picture says so."""
SIDE = 1.55
"""Inches of one image."""


@dataclass(frozen=True)
class Shown:
    """One test image in a gallery.

    Attributes:
        sample: the image.
        position: in the test split.
        caption: its name, score, and how many images of the other kind stand in its way.
    """

    sample: Sample
    position: int
    caption: str


def gallery(
    frame: pd.DataFrame,
    out: Path,
    datasets: Datasets,
    *,
    count: int = 5,
    form: str = "png",
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Draw one picture per configuration and category: image, ground-truth outline, anomaly map.

    Left the defective images with the lowest scores (the worst misses), right the good ones with
    the highest (the worst false alarms). All maps of a method share one colour range over all its
    categories, so that they can be compared by eye.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`; the first seed is shown.
        out: folder of the pictures, ``<out>/<data set>/<protocol>/<method>@<identity>-<category>.png``.
        datasets: where the data sets are.
        count: images of each kind.
        form: ``png``, ``pdf`` or ``svg``.
        say: told of records that cannot be shown, and why.

    Returns:
        The files written.
    """
    groups: dict[tuple[str, str, str], list[Stored]] = defaultdict(list)
    for stored in one_seed(frame):
        groups[stored.row["dataset"], stored.row["protocol"], stored.row["config"]].append(stored)
    written = []
    for group in groups.values():
        try:
            maps = [s.maps for s in group if s.maps is not None]
        except StoreError as error:
            say(f"left out {group[0].row['name']}: {error}")
            continue
        limits = shared_range(maps) if maps else (0.0, 1.0)
        for stored in group:
            try:
                made = draw(stored, datasets, limits, count)
            except (StoreError, DataError) as error:
                say(f"left out {stored.title}: {error}")
                continue
            name = f"{picture_of(stored.row, category=stored.row['category'])}.{form}"
            written.append(save(made, folder_of(out, stored.row) / name))
    return written


def draw(stored: Stored, datasets: Datasets, limits: tuple[float, float], count: int) -> Figure:
    """Draw the gallery of one record."""
    category = datasets.scored(stored)
    misses, alarms = ranked(stored, category, count)
    rows = max(len(misses), len(alarms), 1)
    made = figure(5 * SIDE + 1.3, rows * (SIDE + 0.32) + 1.0)
    grid = made.subplots(rows, 5, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    last = None
    outlined = False
    for row, shown in zip(grid, misses, strict=False):
        aspect = _image(row[0], stored, shown.sample)
        _image(row[1], stored, shown.sample)
        last = _map(row[2], stored, shown, limits, aspect) or last
        outlined = _truth(row[1:3], stored, shown.sample) or outlined
        row[0].set_title(shown.caption, loc="left", fontsize=7)
    for row, shown in zip(grid, alarms, strict=False):
        aspect = _image(row[3], stored, shown.sample)
        last = _map(row[4], stored, shown, limits, aspect) or last
        row[3].set_title(shown.caption, loc="left", fontsize=7)
    if last is not None:
        bar = made.colorbar(last, ax=grid[:, 4].tolist(), fraction=0.08, extend="both")
        bar.ax.tick_params(labelsize=7)
        bar.set_label("anomaly score of a pixel, one scale for all of the method", fontsize=7)
    random = "  RANDOM WEIGHTS" if stored.row["random_weights"] else ""
    headline(
        made,
        f"{stored.title}  ({stored.row['dataset']}, protocol {stored.row['protocol']}, seed "
        f"{stored.row['seed']}){random}\n"
        f"left: defective, lowest score first{_legend(stored, outlined)}    "
        "right: good, highest score first",
        8.5,
    )
    return made


def ranked(stored: Stored, category: Category, count: int) -> tuple[list[Shown], list[Shown]]:
    """Choose the defective images with the lowest scores and the good ones with the highest.

    Raises:
        DataError: the category does not hold the images that were scored.
    """
    scores = stored.scores
    samples = {sample.id: sample for sample in category.test}
    lost = [i for i in scores.ids if i not in samples]
    if lost:
        raise DataError(
            f"{len(lost)} of the scored images are not in the data set now, the first is {lost[0]}; "
            "check --data-root"
        )
    labels = np.asarray(scores.labels, bool)
    values = np.asarray(scores.scores)
    order = np.argsort(values, kind="stable")
    bad = [int(i) for i in order if labels[i]][:count]
    good = [int(i) for i in order[::-1] if not labels[i]][:count]

    def shown(position: int, others: Array, higher: bool, kind: str) -> Shown:
        value = values[position]
        beaten = int((others >= value).sum() if higher else (others <= value).sum())
        name = "/".join(scores.ids[position].rsplit("/", 2)[-2:])
        word = "as high" if higher else "as low"
        caption = f"{name}  {value:.4g}\n{beaten} of {len(others)} {kind} score {word} or "
        return Shown(
            samples[scores.ids[position]], position, caption + ("higher" if higher else "lower")
        )

    return (
        [shown(i, values[~labels], True, "good") for i in bad],
        [shown(i, values[labels], False, "defective") for i in good],
    )


def _legend(stored: Stored, outlined: bool) -> str:
    """Say which lines there are in the pictures."""
    lines = ["ground truth green"] if outlined else []
    if stored.maps is not None and stored.pixel_threshold is not None:
        lines.append("pixel threshold white, dashed")
    if stored.geometry.eval_crop:
        lines.append("measured window blue")
    return f" ({', '.join(lines)})" if lines else ""


def _image(axes: Axes, stored: Stored, sample: Sample) -> float:
    """Draw the input as wide as the image is; returns how much taller than wide its pixels are."""
    geometry = stored.geometry
    pixels = sample.image.pixels()
    height, width = pixels.shape[:2]
    high, wide = geometry.resized(height, width)
    aspect = float((height / high) / (width / wide))
    axes.imshow(geometry.image(pixels), aspect=aspect)
    return aspect


def _truth(places: Sequence[Axes], stored: Stored, sample: Sample) -> bool:
    """Outline ground truth and measured window, and mark a defect outside of it; tells whether
    there is ground truth to see."""
    if sample.mask is None:
        return False
    mask = sample.mask.mask()
    whole = replace(stored.geometry, eval_crop=None, eval_size=None)
    seen = whole.mask(mask)
    drawn = [outline(axes, seen) for axes in places]
    if side := stored.geometry.eval_crop:
        _window(places[0], seen.shape, side)
    if (share := outside(stored.geometry, mask)) > OUTSIDE:
        text = f"{share:.0%} of the defect outside the measured window"
        box = {"facecolor": "black", "alpha": 0.7, "pad": 1.5, "linewidth": 0}
        at = places[0].transAxes
        places[0].text(
            0.02, 0.02, textwrap.fill(text, 26), color="white", fontsize=5.5, bbox=box, transform=at
        )
    return any(drawn)


def outside(geometry: Geometry, mask: Array) -> float:
    """Return the share of a defect that is not measured.

    Args:
        geometry: of the record.
        mask: bool (H, W) of the image's own size.

    Returns:
        0…1; 0 for an empty mask.
    """
    whole = replace(geometry, crop=None, eval_crop=None, eval_size=None).mask(mask).sum()
    measured = replace(geometry, eval_size=None).mask(mask).sum()
    return 1.0 - float(measured) / float(whole) if whole else 0.0


def outline(axes: Axes, mask: Array) -> bool:
    """Draw the outline of a mask, bool (H, W); False where there is none to draw."""
    if not mask.any() or mask.all():
        return False
    axes.contour(mask, levels=[0.5], colors=OUTLINE, linewidths=0.9)
    return True


def _window(axes: Axes, shape: tuple[int, ...], side: int) -> None:
    from matplotlib.patches import Rectangle

    height, width = (min(side, length) for length in shape)
    corner = ((shape[1] - width) / 2 - 0.5, (shape[0] - height) / 2 - 0.5)
    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=WINDOW, lw=0.9))


def _map(
    axes: Axes, stored: Stored, shown: Shown, limits: tuple[float, float], aspect: float
) -> Any:
    if stored.maps is None:
        axes.text(0.5, 0.5, "no map", ha="center", va="center", transform=axes.transAxes)
        return None
    low, high = limits
    values = np.asarray(stored.maps[shown.position], np.float32)
    drawn = axes.imshow(values, cmap="inferno", vmin=low, vmax=high, aspect=aspect)
    threshold = stored.pixel_threshold
    if threshold is not None and values.min() < threshold < values.max():
        axes.contour(values, [threshold], colors=THRESHOLD, linewidths=0.7, linestyles="--")
    return drawn
