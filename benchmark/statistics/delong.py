"""DeLong's test for two AUROCs on the same images.

DeLong, DeLong and Clarke-Pearson, Comparing the areas under two or more correlated receiver
operating characteristic curves, Biometrics 44 (1988). The AUROC is a mean over images of how each is
placed among those of the other kind; the covariances of these placements give the variance of the
difference without resampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Test:
    """A difference of two AUROCs.

    Attributes:
        a, b: the AUROCs, each the mean over its seeds.
        deviation: standard error of a - b.
        p: two-sided; 1 when the placements are the same image by image, NaN when both kinds of
            images show no spread although the AUROCs differ, so that nothing can be said.
    """

    a: float
    b: float
    deviation: float
    p: float


def delong(a: Array, b: Array, labels: Array) -> Test:
    """Test whether two detectors' AUROCs differ by more than the choice of test images explains.

    Several seeds of a side count as one detector whose AUROC is their mean: the test is about the
    images, given what was trained.

    Args:
        a, b: scores, (S, N) and (T, N), one row per seed; higher is more anomalous.
        labels: (N,), True for defective; at least two images of each kind.

    Raises:
        ValueError: fewer than two images of a kind.
    """
    from scipy.stats import norm

    bad = np.asarray(labels, bool)
    if min(bad.sum(), (~bad).sum()) < 2:
        raise ValueError(f"{bad.sum()} defective and {(~bad).sum()} good images: two are needed")
    ours, theirs = _placements(np.atleast_2d(a), bad), _placements(np.atleast_2d(b), bad)
    variance = 0.0
    for one, two in zip(ours, theirs, strict=True):  # the defective images, then the good ones
        variance += float((one - two).var(ddof=1)) / len(one)
    means = float(ours[0].mean()), float(theirs[0].mean())
    difference, deviation = means[0] - means[1], math.sqrt(variance)
    if deviation == 0:
        return Test(*means, 0.0, 1.0 if abs(difference) < 1e-12 else math.nan)
    return Test(*means, deviation, float(2 * norm.sf(abs(difference) / deviation)))


def _placements(scores: Array, bad: Array) -> tuple[Array, Array]:
    """Place every image among those of the other kind: the share of good images below each
    defective one, (P,), and of defective ones above each good one, (Q,); ties count half."""
    found = []
    for row in scores:
        p, n = row[bad], row[~bad]
        good, odd = np.sort(n), np.sort(p)
        below = np.searchsorted(good, p, "left") + np.searchsorted(good, p, "right")
        above = np.searchsorted(odd, n, "left") + np.searchsorted(odd, n, "right")
        found.append((below / (2 * len(n)), 1 - above / (2 * len(p))))
    first, second = zip(*found, strict=True)
    return np.mean(first, axis=0), np.mean(second, axis=0)
