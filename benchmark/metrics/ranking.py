"""How many samples score below, and at, each of a set of values."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.inputs import Floats

Ints = NDArray[np.int64]


def count_below(pieces: Iterable[Floats], values: Floats) -> tuple[Ints, Ints]:
    """Samples of all pieces below each value, and at or below it.

    pieces: flat arrays of finite scores; values (U,): distinct, rising. Returns two (U,) arrays.
    """
    parts = list(pieces)
    if not parts:
        return np.zeros(len(values), np.int64), np.zeros(len(values), np.int64)
    scores = np.concatenate(parts)
    scores.sort()
    return np.searchsorted(scores, values, "left"), np.searchsorted(scores, values, "right")
