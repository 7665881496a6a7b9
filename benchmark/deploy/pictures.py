"""What is drawn for one image: its map as a 16-bit file, and the photograph beside its map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor

from benchmark.data.geometry import Geometry
from benchmark.plots.gallery import OUTLINE

Array = npt.NDArray[Any]
Limits = tuple[float, float]
MapForm = Literal["png", "npy", "none"]
WHITE = 65535
PHOTO_SIDE = 640
"""Longest side of a photograph in a picture, in pixels."""


@dataclass(frozen=True)
class Wanted:
    """What is written beside the table.

    Attributes:
        maps: as 16-bit ``png``, ``npy``, or ``none``.
        pictures: whether photographs are drawn beside their maps, and a contact sheet of them.
    """

    maps: MapForm = "png"
    pictures: bool = True


def write_map(anomaly_map: Array, limits: Limits, form: MapForm, path: Path) -> None:
    """Write a map: ``npy`` as float32 (NaN outside of what the detector saw), ``png`` as 16-bit grey.

    Args:
        anomaly_map: float32 (H, W).
        limits: the scores of black and white in a PNG; the same for all images of a detector.
        form: which.
        path: the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "npy":
        np.save(path, anomaly_map)
        return
    grey = np.rint(shares(anomaly_map, limits) * WHITE).astype(np.uint16)
    Image.fromarray(grey).save(path)


def shares(values: Array, limits: Limits) -> Array:
    """Bring scores to [0, 1] between two limits; what lies outside, and NaN, goes to the ends."""
    low, high = limits
    out: Array = np.nan_to_num(((values - low) / max(high - low, 1e-12)).clip(0, 1), nan=0.0)
    return out


def picture(
    photo: Array,
    input_map: Array | None,
    geometry: Geometry,
    limits: Limits | None,
    threshold: float | None,
) -> Array:
    """Draw a photograph with what is anomalous outlined, beside its map in colours.

    Args:
        photo: uint8 RGB (H, W, 3).
        input_map: float (h, w) at the detector's input; None draws the photograph alone.
        geometry: how the image became the input.
        limits: the scores of the darkest and the brightest colour.
        threshold: pixels above it are outlined; None outlines nothing.

    Returns:
        uint8 RGB (H, 2 W + gap, 3), or (H, W, 3) without a map.
    """
    if input_map is None or limits is None:
        return photo
    whole = geometry.on_image(input_map, *photo.shape[:2])
    colours = _heat()[np.rint(shares(whole, limits) * 255).astype(np.uint8)]
    colours[np.isnan(whole)] = 255
    if threshold is not None:
        photo = photo.copy()
        for edge, colour in _outline(whole > threshold):
            photo[edge] = colours[edge] = ImageColor.getrgb(colour)
    gap = np.full((len(photo), max(2, photo.shape[1] // 50), 3), 255, np.uint8)
    return np.concatenate([photo, gap, colours], axis=1)


def write_picture(drawn: Array, path: Path) -> None:
    """Write a picture as JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawn).save(path, quality=88)


def _outline(inside: Array) -> list[tuple[Array, str]]:
    """Mark the pixels around a region in a colour, and around those in black: seen on any ground."""
    from scipy.ndimage import binary_dilation

    if not inside.any():
        return []
    width = max(1, round(min(inside.shape) / 150))
    near = binary_dilation(inside, iterations=width)
    far = binary_dilation(near, iterations=max(1, width // 2))
    return [(far & ~near, "black"), (near & ~inside, OUTLINE)]


@lru_cache(maxsize=1)
def _heat() -> Array:
    """Return the 256 colours of maps: uint8 (256, 3)."""
    from matplotlib import colormaps

    return (colormaps["inferno"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
