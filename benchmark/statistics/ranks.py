"""Ranks of methods over categories, and which of them the categories can tell apart.

Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006), sections 3.1
and 3.2: Friedman's test over all methods; if it finds a difference, Wilcoxon's signed-rank test of
every pair, with Holm's correction for their number. Categories are the observations, so that few of
them can tell nothing, however many test images each has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
ALPHA = 0.05


@dataclass(frozen=True)
class Ranking:
    """Methods ranked within each category, and what tells them apart.

    Attributes:
        names: M methods, best average rank first.
        values: float64 (M, C), higher is better.
        ranks: average rank of each, 1 is the best, (M,).
        friedman: p that all methods are alike; NaN for two methods, where Wilcoxon's test says it.
        pairs: p of each pair after Holm's correction, (M, M), symmetric; 1 on the diagonal.
    """

    names: tuple[str, ...]
    values: Array
    ranks: Array
    friedman: float
    pairs: Array

    def apart(self, i: int, j: int) -> bool:
        """Tell whether the categories show a difference between two methods."""
        if not math.isnan(self.friedman) and self.friedman >= ALPHA:
            return False
        return bool(self.pairs[i, j] < ALPHA)

    def groups(self) -> Iterator[range]:
        """Yield the longest runs of methods, neighbours in rank, none of which is apart from
        another; a method that is apart from all stands alone."""
        end = 0
        for start in range(len(self.names)):
            stop = start + 1
            while stop < len(self.names) and not any(
                self.apart(i, stop) for i in range(start, stop)
            ):
                stop += 1
            if stop > end:
                yield range(start, stop)
                end = stop


def rank(names: Sequence[str], values: Array) -> Ranking:
    """Rank methods over categories.

    Args:
        names: of M methods.
        values: (M, C), finite, higher is better; ties share the mean of their ranks.

    Raises:
        ValueError: fewer than two methods, or no category.
    """
    from scipy.stats import friedmanchisquare, rankdata

    count = len(names)
    if count < 2 or values.ndim != 2 or values.shape[0] != count or not values.shape[1]:
        raise ValueError(f"{count} methods with values of shape {values.shape}: nothing to rank")
    ranks = rankdata(-values, axis=0).mean(axis=1)
    order = np.argsort(ranks, kind="stable")
    values, ranks = values[order], ranks[order]
    friedman = math.nan
    if count > 2:
        alike = (values == values[0]).all()
        friedman = 1.0 if alike else float(friedmanchisquare(*values).pvalue)
    pairs = np.ones((count, count))
    where = list(combinations(range(count), 2))
    for (i, j), p in zip(
        where, holm([_wilcoxon(values[i] - values[j]) for i, j in where]), strict=True
    ):
        pairs[i, j] = pairs[j, i] = p
    return Ranking(tuple(names[i] for i in order), values, ranks, friedman, pairs)


def holm(p: Sequence[float]) -> Array:
    """Correct p values for their number, so that one false difference among all is as rare as each
    was (Holm, Scandinavian Journal of Statistics 6, 1979).

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    found = np.asarray(p, float)
    order = np.argsort(found, kind="stable")
    stepped = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1))
    out = np.empty_like(found)
    out[order] = np.minimum(stepped, 1.0)
    return out


def needed(methods: int) -> int:
    """Give the number of categories below which no pair of so many methods can be told apart.

    Wilcoxon's exact two-sided p is at least 2 / 2^n, and Holm's correction multiplies the smallest
    by the number of pairs.

    >>> needed(2), needed(5)
    (6, 9)
    """
    pairs = methods * (methods - 1) // 2
    return math.floor(math.log2(2 * pairs / ALPHA)) + 1


def _wilcoxon(differences: Array) -> float:
    from scipy.stats import wilcoxon

    if not differences.any():
        return 1.0
    return float(wilcoxon(differences).pvalue)
