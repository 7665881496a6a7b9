"""How much of a ranking hangs on one choice: the seed, a category, the metric, a threshold's rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Agreement:
    """How like one ranking others of the same methods are.

    Attributes:
        variants: how many others.
        lowest, mean: of Kendall's tau-b with each: 1 for the same order, 0 for none, -1 reversed.
        changed: in how many of them another method is first; a tie for the first place that holds
            the same method is no change.
    """

    variants: int
    lowest: float
    mean: float
    changed: int


def agreement(reference: Array, variants: Sequence[Array]) -> Agreement:
    """Compare rankings with a reference.

    Args:
        reference: (M,), the value of each method, higher is better.
        variants: each (M,), the methods' values when one choice is made differently; values that
            are all alike say nothing about the order and count as no agreement, tau 0.

    Raises:
        ValueError: no variant, or fewer than two methods.
    """
    from scipy.stats import kendalltau

    if not variants or len(reference) < 2:
        raise ValueError(
            f"{len(variants)} variants of {len(reference)} methods: nothing to compare"
        )
    first = int(np.argmax(reference))
    taus = [float(np.nan_to_num(kendalltau(reference, v).statistic)) for v in variants]
    changed = sum(bool(v[first] < v.max()) for v in variants)
    return Agreement(len(variants), min(taus), float(np.mean(taus)), changed)
