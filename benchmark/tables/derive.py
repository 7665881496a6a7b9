"""What a printed cell should say, found by the words of its row and column, in plain loops.

Only ``bench table --check`` uses this; it shares no arithmetic with the tables themselves.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from benchmark.metrics.names import METRICS
from benchmark.records.names import known_methods
from benchmark.tables.layout import Entry, Layout, Slot
from benchmark.tables.match import match
from benchmark.tables.own import Column, Description, shown
from benchmark.tables.saved import plain

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.tables.request import Request

Derivation = Callable[[str, str], str | None]
"""(words of the row, words of the column) -> text of the cell; None where there can be none."""
UNKNOWABLE = "?"
Rows = Sequence[dict[str, Any]]


def derivations(request: Request, truth: pd.DataFrame | None) -> Iterator[Derivation]:
    """One per block of a table."""
    layout = request.layout
    if layout is not None:
        yield _Printed(layout, truth, request)
        return
    from benchmark.records.select import blocks, category_groups
    from benchmark.tables.live import SUMMARY

    assert truth is not None
    found = list(blocks(truth))
    parts = [list(part.to_dict("records")) for _, part in found]
    groups = [[g for name, g in category_groups(part) if name] for _, part in found]
    if request.name == "summary":
        for part in parts:
            yield _summary(part, request.metric or SUMMARY, request.common)  # type: ignore[arg-type]
        return
    for metric in request.metric or ("image_auroc",):
        for part, grouped in zip(parts, groups, strict=True):
            yield _per_category(part, grouped, metric, request.common)  # type: ignore[arg-type]


def _per_category(
    part: Rows, groups: Sequence[Sequence[str]], metric: str, common: bool
) -> Derivation:
    categories = {row["category"] for row in part}

    def derive(row: str, column: str) -> str | None:
        over: Sequence[str]
        if row in categories:
            over = [row]
        elif row == f"Average over {len(categories)}":
            over = sorted(categories)
        elif row.rstrip("'") == "Average":
            shown = [g for g in groups if len(g) > 1]
            over = shown[row.count("'")]
        else:
            return None
        if common and len(over) > 1:
            over = _shared(part, metric, over)
        mine = [r for r in part if r["name"] == column]
        return _text(*_mean(mine, metric, over), 3) if mine else None

    return derive


def _summary(part: Rows, metrics: Sequence[str], common: bool) -> Derivation:
    categories = sorted({row["category"] for row in part})

    def derive(row: str, column: str) -> str | None:
        mine = [r for r in part if r["name"] == row]
        if not mine or column not in metrics:
            return None
        over = _shared(part, column, categories) if common else categories
        return _text(*_mean(mine, column, over), 3)

    return derive


def own_cells(
    wanted: Description, columns: Sequence[Column], truths: Sequence[pd.DataFrame | None]
) -> Derivation:
    """Of a table that a user described.

    Args:
        wanted, columns: from :mod:`benchmark.tables.own`.
        truths: the records of each column, measured again; None for published numbers.
    """
    categories = shown(wanted, columns)
    rows: dict[str, Sequence[str]] = {str(wanted.names.get(c, c)): (c,) for c in categories}
    rows[f"Average over {len(categories)}"] = categories
    factor = 100 if wanted.percent else 1
    heads = {
        plain(f"{column.origin}: {column.head}"): (column, truth)
        for column, truth in zip(columns, truths, strict=True)
    }

    def derive(row: str, column: str) -> str | None:
        if row not in rows or column not in heads:
            return None
        source, truth = heads[column]
        parts = []
        for metric in wanted.metrics:
            if truth is not None:
                mean, spread = _mean(truth.to_dict("records"), metric, rows[row])  # type: ignore[arg-type]
                spread = None if spread is None else spread * factor
                parts.append(_text(mean * factor, spread, wanted.decimals))
                continue
            numbers = [source.numbers.get((c, metric)) for c in rows[row]]
            known = [float(n.fraction) for n in numbers if n is not None]
            whole = known and len(known) == len(numbers)
            mean = statistics.fmean(known) * factor if whole else math.nan
            parts.append(_text(mean, None, wanted.decimals))
        return "/".join(parts)

    return derive


class _Printed:
    """The cells of a paper's table."""

    def __init__(self, layout: Layout, truth: pd.DataFrame | None, request: Request) -> None:
        self.layout, self.common = layout, request.common
        file = resources.files("benchmark.published") / "published.csv"
        self.numbers = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        known = known_methods(request.plugin)
        self.rows: dict[tuple[int, str], Rows] = {}
        for i, entry in enumerate(layout.entries):
            for dataset in {slot.dataset for slot in layout.slots}:
                if truth is not None:
                    found = match(truth, layout, entry, dataset, known).rows
                    self.rows[i, dataset] = [] if found is None else found.to_dict("records")  # type: ignore[assignment]
        self.lines: dict[str, tuple[int, str]] = {}
        for i, entry in enumerate(layout.entries):
            for side, label in _labels(request, layout, entry).items():
                while label in self.lines:
                    label += "'"
                self.lines[label] = (i, side)
        self.slots: dict[str, Slot] = {}
        for slot in layout.slots:
            head = plain(slot.head)
            while head in self.slots:
                head += "'"
            self.slots[head] = slot

    def __call__(self, row: str, column: str) -> str | None:
        line, head = (column, row) if self.layout.entries_as == "columns" else (row, column)
        bare = line.rstrip("'")
        if line not in self.lines and bare in self.lines:
            line = bare
        if line not in self.lines or head not in self.slots:
            return None
        i, side = self.lines[line]
        slot = self.slots[head]
        return "/".join(self._part(i, side, slot, metric) for metric in slot.metrics)

    def _part(self, i: int, side: str, slot: Slot, metric: str) -> str:
        if metric not in METRICS and metric != "image_accuracy" and side != "published":
            return UNKNOWABLE
        number = self._number(i, slot, metric)
        if side == "published":
            return number
        entry = self.layout.entries[i]
        mean, spread = self._run(i, slot, entry.variants.get(metric, metric))
        if side == "run":
            return _text(mean, spread, slot.decimals)
        printed = float(number) if number != "–" else math.nan
        if self._over(slot) != slot.over and not isinstance(slot.over, int):
            printed = self._printed_mean(i, slot, metric)
        difference = mean - printed
        if math.isnan(difference):
            return "–"
        text = f"{difference:.{slot.decimals}f}"
        zero = float(text) == 0
        return f"{0:.{slot.decimals}f}" if zero else ("+" + text).replace("+-", "−")

    def _number(self, i: int, slot: Slot, metric: str) -> str:
        if self._over(slot) != slot.over and not isinstance(slot.over, int):
            return _text(self._printed_mean(i, slot, metric), None, slot.decimals)
        return self._raw(i, slot.category, slot, metric)

    def _raw(self, i: int, category: str, slot: Slot, metric: str) -> str:
        entry = self.layout.entries[i]
        for n in self.numbers:
            if (n["paper"], n["table"]) != (self.layout.paper, self.layout.table):
                continue
            if (n["method"], n["setting"]) != (entry.method, entry.setting):
                continue
            if (n["dataset"], n["category"], n["metric"]) == (slot.published_as, category, metric):
                return str(n["value"])
        return "–"

    def _printed_mean(self, i: int, slot: Slot, metric: str) -> float:
        values = [self._raw(i, c, slot, metric) for c in self._over(slot)]
        if not values or "–" in values:
            return math.nan
        return statistics.fmean(map(float, values))

    def _over(self, slot: Slot) -> tuple[str, ...]:
        have = [{r["category"] for r in rows} for (_, d), rows in self.rows.items() if rows]
        if isinstance(slot.over, int):
            names = set().union(*have) if have else set()
            return tuple(sorted(names)) if len(names) == slot.over else ()
        if self.common and slot.average and have:
            return tuple(c for c in slot.over if all(c in h for h in have)) or slot.over
        return slot.over

    def _run(self, i: int, slot: Slot, name: str) -> tuple[float, float | None]:
        mean, spread = _mean(self.rows.get((i, slot.dataset), []), name, self._over(slot))
        factor = 100 if self.layout.percent else 1
        return mean * factor, None if spread is None else spread * factor


def _labels(request: Request, layout: Layout, entry: Entry) -> dict[str, str]:
    """What stands over (or before) an entry's numbers, per side."""
    head = plain(f"{entry.head} {entry.cite}".strip())
    if entry.labels:
        rest = [""] * (len(entry.labels) - 1)
        return {
            "published": " ".join(entry.labels),
            "run": " ".join(["here", *rest]),
            "difference": " ".join(["Δ", *rest]),
        }
    prefix = ""
    if layout.entries_as == "columns" and entry.group:
        prefix = f"{entry.group}: "
    sides = {"published": head, "run": f"{entry.head} here", "difference": f"{entry.head} Δ"}
    if request.view == "run":
        sides = {"run": plain(entry.head)}
    elif not entry.method:
        sides.pop("published")
    return {side: prefix + label for side, label in sides.items()}


def _mean(rows: Rows, metric: str, over: Sequence[str]) -> tuple[float, float | None]:
    """Mean over categories of the mean over seeds; deviation of the seeds' own averages."""
    if not over:
        return math.nan, None
    by: dict[str, dict[int, float]] = {c: {} for c in over}
    for row in rows:
        if row["category"] in by and not math.isnan(row[metric]):
            by[row["category"]][row["seed"]] = row[metric]
    if not all(by.values()):
        return math.nan, None
    mean = statistics.fmean(statistics.fmean(seeds.values()) for seeds in by.values())
    complete = set.intersection(*(set(seeds) for seeds in by.values()))
    averages = [statistics.fmean(by[c][seed] for c in over) for seed in sorted(complete)]
    return mean, statistics.stdev(averages) if len(averages) > 1 else None


def _shared(part: Rows, metric: str, over: Sequence[str]) -> list[str]:
    names = {row["name"] for row in part}
    have = {(r["name"], r["category"]) for r in part if not math.isnan(r[metric])}
    return [c for c in over if all((n, c) in have for n in names)]


def _text(mean: float, spread: float | None, decimals: int) -> str:
    if math.isnan(mean):
        return "–"
    return f"{mean:.{decimals}f}" + ("" if spread is None else f" ± {spread:.{decimals}f}")
