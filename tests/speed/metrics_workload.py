"""Score maps and masks of a given size, as a test set of an anomaly detector has them.

Two thirds of the images carry one to four elliptic defects. `smooth` maps are what detectors make
(coarse features, interpolated); `noise` maps draw each pixel by itself, which spoils every cache
and has no ties to speak of: the hardest case for a ranking.
"""

import numpy as np
from numpy.typing import NDArray

KINDS = ("noise", "smooth")


def workload(
    images: int, size: int, *, anomalous: float = 0.014, kind: str = "noise", seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Maps (images, size, size) float32 and masks bool with about `anomalous` of them marked."""
    rng = np.random.default_rng(seed)
    maps = np.empty((images, size, size), dtype=np.float32)
    masks = np.zeros((images, size, size), dtype=np.bool_)
    row, column = np.mgrid[:size, :size].astype(np.float32)
    for i in range(images):
        if i % 3:
            number = int(rng.integers(1, 5))
            # Shares of the image so that the mean over all images comes out as asked.
            area = 1.5 * anomalous * size * size * rng.dirichlet(np.full(number, 4.0))
            for pixels in area:
                aspect = rng.uniform(0.5, 2.0)
                high, wide = np.sqrt(pixels / np.pi * aspect), np.sqrt(pixels / np.pi / aspect)
                y, x = rng.uniform(0.1 * size, 0.9 * size, 2)
                masks[i] |= ((row - y) / high) ** 2 + ((column - x) / wide) ** 2 <= 1
        if kind == "noise":
            rng.standard_normal(out=maps[i], dtype=np.float32)
        else:
            maps[i] = _interpolate(rng.standard_normal((size // 8 + 1, size // 8 + 1)), size)
        maps[i] += np.float32(2.5) * masks[i]
    return maps, masks


def _interpolate(coarse: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Bilinear interpolation of a square grid to (size, size)."""
    place = np.linspace(0, len(coarse) - 1, size)
    low = np.minimum(place.astype(int), len(coarse) - 2)
    share = (place - low)[:, None]
    rows = coarse[low] * (1 - share) + coarse[low + 1] * share
    columns = rows[:, low] * (1 - share.T) + rows[:, low + 1] * share.T
    return np.asarray(columns)
