"""The highest of many scores, without sorting them all."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.inputs import Floats

ROOM = 1 << 14
"""Scores gathered beyond those wanted before the lowest are dropped."""


class TopScores:
    """The `keep` highest of all scores that are added, in memory for twice as many.

    >>> top = TopScores(2)
    >>> top.add(np.array([0.1, 0.5, 0.5, 0.7, 0.5]))
    >>> top.highest(), top.equal_to_lowest
    (array([0.5, 0.7]), 3)
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._parts: list[Floats] = []  # all scores above the cut so far
        self._held = 0
        self._cut: float | None = None
        self._at_cut = 0  # all scores that equal it

    def add(self, scores: Floats) -> None:
        """Add flat scores (N,), finite."""
        if self._cut is not None:
            scores = scores[scores >= self._cut]
            above = scores[scores > self._cut]
            self._at_cut += len(scores) - len(above)
            scores = above
        self._parts.append(np.array(scores))
        self._held += len(scores)
        if self._held > 2 * self._keep + ROOM:
            self._drop()

    def highest(self) -> Floats:
        """Return the `keep` highest scores, rising, or all where there are fewer."""
        self._drop()
        above = np.sort(np.concatenate(self._parts)) if self._parts else np.empty(0)
        if self._cut is None:
            return above
        equal = np.full(min(self._at_cut, self._keep - len(above)), self._cut, above.dtype)
        return np.concatenate([equal, above])

    @property
    def equal_to_lowest(self) -> int:
        """Number of all scores that equal the lowest of :meth:`highest`; 0 without any."""
        self._drop()
        if self._cut is not None:
            return self._at_cut
        held = np.concatenate(self._parts) if self._parts else np.empty(0)
        return int(np.count_nonzero(held == held.min())) if len(held) else 0

    def _drop(self) -> None:
        """Raise the cut to the `keep`-th highest score where more than those are held."""
        if self._held < self._keep or not self._parts:
            return
        held = np.concatenate(self._parts)
        place = len(held) - self._keep
        held.partition(place)
        cut, high = held[place], held[place + 1 :]
        low = held[: place + 1]
        self._at_cut = int(np.count_nonzero(low == cut) + np.count_nonzero(high == cut))
        self._cut = cut
        high = high[high > cut]
        self._parts, self._held = [high], len(high)
