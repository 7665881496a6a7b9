"""A layout with its numbers filled in: published, run here, or both side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from benchmark.errors import StoreError
from benchmark.metrics.names import METRICS
from benchmark.records.select import few_images, rankable
from benchmark.tables import published
from benchmark.tables.grid import DASH, Grid, Part, Row, Text, words
from benchmark.tables.layout import Layout, Method, Slot
from benchmark.tables.live import Value, over_seeds, seeds_text
from benchmark.tables.match import Match, match

if TYPE_CHECKING:
    import pandas as pd

View = Literal["both", "published", "run"]
Side = Literal["published", "run", "difference"]

MEASURED = {
    "infer_seconds": ("latency_batch_1_seconds", 1.0),
    "memory_mb": ("stored_bytes", 1e-6),
}
"""Columns of tables that are no metric: where records have them, and the factor to its unit."""
OTHER_HARDWARE = ("infer_seconds",)


@dataclass
class Line:
    """One row (or column) of the table: a method seen from one side."""

    method: Method
    side: Side
    label: Text
    texts: list[Text] = field(default_factory=list)


class Builder:
    """Everything that the lines of one table need."""

    def __init__(
        self,
        layout: Layout,
        frame: pd.DataFrame | None,
        common: bool = False,
    ) -> None:
        self.layout, self.common = layout, common
        self.ran = frame is not None
        self.numbers = published.table(layout.paper, layout.table)
        datasets = dict.fromkeys(slot.dataset for slot in layout.slots)
        self.matches: dict[tuple[Method, str], Match] = {
            (e, d): match(frame, layout, e, d) if frame is not None else Match()
            for e in layout.methods
            for d in datasets
        }
        self.over = {slot.head + slot.category: self._over(slot) for slot in layout.slots}

    def grid(self, view: View) -> Grid:
        """Lay out the table, seen from one side or both."""
        lines = [line for method in self.layout.methods for line in self._lines(method, view)]
        if view == "run" and not any(m.found for m in self.matches.values()):
            raise StoreError(
                f"table {self.layout.name}: none of its methods is among these records; "
                f"bench run --table {self.layout.name} makes them"
            )
        for i, slot in enumerate(self.layout.slots):
            self._mark(lines, i, slot)
        shape = _columns if self.layout.methods_as == "columns" else _rows
        head, rows, stub = shape(self.layout, lines)
        return Grid(self._title(view), head, rows, self._notes(view), stub)

    def published(self, method: Method, slot: Slot, metric: str) -> published.Number | None:
        """Look up the printed number."""
        key = (method.name, method.setting, slot.published_as, slot.category, metric)
        return self.numbers.get(key)

    def value(self, method: Method, slot: Slot, metric: str, side: Side) -> float:
        """Return a number in the table's unit (NaN when there is none)."""
        if side == "run":
            return self.run(method, slot, metric).mean
        number = self.published(method, slot, metric)
        categories = self.over[slot.head + slot.category]
        if categories is None or not self._shortened(slot):
            return float(number.value) if number else math.nan
        parts = [
            self.numbers.get((method.name, method.setting, slot.published_as, c, metric))
            for c in categories
        ]
        values = [float(n.value) for n in parts if n]
        return sum(values) / len(values) if values and len(values) == len(parts) else math.nan

    def comparable(self, method: Method, slot: Slot, metric: str) -> bool:
        """Tell whether a difference between published and run means anything."""
        number = self.published(method, slot, metric)
        return (
            not self.layout.no_verdict
            and metric not in OTHER_HARDWARE
            and self.match(method, slot).comparable
            and number is not None
            and number.metric_variant == method.variant(metric)
        )

    def match(self, method: Method, slot: Slot) -> Match:
        """Return the records that stand for a method."""
        return self.matches[method, slot.dataset]

    def run(self, method: Method, slot: Slot, metric: str) -> Value:
        """Return the number run here, in the table's unit."""
        rows = self.match(method, slot).rows
        categories = self.over[slot.head + slot.category]
        name, factor = MEASURED.get(metric, (method.variant(metric), 1.0))
        if rows is None or categories is None or not (name in METRICS or metric in MEASURED):
            return Value(math.nan)
        value = over_seeds(rows, name, categories)
        if self.layout.percent and name in METRICS:
            factor = 100.0
        spread = None if value.spread is None else value.spread * factor
        return Value(value.mean * factor, spread)

    def _over(self, slot: Slot) -> tuple[str, ...] | None:
        """List the categories a slot stands for; None when they are not (all) there."""
        found = [m.rows for (_, d), m in self.matches.items() if d == slot.dataset and m.found]
        if isinstance(slot.over, int):
            names = {c for rows in found if rows is not None for c in rows["category"]}
            return tuple(sorted(names)) if len(names) == slot.over else None
        if not (self.common and slot.average):
            return slot.over
        have = [set(rows["category"]) for rows in found if rows is not None]
        shared = tuple(c for c in slot.over if all(c in h for h in have))
        return shared or None

    def _shortened(self, slot: Slot) -> bool:
        categories = self.over[slot.head + slot.category]
        if categories is None or isinstance(slot.over, int):
            return False
        return categories != slot.over

    def _lines(self, method: Method, view: View) -> list[Line]:
        found = [self.match(method, slot) for slot in self.layout.slots]
        here = any(m.found for m in found)
        sides: list[Side] = ["published"] if view != "run" and method.name else []
        if view == "published":
            return [self._line(method, side, view) for side in sides]
        if here:
            sides.append("run")
        pairs = [(s, m) for s in self.layout.slots for m in s.metrics]
        if view == "both" and here and any(self.comparable(method, s, m) for s, m in pairs):
            sides.append("difference")
        return [self._line(method, side, view) for side in sides]

    def _line(self, method: Method, side: Side, view: View) -> Line:
        head = f"{method.head} {method.cite}".strip()
        notes = [method.note] if method.note else []
        if side == "run":
            differing = {m.differences for (e, _), m in self.matches.items() if e is method}
            notes += ["; ".join(d) for d in sorted(differing) if d]
        text = {
            "published": head,
            "run": f"{method.head} here" if view == "both" else method.head,
            "difference": f"{method.head} Δ",
        }[side]
        label = words(text, notes if side != "difference" else ())
        line = Line(method, side, replace(label, tied=bool(method.name) and side != "published"))
        for slot in self.layout.slots:
            line.texts.append(
                Text(tuple(Part(self._text(method, slot, m, side)) for m in slot.metrics))
            )
        return line

    def _text(self, method: Method, slot: Slot, metric: str, side: Side) -> str:
        decimals = slot.decimals
        if side == "run":
            return self.run(method, slot, metric).text(decimals)
        theirs = self.value(method, slot, metric, "published")
        if side == "published":
            number = self.published(method, slot, metric)
            if self._shortened(slot):
                return Value(theirs).text(decimals)
            return number.value if number else DASH
        if not self.comparable(method, slot, metric):
            return DASH
        difference = self.value(method, slot, metric, "run") - theirs
        if math.isnan(difference):
            return DASH
        text = f"{difference:+.{decimals}f}"
        return text.replace("-", "−") if float(text) else f"{0:.{decimals}f}"

    def _mark(self, lines: Sequence[Line], index: int, slot: Slot) -> None:
        """Mark the best numbers of one slot, published ones by the paper's rule, own ones by the
        highest."""
        for j, metric in enumerate(slot.metrics):
            printed = [line for line in lines if line.side == "published" and line.method.competes]
            if self.layout.best == "last":
                winners = printed[-1:]
            else:
                slack = 0.01 if self.layout.best == "within 0.01" else 0.0
                groups = dict.fromkeys(line.method.group for line in printed)
                if not slack:
                    groups = {"": None}
                winners = []
                for group in groups:
                    part = [line for line in printed if not slack or line.method.group == group]
                    winners += self._highest(part, slot, metric, slack)
            own = [
                line
                for line in lines
                if line.side == "run"
                and line.method.competes
                and self.match(line.method, slot).comparable
                and metric in METRICS
                and self._rankable(line.method, slot)
            ]
            if len({w for line in own for w in self._windows(line.method, slot)}) == 1:
                winners += self._highest(own, slot, metric, 0.0)
            for line in winners:
                old = line.texts[index]
                parts = [Part(p.text, p.best or i == j) for i, p in enumerate(old.parts)]
                line.texts[index] = Text(tuple(parts), old.notes)

    def _rankable(self, method: Method, slot: Slot) -> bool:
        rows, over = self.match(method, slot).rows, self.over[slot.head + slot.category]
        return rows is not None and over is not None and rankable(rows, over)

    def _windows(self, method: Method, slot: Slot) -> set[str]:
        rows = self.match(method, slot).rows
        return set() if rows is None else set(rows["window"])

    def _highest(self, lines: Sequence[Line], slot: Slot, metric: str, slack: float) -> list[Line]:
        values = [
            (round(self.value(line.method, slot, metric, line.side), slot.decimals), line)
            for line in lines
        ]
        known = [(v, line) for v, line in values if not math.isnan(v)]
        if len(known) < 2:
            return []
        best = max(v for v, _ in known)
        return [line for v, line in known if v >= best - slack - 1e-9]

    def _title(self, view: View) -> str:
        sides = {
            "published": "as published",
            "run": "run here",
            "both": "published, run here and the difference (Δ)",
        }
        return f"{self.layout.title}: {sides[view]}"

    def _notes(self, view: View) -> list[str]:
        notes = list(self.layout.notes) if view != "run" else []
        import pandas as pd

        found = {e.head: m.rows for (e, _), m in self.matches.items() if m.rows is not None}
        if view == "published" or not found:
            if view == "both" and self.ran:
                notes.append(
                    "No record of its methods was found; only published numbers are shown."
                )
            return notes
        if self.layout.no_verdict:
            notes.append(f"No difference is given: {self.layout.no_verdict}.")
        notes.append(
            f"Run here: {seeds_text(found)} A column "
            "with a footnote differs from the published configuration and gets no difference."
        )
        shown = {c for over in self.over.values() for c in over or ()}
        every = pd.concat(found.values())
        notes += few_images(every[every["category"].isin(shown)])
        for slot in self.layout.slots:
            categories = self.over[slot.head + slot.category]
            if self._shortened(slot) and categories:
                notes.append(
                    f"{slot.head}: both sides over the {len(categories)} common categories only "
                    f"({', '.join(categories)})."
                )
        windows = {w for rows in found.values() for w in rows["window"]}
        if len(windows) > 1:
            notes.append(
                f"Measured pixels differ between methods ({'; '.join(sorted(windows))}): numbers run "
                "here are not ranked."
            )
        return notes


def build(
    layout: Layout,
    frame: pd.DataFrame | None,
    view: View = "both",
    common: bool = False,
) -> Grid:
    """Build a table from a layout.

    Args:
        layout: which table.
        frame: finished records, each cell once; not needed for the view ``published``.
        view: ``published``, ``run``, or ``both`` with the difference.
        common: average over the categories that all methods run here have, on both sides.

    Raises:
        StoreError: several configurations could stand for one column.
    """
    return Builder(layout, None if view == "published" else frame, common).grid(view)


def _columns(layout: Layout, lines: Sequence[Line]) -> tuple[list[list[Text]], list[Row], int]:
    """Lay out methods as columns."""
    stub = [words(text) for text in layout.stub]
    head = [[*stub, *(line.label for line in lines)]]
    groups = [line.method.group for line in lines]
    if any(groups):
        head.insert(0, [*[words("")] * len(stub), *_spans(groups)])
    rows: list[Row] = []
    group = ""
    for i, slot in enumerate(layout.slots):
        if slot.group != group:
            group = slot.group
            rows.append(Row((words(group),), "group"))
        kind: Literal["row", "average"] = "average" if slot.average else "row"
        rows.append(Row((words(slot.head), *(line.texts[i] for line in lines)), kind))
    return head, rows, len(stub)


def _rows(layout: Layout, lines: Sequence[Line]) -> tuple[list[list[Text]], list[Row], int]:
    """Lay out methods as rows."""
    head = [[*(words(t) for t in layout.stub), *(words(s.head) for s in layout.slots)]]
    rows: list[Row] = []
    group = ""
    for line in lines:
        if line.method.group != group:
            group = line.method.group
            rows.append(Row((words(group),), "group"))
        labels = [line.label]
        if line.method.labels:
            ticks = (
                line.method.labels if line.side == "published" else ("",) * len(line.method.labels)
            )
            labels = [*(words(t) for t in ticks)]
            if line.side != "published":
                labels[0] = words("here" if line.side == "run" else "Δ", line.label.notes)
        rows.append(Row((*labels, *line.texts)))
    return head, rows, len(layout.stub)


def _spans(groups: Iterable[str]) -> list[Text]:
    out: list[tuple[str, int]] = []
    for group in groups:
        if out and out[-1][0] == group:
            out[-1] = (group, out[-1][1] + 1)
        else:
            out.append((group, 1))
    return [words(text, span=span) for text, span in out]
