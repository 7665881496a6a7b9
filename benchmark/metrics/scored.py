"""A test set's image scores, and every metric of them as a short function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.curves import Ranking, auroc
from benchmark.metrics.inputs import Bools, Floats

STRUCTURAL, LOGICAL = "structural_anomalies", "logical_anomalies"
"""The defect types of MVTec LOCO AD."""


@dataclass(frozen=True)
class ScoredImages:
    """Checked scores of a test set.

    Attributes:
        scores: float (N,), finite.
        labels: bool (N,), whether each image is anomalous.
        threshold: an image is called anomalous strictly above it; None where there is none.
        groups, types: (N,) names of each image's group and defect type; None where not given.
    """

    scores: Floats
    labels: Bools
    threshold: float | None = None
    groups: NDArray[Any] | None = None
    types: NDArray[Any] | None = None

    @cached_property
    def hit(self) -> Floats:
        """Scores of the anomalous images, rising."""
        return np.sort(self.scores[self.labels])

    @cached_property
    def normal(self) -> Floats:
        """Scores of the normal images, rising."""
        return np.sort(self.scores[~self.labels])

    @cached_property
    def ranking(self) -> Ranking | None:
        """Counts at each anomalous score; None without an anomalous or a normal image."""
        hit, normal = self.hit, self.normal
        if not len(hit) or not len(normal):
            return None
        first = np.flatnonzero(np.concatenate([[True], hit[1:] != hit[:-1]]))
        values, hits = hit[first[::-1]], len(hit) - first[::-1]
        alarms = len(normal) - np.searchsorted(normal, values, "left")
        above = len(normal) - np.searchsorted(normal, values, "right")
        return Ranking(hits, above, alarms, hits / len(hit), len(hit), len(normal))

    @property
    def called(self) -> tuple[int, int, int, int]:
        """True positives, false positives, true negatives and false negatives at the threshold."""
        assert self.threshold is not None
        tp, fp = (int(np.sum(part > self.threshold)) for part in (self.hit, self.normal))
        return tp, fp, len(self.normal) - fp, len(self.hit) - tp

    def part(self, chosen: NDArray[Any]) -> ScoredImages:
        """Return the images at these positions, or where a mask (N,) is set, without groups and
        types."""
        return ScoredImages(self.scores[chosen], self.labels[chosen], self.threshold)


def ranked(function: Callable[[Ranking], float]) -> Callable[[ScoredImages], float | None]:
    """Make a metric of images from a function of their ranking."""
    return lambda s: None if s.ranking is None else function(s.ranking)


def accuracy(s: ScoredImages) -> float | None:
    """Return the fraction of images called right at the threshold."""
    if s.threshold is None or not len(s.scores):
        return None
    tp, _, tn, _ = s.called
    return (tp + tn) / len(s.scores)


def balanced_accuracy(s: ScoredImages) -> float | None:
    """Return the mean of the anomalous and the normal fraction called right at the threshold."""
    if s.threshold is None or s.ranking is None:
        return None
    tp, _, tn, _ = s.called
    return (tp / len(s.hit) + tn / len(s.normal)) / 2


def f1(s: ScoredImages) -> float | None:
    """Return 2 TP / (2 TP + FP + FN) at the threshold."""
    if s.threshold is None or s.ranking is None:
        return None
    tp, fp, _, fn = s.called
    return 2 * tp / (2 * tp + fp + fn)


def best_balanced_accuracy(r: Ranking) -> float:
    """Find the highest balanced accuracy of any threshold."""
    rates = r.hits / r.anomalous - r.alarms / r.normal
    return float((rates.max() + 1) / 2)


def recall_at(percent: int) -> Callable[[ScoredImages], float | None]:
    """Make the metric: defects found where at most so many percent of the normal images raise an
    alarm.

    The threshold is the highest at which that holds: with a = floor(percent / 100 n) alarms
    allowed among n normal images, their (a + 1)-th highest score.
    """

    def recall(s: ScoredImages) -> float | None:
        if s.ranking is None:
            return None
        allowed = percent * len(s.normal) // 100
        return float(np.mean(s.hit > s.normal[-1 - allowed]))

    return recall


def missed_at(percent: int) -> Callable[[ScoredImages], float | None]:
    """Make the metric: defects missed where at most so many percent of the normal images are lost
    (FNR at a FPR)."""
    recall = recall_at(percent)

    def missed(s: ScoredImages) -> float | None:
        found = recall(s)
        return None if found is None else 1 - found

    return missed


def kept_at(percent: int) -> Callable[[ScoredImages], float | None]:
    """Make the metric: normal images kept where at most so many percent of the defects are missed
    (TNR at a FNR).

    With m = floor(percent / 100 n) misses allowed among n anomalous images, these are the normal
    images that score below their (m + 1)-th lowest score.
    """

    def kept(s: ScoredImages) -> float | None:
        if s.ranking is None:
            return None
        allowed = percent * len(s.hit) // 100
        return float(np.mean(s.normal < s.hit[allowed]))

    return kept


def auroc_of_type(name: str) -> Callable[[ScoredImages], float | None]:
    """Make the metric: image AUROC of one defect type against all normal images."""

    def of_type(s: ScoredImages) -> float | None:
        if s.types is None:
            return None
        return ranked(auroc)(s.part(~s.labels | (s.types == name)))

    return of_type


def auroc_over_types(s: ScoredImages) -> float | None:
    """Return the mean over the defect types of each one's image AUROC against all normal
    images."""
    if s.types is None:
        return None
    return mean_of_all([auroc_of_type(str(name))(s) for name in np.unique(s.types[s.labels])])


def mean_of_all(values: list[float | None]) -> float | None:
    """Return the mean, None where one of them is undefined or there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
