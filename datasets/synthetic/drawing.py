"""Brushes for the synthetic data set: random numbers, smooth fields, lines, spots, light, noise.

Everything is drawn in float64 on a square canvas of SIDE pixels with soft edges, so that no
supersampling is needed. The only random primitive is ``Generator.random``, and normal noise is a
sum of uniforms: nothing leans on a distribution that another version of NumPy may compute otherwise.
"""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Colour = tuple[float, float, float]

SIDE = 128
Y, X = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5, indexing="ij")


class Dice:
    """The random numbers of one image, seeded by its name alone.

    Args:
        name: for instance ``fabric/test/hole/003``; another name gives an independent image.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big")
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def __call__(self, low: float = 0.0, high: float = 1.0) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * float(self._generator.random())

    def aside(self) -> Dice:
        """Dice of their own for the defect, so that the scene is the same with and without it."""
        return Dice(f"{self._name} defect")

    def index(self, count: int) -> int:
        """Uniform in 0 … count - 1."""
        return int(self(0, count))

    def sign(self) -> int:
        return 1 if self() < 0.5 else -1

    def uniform(self, *shape: int) -> Array:
        """Uniform in [-1, 1), of the given shape."""
        return self._generator.random(shape) * 2 - 1

    def normal(self, *shape: int) -> Array:
        """Bell-shaped with variance 1: four uniforms summed."""
        total = np.zeros(shape)
        for _ in range(4):
            total += self._generator.random(shape)
        return (total - 2) * 3**0.5

    def field(self, rows: int, columns: int) -> Array:
        """Smooth noise in [-1, 1] (SIDE, SIDE) with that many bumps down and across."""
        lattice = self.uniform(rows + 1, columns + 1)
        top, down = _steps(rows)
        left, right = _steps(columns)
        lines = lattice[top] * (1 - down)[:, None] + lattice[top + 1] * down[:, None]
        smooth: Array = lines[:, left] * (1 - right) + lines[:, left + 1] * right
        return smooth

    def speckle(self, size: float) -> Array:
        """Noise (SIDE, SIDE) of variance about 1 with round spots of that many pixels."""
        lost = 2 * size * float(np.sqrt(np.pi))  # what the filter takes from white noise
        smooth: Array = lost * gaussian_filter(self.normal(SIDE, SIDE), size, mode="wrap")
        return smooth

    def table(self, index: Array, size: int = 256) -> Array:
        """Draw a random value in [-1, 1) per integer of ``index``: one per thread, per plank."""
        values: Array = self.uniform(size)[np.mod(index.astype(np.int64), size)]
        return values

    def point(self, region: Mask) -> tuple[float, float]:
        """Draw a random (x, y) inside a region, bool (SIDE, SIDE) with at least one pixel."""
        places = np.flatnonzero(region)
        row, column = divmod(int(places[self.index(len(places))]), SIDE)
        return column + 0.5, row + 0.5


def _steps(cells: int) -> tuple[Array, Mask]:
    """Find for every pixel the lattice point before it, and the smoothed way to the next one."""
    position = (np.arange(SIDE) + 0.5) * (cells / SIDE)
    before = np.floor(position).astype(np.int64)
    way = position - before
    return before, way * way * (3 - 2 * way)


def inside(margin: float) -> Mask:
    """Return the canvas without a border of that many pixels."""
    free: Mask = (abs(X - SIDE / 2) < SIDE / 2 - margin) & (abs(Y - SIDE / 2) < SIDE / 2 - margin)
    return free


def paint(image: Array, colour: Colour | Array, alpha: Array | float) -> Array:
    """``colour`` laid over an image (SIDE, SIDE, 3) with opacity ``alpha`` in [0, 1]."""
    alpha = np.asarray(alpha, dtype=np.float64)[..., None]
    return image + alpha * (np.asarray(colour) - image)


def flat(colour: Colour) -> Array:
    """Return a canvas (SIDE, SIDE, 3) of one colour."""
    return np.broadcast_to(np.asarray(colour, dtype=np.float64), (SIDE, SIDE, 3)).copy()


def shade(image: Array, amount: Array) -> Array:
    """Make an image lighter (amount > 0) or darker, by levels, in all channels."""
    return image + amount[..., None]


def edge(distance: Array, soft: float = 1.0) -> Array:
    """Coverage from a signed distance in pixels, negative inside: 1 inside, 0 outside."""
    return np.clip(0.5 - distance / soft, 0, 1)


def turned(angle: float, x: float = SIDE / 2, y: float = SIDE / 2) -> tuple[Array, Array]:
    """Coordinates (u, v) along axes turned by ``angle`` (radians) about the point (x, y)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return (X - x) * cos + (Y - y) * sin, (Y - y) * cos - (X - x) * sin


def box(u: Array, v: Array, width: float, height: float) -> Array:
    """Signed distance to a rectangle of that size centred in (u, v)."""
    return np.maximum(abs(u) - width / 2, abs(v) - height / 2)


def walk(
    dice: Dice, start: tuple[float, float], length: float, wander: float, steps: int = 10
) -> list[tuple[float, float]]:
    """Draw a random path; ``wander`` is the largest turn per step, in radians."""
    angle = dice(0, 2 * np.pi)
    points = [start]
    for _ in range(steps):
        angle += dice(-wander, wander)
        x, y = points[-1]
        step = length / steps
        points.append((x + step * float(np.cos(angle)), y + step * float(np.sin(angle))))
    return points


def from_path(points: list[tuple[float, float]]) -> Array:
    """Distance (SIDE, SIDE) of every pixel from a path."""
    best: Array = np.full((SIDE, SIDE), np.inf)
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((X - x0) * dx + (Y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        best = np.minimum(best, (X - x0 - along * dx) ** 2 + (Y - y0 - along * dy) ** 2)
    return np.asarray(np.sqrt(best))


def stroke(
    image: Array, points: list[tuple[float, float]], width: float, colour: Colour, alpha: float
) -> tuple[Array, Mask]:
    """Draw a line along a path. Returns the image and the mask, bool (SIDE, SIDE)."""
    distance = from_path(points) - width / 2
    return paint(image, colour, alpha * edge(distance)), distance < 0.5


def spot(dice: Dice, where: Mask, radius: float, ragged: float = 0.4) -> Array:
    """Signed distance, in pixels, to an irregular spot around a random point of ``where``."""
    x, y = dice.point(where)
    u, v = turned(dice(0, np.pi), x, y)
    stretch = dice(1, 1.5)
    distance = np.hypot(u / stretch, v * stretch)
    # the outline may wander, but the middle always belongs to the spot
    return distance + ragged * radius * dice.field(9, 9) * np.clip(distance / radius, 0, 1) - radius


def expose(dice: Dice, image: Array, noise: float = 3.0) -> Array:
    """Photograph it: add uneven light, exposure, noise. Returns uint8 (SIDE, SIDE, 3)."""
    angle = dice(0, 2 * np.pi)
    slope = ((X - SIDE / 2) * np.cos(angle) + (Y - SIDE / 2) * np.sin(angle)) / SIDE
    light = dice(0.94, 1.06) * (1 + dice(0, 0.12) * slope + 0.02 * dice.field(2, 2))
    image = image * light[..., None] + noise * dice.normal(SIDE, SIDE, 1)
    image = image + 0.5 * noise * dice.normal(SIDE, SIDE, 3)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
