"""The published numbers that ship with the package."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Number:
    """One printed number; see :mod:`benchmark.published` for the columns."""

    paper: str
    table: str
    method: str
    method_key: str
    citation: str
    setting: str
    dataset: str
    category: str
    metric: str
    metric_variant: str
    unit: str
    value: str
    origin: str
    selection: str
    note: str

    @property
    def fraction(self) -> float:
        """The value as records hold it: a fraction for metrics, else as printed."""
        return float(self.value) / (100 if self.unit == "percent" else 1)


@cache
def load(file: str = "published.csv") -> tuple[Number, ...]:
    """Load all rows of ``published.csv`` (the papers) or ``third_party.csv``
    (reimplementations)."""
    source = resources.files("benchmark.published") / file
    lines = source.read_text(encoding="utf-8").splitlines()
    names = [f.name for f in fields(Number)]
    return tuple(Number(**{n: row[n] for n in names}) for row in csv.DictReader(lines))


def table(paper: str, number: str) -> dict[tuple[str, ...], Number]:
    """Look up a published table: (method as printed, setting, data set, category, metric) ->
    number.

    Args:
        paper, number: as in the files' columns ``paper`` and ``table``.
    """
    return {
        (n.method, n.setting, n.dataset, n.category, n.metric): n
        for n in (*load(), *load("third_party.csv"))
        if (n.paper, n.table) == (paper, number)
    }
