"""Intervals in the cells of tables: how far the choice of test images could move a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmark.errors import BenchError
from benchmark.records.resample import RESAMPLES, resampled
from benchmark.records.stored import Datasets, Stored
from benchmark.tables.grid import Grid
from benchmark.tables.live import Value, over_seeds

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]


@dataclass
class Intervals:
    """Values with 95 % intervals over resamples of the test images.

    Attributes:
        datasets: for the ground truth of pixel metrics.
        missing: why a value has none, each reason once.
    """

    datasets: Datasets
    missing: dict[str, None] = field(default_factory=dict)
    _known: dict[tuple[str, str], Array] = field(default_factory=dict)

    def value(self, rows: pd.DataFrame, metric: str, categories: Sequence[str]) -> Value:
        """Average one configuration over categories; their test images are drawn independently."""
        found = over_seeds(rows, metric, categories)
        if math.isnan(found.mean) or not categories:
            return found
        try:
            draws = [self._drawn(rows, metric, c, i) for i, c in enumerate(categories)]
        except BenchError as error:
            title = f"{rows['name'].iloc[0]}, {metric}"
            self.missing[f"No interval of {title}: {str(error).splitlines()[0]}."] = None
            return replace(found, spread=None)
        low, high = np.quantile(np.mean(draws, axis=0), (0.025, 0.975))
        return replace(found, interval=(float(low), float(high)))

    def noted(self, grid: Grid) -> Grid:
        """Say below a table what its intervals are, instead of what spreads over seeds are."""
        text = (
            f"In brackets: 95 % of {RESAMPLES} resamples of the test images (good and defective "
            "apart, parts and clips as wholes), mean over the seeds; how far other seeds would lie "
            "is not in it."
        )
        rest = [n for n in grid.notes if not n.startswith(("Mean ± ", "One seed", "One result"))]
        return replace(grid, notes=[text, *rest, *self.missing])

    def _drawn(self, rows: pd.DataFrame, metric: str, category: str, place: int) -> Array:
        same = rows[rows["category"] == category].sort_values("seed")
        which = (metric, *same["path"])
        if which not in self._known:
            runs = [Stored(row) for _, row in same.iterrows()]
            self._known[which] = resampled(runs, metric, self.datasets)
        # the same draws number the images of every category: shuffled, they are independent
        return np.random.default_rng(place).permutation(self._known[which])
