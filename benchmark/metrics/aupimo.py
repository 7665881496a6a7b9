"""AUPIMO: per image, recall at very low false positive rates that good images alone set.

Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and Low
Tolerance", BMVC 2024. The false positive rate F(t) at a threshold is the mean over the good test
images of their fraction of pixels at or above it; an anomalous image's value is the mean of its
recall over ln F from 1e-5 to 1e-4. Only the highest 1e-4 of the good pixels matter for that, and
since the value is linear in the recall, each anomalous pixel contributes by its score alone: no
curve per image is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.inputs import Floats
from benchmark.metrics.ranking import READ_AT_ONCE, Scores
from benchmark.metrics.top import TopScores

LOW, HIGH = 1e-5, 1e-4

Floats64 = NDArray[np.float64]


@dataclass(frozen=True)
class Contributions:
    """The share of the axis that a score is above, by its place among the good scores.

    Attributes:
        values: distinct good scores (K,), rising.
        above, up_to: (K + 1,), to be added for a score with so many values below it, and with so
            many at or below it.
    """

    values: Floats
    above: Floats64
    up_to: Floats64

    def of(self, scores: Floats) -> Floats64:
        """Return what each anomalous pixel (P,) adds to P times its image's AUPIMO."""
        below = np.searchsorted(self.values, scores, "left")
        equal = self.values[np.minimum(below, len(self.values) - 1)] == scores
        found: Floats64 = self.above[below] + self.up_to[below + equal]
        return found


def contributions(good: Mapping[int, Sequence[Scores]], images: int) -> Contributions | None:
    """Find them from the scores of the good images.

    good: per number of pixels of an image, the flat scores of all images of that size; images:
    how many images these are. Returns None where the pixels cannot resolve a rate of 1e-5.
    """
    tops = {size: _top(pieces, size * images) for size, pieces in good.items()}
    if not tops:
        return None
    high = {size: top.highest() for size, top in tops.items()}
    values = np.unique(np.concatenate(list(high.values())))
    rate = np.zeros(len(values))
    for size, scores in high.items():
        counts = len(scores) - np.searchsorted(scores, values, "left")
        # Below the lowest that was kept the rate is beyond the axis already; at it, all count.
        lowest = tops[size].equal_to_lowest - np.count_nonzero(scores == scores[0])
        counts += np.where(values <= scores[0], lowest, 0)
        rate += counts / (size * images)
    if rate[-1] > LOW:
        return None
    end = np.log(rate)  # rising values, falling rates
    begin = np.append(end[1:], -np.inf)
    left, right = np.maximum(begin, np.log(LOW)), np.minimum(end, np.log(HIGH))
    width = np.maximum(right - left, 0)
    # Where anomalous pixels share a good score, recall climbs along a line over ln F.
    inside = width > 0
    climbed = np.zeros(len(values))
    climbed[inside] = ((left + right)[inside] / 2 - begin[inside]) / (end - begin)[inside]
    weight = width / (np.log(HIGH) - np.log(LOW))
    return Contributions(values, _summed(weight * (1 - climbed)), _summed(weight * climbed))


def aupimo_of_images(
    found: Contributions | None, scores: Sequence[Floats], pixels: Sequence[int]
) -> list[float | None]:
    """Compute one value per anomalous image.

    scores: flat arrays that together hold the anomalous pixels image by image; pixels: how many
    each image has, at least one.
    """
    if found is None or not len(pixels):
        return [None] * len(pixels)
    added = np.concatenate([found.of(part) for part in scores])
    starts = np.cumsum([0, *pixels[:-1]])
    means = np.add.reduceat(added, starts) / np.array(pixels)
    return [min(1.0, float(value)) for value in means]


def _top(pieces: Sequence[Scores], pixels: int) -> TopScores:
    """Gather those that a rate of HIGH over so many pixels needs."""
    top = TopScores(int(np.ceil(HIGH * pixels)) + 1)
    for piece in pieces:
        for begin in range(0, len(piece), READ_AT_ONCE):
            top.add(np.asarray(piece[begin : begin + READ_AT_ONCE]))
    return top


def _summed(weights: Floats64) -> Floats64:
    return np.concatenate([[0.0], np.cumsum(weights)])
