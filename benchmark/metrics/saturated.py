"""Defects that are annotated one by one and found once enough of them is: the ranking for sPRO.

Of a defect that saturates at s pixels only its s highest scores ever add to its overlap, so that
the mean overlap at a score is a count of such scores, as it is for PRO.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.anomalous import order_scores
from benchmark.metrics.curves import Ranking
from benchmark.metrics.inputs import Bools, Floats, MetricInputError

Ints = NDArray[np.int64]


class Defect(Protocol):
    """An annotated defect: its pixels (H, W), and how many of them must be found, at least 1."""

    @property
    def mask(self) -> Bools: ...

    @property
    def saturation(self) -> int: ...


class SaturatedScores:
    """The scores of one defect type that count for sPRO."""

    def __init__(self) -> None:
        self._scores: list[Floats] = []
        self._saturations: list[int] = []
        self._pixels: list[Floats] = []

    def add(self, image: Floats, marked: Bools, defects: Sequence[Defect]) -> None:
        """Add an image (H, W), its mask (H, W) and its defects."""
        self._pixels.append(image[marked])
        for defect in defects:
            inside = image[defect.mask]
            keep = min(defect.saturation, len(inside))
            self._scores.append(np.partition(inside, len(inside) - keep)[len(inside) - keep :])
            self._saturations.append(keep)

    @property
    def anomalous(self) -> int:
        """Number of marked pixels."""
        return sum(map(len, self._pixels))

    def ranking(self, values: Floats, below: Ints, up_to: Ints, pixels: int) -> Ranking | None:
        """Rank the anomalous pixels of this type among the normal ones.

        values (U,): distinct, rising, every anomalous score among them; below, up_to (U,): pixels
        of the type's and the good images that lie below each value, and at or below it; pixels:
        how many these images have. Returns None without a normal pixel.
        """
        own = np.sort(np.concatenate(self._pixels).astype(values.dtype, copy=False))
        normal = pixels - len(own)
        if not normal or not len(own):
            return None
        sizes = np.array(self._saturations)
        defect = np.repeat(np.arange(len(sizes)), sizes)
        scores = np.concatenate(self._scores).astype(values.dtype, copy=False)
        ordered = order_scores(scores, defect, sizes)
        at = np.searchsorted(values, ordered.values)
        first = np.searchsorted(own, ordered.values, "left")
        last = np.searchsorted(own, ordered.values, "right")
        return Ranking(
            hits=(len(own) - first)[::-1],
            above=(normal - (up_to[at] - last))[::-1],
            alarms=(normal - (below[at] - first))[::-1],
            overlap=ordered.overlap[::-1],
            anomalous=len(own),
            normal=normal,
        )


def check_defects(
    shape: tuple[int, ...], marked: Bools, defects: Sequence[Defect], name: str
) -> None:
    """Check that the defects of an image are what its mask marks. Raises MetricInputError."""
    union = np.zeros(shape, np.bool_)
    for number, defect in enumerate(defects):
        if defect.mask.shape != shape or defect.mask.dtype != np.bool_ or not defect.mask.any():
            raise MetricInputError(
                f"image {name}: defect {number} has a mask of {defect.mask.dtype} and shape "
                f"{defect.mask.shape}; it must be bool, {shape}, and mark at least one pixel."
            )
        if defect.saturation < 1:
            raise MetricInputError(
                f"image {name}: defect {number} saturates at {defect.saturation} pixels; at least "
                "1 is allowed."
            )
        union |= defect.mask
    if not np.array_equal(union, marked):
        raise MetricInputError(
            f"image {name}: its mask is not the union of its {len(defects)} defects; give every "
            "marked pixel a defect."
        )
