"""Reads a printed table back, in any format it can be printed in: cells by their row's and column's words."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser

from benchmark.errors import SettingsError
from benchmark.tables.render import LATEX

Cells = dict[tuple[str, str], str]
"""(row, column) as printed -> text of the cell."""
Line = list[tuple[str, int]]
"""Texts with the columns they span."""
Lines = tuple[list[Line], list[Line]]
"""Headings and body of a table."""


def parse(text: str, stub: int) -> list[Cells]:
    """The tables of a text, without bold marks, citations and footnotes.

    Args:
        text: one table or several: Markdown, LaTeX, CSV or HTML, as this program prints them.
        stub: how many columns hold labels.

    Raises:
        SettingsError: no table in it.
    """
    if "\\begin{tabular}" in text:
        tables = [_latex(part) for part in text.split("\\begin{tabular}")[1:]]
    elif "<table" in text:
        reader = _Html()
        reader.feed(text)
        tables = reader.tables
    elif any(line.startswith("|") for line in text.splitlines()):
        tables = _markdown(text)
    else:
        tables = _csv(text)
    found = [_cells(_heading(head), body, stub) for head, body in tables if head]
    if not any(found):
        raise SettingsError(
            "the file to check holds no table; it must be Markdown, LaTeX, CSV or HTML as "
            "`bench table` prints them"
        )
    return found


def plain(cell: str) -> str:
    """A cell's words.

    >>> plain("**SPADE\\\\_x** [a]")
    'SPADE_x'
    """
    text = re.sub(r"(?<!\\)\*", "", cell.strip())
    text = re.sub(r"\\(.)", r"\1", text)
    text = re.sub(r"(?<=.)(\s*\[[^\]]*\])+$", "", text)  # citations and footnotes
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _markdown(text: str) -> list[Lines]:
    tables: list[list[Line]] = [[]]
    for line in text.splitlines():
        if not line.startswith("|"):
            if tables[-1]:
                tables.append([])
        elif not re.fullmatch(r"[|:\- ]+", line):
            tables[-1].append(_line(plain(c) for c in re.split(r"(?<!\\)\|", line)[1:-1]))
    return [(rows[:1], rows[1:]) for rows in tables]


def _csv(text: str) -> list[Lines]:
    tables = []
    for block in text.split("\n\n"):
        rows = list(csv.reader(io.StringIO(block)))
        skip = int(bool(rows) and rows[0][:1] == ["group"])
        lines = [_line(map(plain, row[skip:])) for row in rows]
        tables.append((lines[:1], lines[1:]))
    return tables


def _latex(text: str) -> Lines:
    """The lines of one tabular, which ``text`` begins with."""
    table: Lines = ([], [])
    rows = table[0]
    for line in text.split("\\end{tabular}")[0].splitlines():
        if line == r"\midrule":
            rows = table[1]
        if not line.endswith(r"\\"):
            continue
        row: Line = []
        for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\")):
            spanned = re.fullmatch(r"\s*\\multicolumn\{(\d+)\}\{\w\}\{(.*)\}\s*", cell)
            span, words = (int(spanned[1]), spanned[2]) if spanned else (1, cell)
            row.append((_bare(words), span))
        rows.append(row)
    return table


def _bare(words: str) -> str:
    """Words of a LaTeX cell.

    >>> _bare(r" \\textbf{97.5}/92\\_1~\\cite{x}\\textsuperscript{a} ")
    '97.5/92_1'
    """
    words = re.sub(r"~?\\(cite|textsuperscript)\{[^{}]*\}", "", words)
    words = re.sub(r"\\text(bf|it)\{((?:[^{}]|\{[^{}]*\})*)\}", r"\2", words)
    for character, code in LATEX.items():
        words = words.replace(code, character)
    return plain(words)


class _Html(HTMLParser):
    """Tables of a page; a cell's superscripts are its footnotes."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[Lines] = []
        self._rows: list[Line] = []
        self._text: list[str] | None = None
        self._span = 1
        self._above = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append(([], []))
            self._rows = self.tables[-1][1]
        elif tag == "thead" and self.tables:
            self._rows = self.tables[-1][0]
        elif tag == "tbody" and self.tables:
            self._rows = self.tables[-1][1]
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._text, self._span = [], int(dict(attrs).get("colspan") or 1)
        elif tag == "sup":
            self._above += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "sup":
            self._above -= 1
        elif tag in ("td", "th") and self._text is not None and self._rows:
            self._rows[-1].append((plain("".join(self._text)), self._span))
            self._text = None

    def handle_data(self, data: str) -> None:
        if self._text is not None and not self._above:
            self._text.append(data)


def _line(texts: Iterable[str]) -> Line:
    return [(text, 1) for text in texts]


def _heading(lines: Sequence[Line]) -> list[str]:
    """One text per column; what spans several stands before each."""
    wide = [[text for text, span in line for _ in range(span)] for line in lines]
    return [": ".join(filter(None, texts)) for texts in zip(*wide, strict=False)]


def _cells(head: Sequence[str], body: Sequence[Line], stub: int) -> Cells:
    """Cells by row and column words; rows of equal words are told apart by a stroke."""
    out: Cells = {}
    seen: set[str] = set()
    for line in body:
        row = [text for text, _ in line]
        if not any(row[stub:]):  # a group's heading
            continue
        label = " ".join(row[:stub])
        while label in seen:
            label += "'"
        seen.add(label)
        for name, value in zip(head[stub:], row[stub:], strict=False):
            out[label, name] = value
    return out
