"""The numbers of a block at once: means over seeds and categories of every metric."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Averages:
    """What :func:`benchmark.tables.live.over_seeds` gives, for M metrics × N configurations × C
    categories in one go.

    Attributes:
        cells: mean over seeds, (M, N, C); NaN where undefined.
        spreads: their standard deviation, (M, N, C); NaN with fewer than two seeds.
        means: over the categories, (M, N); NaN where one is missing.
        deviations: of these means over the seeds that all categories have, (M, N); NaN with fewer
            than two.
    """

    cells: Array
    spreads: Array
    means: Array
    deviations: Array


def averages(
    part: pd.DataFrame, names: Sequence[str], categories: Sequence[str], metrics: Sequence[str]
) -> Averages:
    """Average a block's records.

    Args:
        part: a record per configuration, category and seed at most.
        names, categories, metrics: their order in the arrays.
    """
    seeds = sorted(part["seed"].unique())
    table = np.full((len(metrics), len(names), len(categories), len(seeds)), np.nan)
    places: list[Any] = [
        part[column].map({value: i for i, value in enumerate(order)}).to_numpy()
        for column, order in (("name", names), ("category", categories), ("seed", seeds))
    ]
    name, category, seed = places
    table[:, name, category, seed] = part[list(metrics)].to_numpy(float).T
    draws = part.groupby("name")["draws"].all().reindex(list(names)).to_numpy(bool)
    per_seed = table.mean(axis=2)  # (M, N, S): NaN for a seed that a category lacks
    with warnings.catch_warnings():  # of means over nothing, which are NaN as they should be
        warnings.simplefilter("ignore", RuntimeWarning)
        cells = np.nanmean(table, axis=3)
        spreads = np.nanstd(table, axis=3, ddof=1)
        deviations = np.nanstd(per_seed, axis=2, ddof=1)
    spreads[:, ~draws] = np.nan
    deviations[:, ~draws] = np.nan
    return Averages(cells, spreads, cells.mean(axis=2), deviations)


def frontier(seconds: Sequence[float], quality: Sequence[float]) -> list[int]:
    """Choose those that nothing faster equals, fastest first; NaN of either is never chosen.

    >>> frontier([1.0, 2.0, 3.0, 4.0], [0.8, 0.7, 0.9, 0.9])
    [0, 2]
    """
    best, found = -np.inf, []
    for i in np.lexsort((-np.asarray(quality), np.asarray(seconds))):
        if quality[i] > best and not np.isnan(seconds[i]):
            best = quality[i]
            found.append(int(i))
    return found
