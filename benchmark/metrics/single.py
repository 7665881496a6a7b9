"""Metrics of a single anomalous image, on a false positive rate of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.anomalous import order_scores
from benchmark.metrics.curves import Ranking, auroc, overlap_area
from benchmark.metrics.inputs import Floats
from benchmark.metrics.ranking import count_below

Ints = NDArray[np.int64]


def measure_image(
    image: Floats,
    scores: Floats,
    region: NDArray[np.integer[Any]],
    sizes: Ints,
    fpr_limit: float,
    expected: int,
) -> tuple[float | None, float | None]:
    """Compute AUROC and PRO of one anomalous image by itself; None where undefined.

    image: all its scores, flat; scores, region (P,): of its anomalous pixels, its regions numbered
    from 0; sizes (K,); fpr_limit: where PRO ends; expected: pixels of the whole test set, as far as
    known.
    """
    normal = len(image) - len(scores)
    if not normal:
        return None, None
    ordered = order_scores(scores, region, sizes)
    counted = count_below([image], ordered.values, expected=expected)
    ranking = ordered.ranking(*counted, normal)
    end = _last_alarms(ranking, image, ordered.values[::-1], fpr_limit * normal)
    return auroc(ranking), overlap_area(ranking, end) if end else None


def _last_alarms(r: Ranking, image: Floats, values: Floats, limit: float) -> int:
    """Find the largest number of false alarms below `limit` that any threshold of an image gives.

    values (U,): the anomalous scores of the ranking, falling.
    """
    # The limit falls after all scores whose alarms stay below it: look between that and the next.
    passed = int(np.searchsorted(r.alarms, limit))
    alarms = int(r.alarms[passed - 1]) if passed else 0
    between = np.ones(len(image), dtype=np.bool_)
    if passed:
        between &= image < values[passed - 1]
    if passed < len(values):
        between &= image > values[passed]
    gap = image[between]
    room = int(np.ceil(limit)) - 1 - alarms
    if room >= len(gap):
        return alarms + len(gap)
    edge = len(gap) - 1 - room
    return alarms + int(np.count_nonzero(gap > np.partition(gap, edge)[edge]))
