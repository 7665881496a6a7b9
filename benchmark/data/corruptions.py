"""Images as another camera, lamp or file would have given them, in five strengths.

Each works on the decoded image at the file's own size, before any resizing, so that every method sees
the same picture. Draws come from a generator that the caller seeds by the image alone: another
strength of one kind keeps its direction, and only grows.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[Any]
STRENGTHS = range(1, 6)
AT = 256
"""Side of the image that blur's pixels are counted at."""


def corrupted(image: Array, kind: str, strength: int, rng: np.random.Generator) -> Array:
    """Corrupt an image.

    Args:
        image: uint8 RGB (H, W, 3).
        kind: a key of :data:`CORRUPTIONS`.
        strength: 1 to 5.
        rng: its draws.

    Returns:
        uint8 RGB (H, W, 3).
    """
    draw, by = CORRUPTIONS[kind]
    return draw(image, by[strength - 1], rng)


def moved_mask(mask: Array, kind: str, strength: int, rng: np.random.Generator) -> Array:
    """Move a mask, bool (H, W), as the image is moved; nothing comes in from outside it.

    Args:
        rng: with the seed of the image's.
    """
    if kind not in MOVING:
        return mask
    matrix, offset = MOVING[kind](mask.shape, CORRUPTIONS[kind][1][strength - 1], rng)
    return _warped(mask.astype(np.uint8), matrix, offset, order=0, mode="constant").astype(bool)


def _clipped(values: Array) -> Array:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _brightness(image: Array, by: float, rng: np.random.Generator) -> Array:
    """Lighten or darken by a share of the full range."""
    return _clipped(image + rng.choice([-1.0, 1.0]) * by * 255)


def _contrast(image: Array, by: float, rng: np.random.Generator) -> Array:
    """Keep only a share of the distance from the image's mean colour."""
    mean = image.mean((0, 1))
    return _clipped(mean + (image - mean) * by)


def _blur(image: Array, by: float, rng: np.random.Generator) -> Array:
    """Blur by a Gaussian, its deviation in pixels of an image of AT."""
    from scipy.ndimage import gaussian_filter

    sigma = by * min(image.shape[:2]) / AT
    return _clipped(gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), mode="nearest"))


def _noise(image: Array, by: float, rng: np.random.Generator) -> Array:
    """Add Gaussian noise to every pixel and channel, its deviation in grey levels."""
    return _clipped(image + by * rng.standard_normal(image.shape, np.float32))


def _jpeg(image: Array, by: float, rng: np.random.Generator) -> Array:
    """Write as JPEG of a quality, and read again."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(by))
    return np.array(Image.open(buffer).convert("RGB"))


def _shadow(image: Array, by: float, rng: np.random.Generator) -> Array:
    """Darken one side of a line through the image by a share, with a soft edge."""
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    through = rng.uniform(0.3, 0.7, 2)
    y, x = np.mgrid[:height, :width]
    away = (x / width - through[0]) * np.cos(angle) + (y / height - through[1]) * np.sin(angle)
    dark = 1 / (1 + np.exp(-away / 0.02))
    return _clipped(image * (1 - by * dark)[..., None])


def _moved(kind: str) -> Callable[[Array, float, np.random.Generator], Array]:
    """Make the corruption that moves an image; its edge pixels fill what comes in."""

    def draw(image: Array, by: float, rng: np.random.Generator) -> Array:
        matrix, offset = MOVING[kind](image.shape[:2], by, rng)
        channels = [
            _warped(image[..., c], matrix, offset, order=1, mode="nearest") for c in range(3)
        ]
        return np.stack(channels, axis=-1)

    return draw


def _shift(shape: tuple[int, ...], by: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Move by a share of the side, in a direction drawn, by whole pixels."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.eye(2), np.rint(by * np.array(shape) * [np.sin(angle), np.cos(angle)])


def _rotate(shape: tuple[int, ...], by: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Turn around the middle by an angle in degrees, in a direction drawn."""
    angle = np.deg2rad(by) * rng.choice([-1, 1])
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array(shape) - 1) / 2
    return matrix, middle - matrix @ middle


def _warped(image: Array, matrix: Array, offset: Array, *, order: int, mode: str) -> Array:
    from scipy.ndimage import affine_transform

    out: Array = affine_transform(image, matrix, offset, order=order, mode=mode)
    return out


MOVING: dict[str, Callable[..., tuple[Array, Array]]] = {"shift": _shift, "rotate": _rotate}
"""Those that move pixels, and masks with them: shape, strength and draws to where a pixel comes from."""
CORRUPTIONS: dict[
    str, tuple[Callable[[Array, float, np.random.Generator], Array], tuple[float, ...]]
] = {
    "brightness": (_brightness, (0.04, 0.08, 0.12, 0.16, 0.2)),
    "contrast": (_contrast, (0.85, 0.7, 0.55, 0.4, 0.25)),
    "blur": (_blur, (0.5, 1, 1.5, 2, 3)),
    "noise": (_noise, (6, 12, 20, 30, 45)),
    "jpeg": (_jpeg, (80, 50, 30, 15, 8)),
    "shift": (_moved("shift"), (0.01, 0.02, 0.04, 0.06, 0.08)),
    "rotate": (_moved("rotate"), (1, 2, 4, 7, 10)),
    "shadow": (_shadow, (0.1, 0.2, 0.3, 0.4, 0.5)),
}
"""Kind to what draws it, and what the five strengths mean in its own unit."""
