"""One ranking, and every metric as a short sum over it.

A threshold is worth looking at only where an anomalous score lies: between two of them nothing
changes but the number of false alarms. So a ranking holds, for each distinct anomalous score,
four numbers, and all areas and maxima are sums over those. Counts stay integers up to the last
division.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

# Scores per step of a sum: what it needs stays in the cache.
STEP = 1 << 14

Floats64 = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """Counts at each distinct anomalous score, in falling order of the scores.

    hits (U,): anomalous samples at or above the score; above (U,) and alarms (U,): normal samples
    above it, and at or above it; overlap (U,): mean fraction of each region at or above it (PRO).
    anomalous and normal are the totals, both at least one.
    """

    hits: Ints
    above: Ints
    alarms: Ints
    overlap: Floats64
    anomalous: int
    normal: int

    @cached_property
    def best(self) -> int:
        """Position of the score with the highest F1 and intersection over union: one threshold
        attains both."""
        return int(np.argmax(self.hits / (self.anomalous + self.alarms)))


@dataclass(frozen=True)
class Curve:
    """Points of a curve: x (M,) rising from 0 to 1, y (M,) in 0..1."""

    x: Floats64
    y: Floats64


@dataclass(frozen=True)
class Curves:
    """ROC (false over true positive rate), PR (recall over precision), PRO (FPR over overlap).

    ROC and PRO are joined by straight lines and integrate by trapezoids. PR is a step function:
    y[i] holds from x[i-1] to x[i]. Thinning keeps those integrals.
    """

    roc: Curve
    pr: Curve
    pro: Curve


def auroc(r: Ranking) -> float:
    """Return the probability that an anomalous sample scores above a normal one, ties counting
    half."""
    count = np.diff(r.hits, prepend=0)
    # Twice the number of wins, so that halves stay integers.
    wins = int(np.dot(count, 2 * r.normal - r.above - r.alarms))
    return wins / (2 * r.anomalous * r.normal)


def average_precision(r: Ranking) -> float:
    """Sum precision over the steps of recall, without interpolation."""
    count = np.diff(r.hits, prepend=0)
    return float(np.sum(count * (r.hits / (r.hits + r.alarms))) / r.anomalous)


def best_f1(r: Ranking) -> float:
    """Find the highest F1 of any threshold."""
    hits, alarms = int(r.hits[r.best]), int(r.alarms[r.best])
    return 2 * hits / (hits + alarms + r.anomalous)


def best_iou(r: Ranking) -> float:
    """Find the highest intersection over union of any threshold."""
    return int(r.hits[r.best]) / (r.anomalous + int(r.alarms[r.best]))


def overlap_area(r: Ranking, limit: float) -> float:
    """Measure the area under the overlap curve up to `limit` false alarms, divided by that limit.

    limit: a number of normal samples, 0 < limit <= r.normal.
    """
    # Scores after the first one that reaches the limit cannot matter.
    last = min(int(np.searchsorted(r.alarms, limit)) + 1, len(r.alarms))
    area = max(limit - int(r.alarms[last - 1]), 0.0)  # all regions are found after the last score
    before, low = 0, 0.0
    for begin in range(0, last, STEP):
        part = slice(begin, min(begin + STEP, last))
        alarms, above, overlap = r.alarms[part], r.above[part], r.overlap[part]
        lows = np.concatenate([[low], overlap[:-1]])
        left = np.minimum(np.concatenate([[before], alarms[:-1]]), limit)
        middle, right = np.minimum(above, limit), np.minimum(alarms, limit)
        # Between two anomalous scores the curve is flat; a score shared with normal samples makes
        # it climb along a line, which the limit may cut.
        share = (right - middle) / np.maximum(alarms - above, 1)
        height = lows + 0.5 * (overlap - lows) * share
        # Not np.dot: its library wakes all cores for this, which costs more than the sum.
        area += float(np.sum(lows * (middle - left) + height * (right - middle)))
        before, low = int(alarms[-1]), float(overlap[-1])
    return area / limit


def thinned_curves(r: Ranking, points: int) -> Curves:
    """Draw the three curves with at most `points` points each; their areas are those of all
    points."""
    count = np.diff(r.hits, prepend=0)
    before = r.hits - count
    fpr = np.concatenate([[0], np.stack([r.above, r.alarms], axis=1).ravel(), [r.normal]])
    tpr = np.concatenate([[0], np.stack([before, r.hits], axis=1).ravel(), [r.anomalous]])
    low = np.concatenate([[0.0], r.overlap[:-1]])
    pro = np.concatenate([[0.0], np.stack([low, r.overlap], axis=1).ravel(), [1.0]])
    x = fpr / r.normal
    recall = np.concatenate([[0.0], r.hits / r.anomalous])
    precision = r.hits / (r.hits + r.alarms)
    return Curves(
        roc=thin_line(Curve(x, tpr / r.anomalous), points),
        pr=thin_steps(Curve(recall, np.concatenate([precision[:1], precision])), points),
        pro=thin_line(Curve(x, pro), points),
    )


def thin_line(curve: Curve, points: int) -> Curve:
    """Thin a rising polyline to at most `points` points with the same area under it."""
    if len(curve.x) <= points:
        return curve
    keep = _spread(curve.x + curve.y, (points + 1) // 2)
    trapezoids = 0.5 * np.diff(curve.x) * (curve.y[1:] + curve.y[:-1])
    area = np.add.reduceat(trapezoids, keep[:-1])
    x, y = curve.x[keep], curve.y[keep]
    wide, high = np.diff(x), np.diff(y)
    # Between two kept points one more is put on the falling diagonal of their rectangle, where
    # the two lines to it enclose exactly the area of the points left out.
    box = wide * high
    share = np.divide(y[1:] * wide - area, box, out=np.zeros_like(box), where=box > 0)
    share = np.clip(share, 0.0, 1.0)
    between_x, between_y = x[:-1] + share * wide, y[1:] - share * high
    flat_x = np.append(np.stack([x[:-1], between_x], axis=1).ravel(), x[-1])
    flat_y = np.append(np.stack([y[:-1], between_y], axis=1).ravel(), y[-1])
    return Curve(flat_x, flat_y)


def thin_steps(curve: Curve, points: int) -> Curve:
    """Thin a step function to at most `points` points with the same area under it."""
    if len(curve.x) <= points:
        return curve
    keep = _spread(curve.x, points)
    area = np.add.reduceat(np.diff(curve.x) * curve.y[1:], keep[:-1])
    x = curve.x[keep]
    return Curve(x, np.concatenate([curve.y[:1], area / np.diff(x)]))


def _spread(position: Floats64, count: int) -> Ints:
    """Choose at most `count` indices, first and last among them, evenly along a rising
    `position`."""
    keep = np.searchsorted(position, np.linspace(position[0], position[-1], count))
    keep[0], keep[-1] = 0, len(position) - 1
    return np.unique(keep)
