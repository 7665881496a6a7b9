"""Grids as Markdown that can be read in a terminal, too: no line is wider than WIDTH letters, unless a
single column is."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from benchmark.tables.grid import Footnotes, Grid, Text

WIDTH = 120
HEADING = 24
"""Letters of a group's heading that the first column makes room for."""
LEAST = 3
"""Letters of a column: its rule needs two dashes and a colon."""


def markdown(grid: Grid) -> str:
    """Write a pipe table; group headings are lines in italics.

    A table that is too wide loses the spaces around ±, and is then split into several below each
    other, each with the columns of labels. A heading over several columns stands above a table of
    its own; one over a single column is joined with its heading.
    """
    notes = Footnotes()
    lines = _Lines.of(grid, notes)
    if lines.width(range(grid.width)) > WIDTH:
        lines = lines.squeezed()
    tables = []
    for heading, columns in lines.sections(grid):
        tables += [f"*{heading}*"] if heading else []
        tables += [lines.table(grid, part) for part in _split(lines, grid, columns)]
    above = [f"**{escaped(grid.title)}**", *map(escaped, grid.above)]
    legend = [f"- {escaped(text)}" for text in grid.legend]
    below = [f"[{mark}] {escaped(text)}" for mark, text in notes] + [escaped(n) for n in grid.notes]
    texts = [*map(wrapped, above), *tables, "\n".join(wrapped(t, "  ") for t in legend)]
    return "\n\n".join(text for text in (*texts, *map(wrapped, below)) if text)


def fits(grid: Grid) -> bool:
    """Tell whether the table need not be split."""
    return _Lines.of(grid, Footnotes()).squeezed().width(range(grid.width)) <= WIDTH


@dataclass(frozen=True)
class _Lines:
    """The texts of a grid as Markdown; ``over`` are headings over columns, ``heading`` tells the
    group headings among the rows."""

    over: Sequence[str]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    heading: Sequence[bool]

    @classmethod
    def of(cls, grid: Grid, notes: Footnotes) -> _Lines:
        def show(given: Text) -> str:
            parts = [f"**{escaped(p.text)}**" if p.best else escaped(p.text) for p in given.parts]
            mark = notes.marks(given)
            return "/".join(parts) + (f" [{mark}]" if mark else "")

        head = [show(c) for c in grid.head[-1]]
        over = [show(c) for c in grid.head[0]] if len(grid.head) > 1 else []
        if len(over) == grid.width:
            head = [f"{o}: {h}" if o else h for o, h in zip(over, head, strict=True)]
            over = []
        rows = []
        for row in grid.rows:
            shown = [show(c) for c in row.texts]
            if row.kind != "row" and shown[0]:
                shown[0] = f"*{shown[0]}*"
            rows.append(shown)
        heading = [row.kind == "group" for row in grid.rows]
        named = [i for i, shown in enumerate(rows) if shown[0] or not heading[i]]
        return cls(over, head, [rows[i] for i in named], [heading[i] for i in named])

    def squeezed(self) -> _Lines:
        rows = [[text.replace(" ± ", "±") for text in row] for row in self.rows]
        return replace(self, rows=rows)

    def sections(self, grid: Grid) -> list[tuple[str, list[int]]]:
        """Group the columns of numbers by the heading over them."""
        if not self.over:
            return [("", list(range(grid.stub, grid.width)))]
        out, at = [], 0
        for text, given in zip(self.over, grid.head[0], strict=True):
            out.append((text, [i for i in range(at, at + given.span) if i >= grid.stub]))
            at += given.span
        return [(text, columns) for text, columns in out if columns]

    @cached_property
    def widths(self) -> list[int]:
        """Letters of every column; a group's long heading may stand out of its own."""
        body = [row for row, is_group in zip(self.rows, self.heading, strict=True) if not is_group]
        widths = [max(LEAST, *map(len, column)) for column in zip(self.head, *body, strict=True)]
        headings = [
            len(row[0]) for row, is_group in zip(self.rows, self.heading, strict=True) if is_group
        ]
        widths[0] = max([widths[0], *(letters for letters in headings if letters <= HEADING)])
        return widths

    def width(self, columns: Sequence[int]) -> int:
        return sum(self.widths[i] + 3 for i in columns) + 1

    def table(self, grid: Grid, columns: Sequence[int]) -> str:
        """Write some of the columns; the first ones hold labels."""
        widths = [self.widths[i] for i in columns]

        def line(texts: Sequence[str]) -> str:
            aligned = [
                text.ljust(width) if i < grid.stub else text.rjust(width)
                for i, (text, width) in enumerate(zip(texts, widths, strict=True))
            ]
            return f"| {' | '.join(aligned)} |"

        rule = [
            f":{'-' * (w + 1)}" if i < grid.stub else f"{'-' * (w + 1)}:"
            for i, w in enumerate(widths)
        ]
        out = [line([self.head[i] for i in columns]), f"|{'|'.join(rule)}|"]
        for row, is_group in zip(self.rows, self.heading, strict=True):
            if is_group and len(row[0]) > widths[0]:  # it stands out into the next columns
                rest = " |" * len(columns)
                out.append(f"| {row[0]}".ljust(len(out[0]) - len(rest)) + rest)
            elif is_group:
                out.append(line([row[0], *[""] * (len(columns) - 1)]))
            else:
                out.append(line([row[i] for i in columns]))
        return "\n".join(out)


def _split(lines: _Lines, grid: Grid, columns: Sequence[int]) -> list[list[int]]:
    """Share columns out among as few tables as the width allows, and evenly.

    Columns that are tied to the one before stay beside it.
    """
    labels = list(range(grid.stub))
    together: list[list[int]] = []
    for i in columns:
        if together and grid.head[-1][i].tied:
            together[-1].append(i)
        else:
            together.append([i])

    def shared(limit: int) -> list[list[int]]:
        tables: list[list[int]] = [[]]
        for tied in together:
            if tables[-1] and lines.width([*labels, *tables[-1], *tied]) > limit:
                tables.append([])
            tables[-1] += tied
        return [[*labels, *table] for table in tables]

    fewest = len(shared(WIDTH))
    narrow = range(lines.width(labels), WIDTH)
    return next((t for t in map(shared, narrow) if len(t) == fewest), shared(WIDTH))


def wrapped(text: str, indent: str = "") -> str:
    """Break a paragraph into lines; none begins with what Markdown would take for a list or a
    heading."""
    kept = re.sub(r" (?=(?:\d+[.)]|[-+#>]|=+)(?: |$))", "\0", text)
    lines = textwrap.fill(
        kept, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return lines.replace("\0", " ")


def escaped(text: str) -> str:
    """Escape a text for a Markdown table: nothing in it can end a column, open a tag or become
    emphasis."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*|\[\]])", r"\\\1", text)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\_", text)
