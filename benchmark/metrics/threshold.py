"""Thresholds set on normal images alone: three rules, for scores of images and of pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from benchmark.errors import SettingsError
from benchmark.metrics.inputs import Floats, as_scores
from benchmark.metrics.top import TopScores

DEFAULT = "quantile:.95"
ALLOWED = "quantile:F with 0 < F < 1 (quantile:.95), max, or mean+Nsd (mean+3sd)"
SHARE = Fraction(1, 20)
"""The upper part of the normal pixel scores that is kept."""


@dataclass(frozen=True)
class Rule:
    """A rule that sets a threshold from scores of normal images.

    Attributes:
        kind: ``quantile``, ``max`` or ``mean+sd``.
        number: the fraction of a quantile, or the number of deviations; exact.
    """

    kind: str
    number: Fraction = Fraction(0)

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read a rule as the command line takes it. Raises SettingsError.

        >>> Rule.parse("quantile:.95").number, Rule.parse("mean+3sd").kind
        (Fraction(19, 20), 'mean+sd')
        """
        if text == "max":
            return cls("max")
        number = r"(\d+\.?\d*|\.\d+)"
        if found := re.fullmatch(rf"quantile:{number}", text):
            fraction = Fraction(found[1])
            if 0 < fraction < 1:
                return cls("quantile", fraction)
        if found := re.fullmatch(rf"mean\+{number}sd", text):
            return cls("mean+sd", Fraction(found[1]))
        raise SettingsError(f"threshold {text!r}: no such rule; allowed is {ALLOWED}")


@dataclass(frozen=True)
class Normals:
    """What a rule needs of the scores of normal images, or of their pixels.

    Attributes:
        top: the highest of them, rising, at least one.
        count: how many there are in all, at least one.
        mean: of all.
        sd: standard deviation of all (of a sample, with n - 1); 0 for a single one.
    """

    top: Floats
    count: int
    mean: float
    sd: float

    def threshold(self, rule: Rule) -> tuple[float | None, str]:
        """Apply a rule.

        A quantile F is the ceil(F (n + 1))-th smallest score, the largest where there are too few:
        a new one lies above it with a probability of at most about 1 - F (split conformal
        prediction).

        Returns:
            The threshold, or None with the reason.
        """
        if rule.kind == "mean+sd":
            return self.mean + float(rule.number) * self.sd, ""
        place = self.count
        if rule.kind == "quantile":
            place = min(-int(-rule.number * (self.count + 1) // 1), self.count)
        from_top = self.count - place
        if from_top >= len(self.top):
            kept = f"{len(self.top)} of {self.count}"
            return None, f"the score file keeps only the highest {kept} held-out pixel scores"
        return float(self.top[-1 - from_top]), ""


class NormalPixels:
    """Gathers what is kept of the held-out normals' pixel scores: the upper 5 %, count, mean, sd.

    count: the number of all scores to come, at least one.
    """

    def __init__(self, count: int) -> None:
        self._top = TopScores(int(count * SHARE) + 1)
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, scores: Any) -> None:
        """Add the scores of an image, finite, of any shape, at least one."""
        values = np.asarray(scores).reshape(-1)
        self._top.add(values)
        mean = float(values.mean(dtype=np.float64))
        deviation = values - np.float64(mean)
        before, self._count = self._count, self._count + len(values)
        shift = mean - self._mean
        self._mean += shift * len(values) / self._count
        self._squares += float(np.sum(deviation * deviation))
        self._squares += shift * shift * before * len(values) / self._count

    def normals(self) -> Normals | None:
        """Return what is kept; None before the first image."""
        if not self._count:
            return None
        sd = float(np.sqrt(self._squares / max(1, self._count - 1)))
        return Normals(self._top.highest(), self._count, self._mean, sd)


def normal_threshold(held_out_scores: Any, rule: str = DEFAULT) -> float | None:
    """Set a threshold from held-out normal images alone; None without any.

    held_out_scores: (n,) float. rule: ``quantile:F``, ``max`` or ``mean+Nsd``; see
    :class:`Normals`. A score strictly above the threshold is called anomalous. Raises
    MetricInputError for NaN and infinities, SettingsError for another rule.

    >>> normal_threshold([0.3, 0.1, 0.2]), normal_threshold([0.3, 0.1, 0.2], "quantile:.5")
    (0.3, 0.2)
    """
    parsed, values = Rule.parse(rule), np.sort(as_scores(held_out_scores, "held-out scores"))
    if not len(values):
        return None
    sd = float(values.std(ddof=1, dtype=np.float64)) if len(values) > 1 else 0.0
    mean = float(values.mean(dtype=np.float64))
    return Normals(values, len(values), mean, sd).threshold(parsed)[0]
