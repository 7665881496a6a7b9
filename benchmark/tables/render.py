"""Grids as LaTeX (booktabs), CSV and HTML, and the choice of format. Every text is escaped for its
format."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Sequence

from benchmark.errors import SettingsError, unknown
from benchmark.tables.grid import Footnotes, Grid, Text
from benchmark.tables.pipes import markdown

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # a bracket after a line end would be read as its optional argument
    "]": "{]}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "–": "--",
    "λ": r"$\lambda$",
    "ℓ": r"$\ell$",
    "Δ": r"$\Delta$",
    "τ": r"$\tau$",
    "✓": r"$\surd$",
    "…": r"\dots{}",
}

CITE_KEY = re.compile(r"[A-Za-z0-9:._+-]+")


def render(grids: Sequence[Grid], form: str) -> str:
    """Write several grids as one text.

    Args:
        grids: the blocks of a table.
        form: a key of :data:`FORMATS`.
    """
    if form not in FORMATS:
        raise SettingsError(unknown("format", form, FORMATS))
    return "\n\n".join(FORMATS[form](grid) for grid in grids)


def latex(grid: Grid) -> str:
    """Write a table environment for booktabs, shrunk to the line's width where it is wider."""
    notes = Footnotes()

    def show(given: Text) -> str:
        parts = [rf"\textbf{{{tex(p.text)}}}" if p.best else tex(p.text) for p in given.parts]
        mark = notes.marks(given)
        cite = rf"~\cite{{{given.cite}}}" if CITE_KEY.fullmatch(given.cite) else ""
        return "/".join(parts) + cite + (rf"\textsuperscript{{{mark}}}" if mark else "")

    above = [rf"{{\footnotesize {tex(text)}\par\smallskip}}" for text in grid.above]
    lines = [
        r"% needs \usepackage{booktabs,graphicx}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{tex(grid.title)}}}",
        *above,
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{'l' * grid.stub}{'r' * (grid.width - grid.stub)}}}",
        r"\toprule",
    ]
    if len(grid.head) > 1:
        texts, rules, at = [], [], 1
        for c in grid.head[0]:
            texts.append(rf"\multicolumn{{{c.span}}}{{c}}{{{show(c)}}}" if c.span > 1 else show(c))
            if c.text:
                rules.append(rf"\cmidrule(lr){{{at}-{at + c.span - 1}}}")
            at += c.span
        lines += [" & ".join(texts) + r" \\", "".join(rules)]
    lines += [" & ".join(show(c) for c in grid.head[-1]) + r" \\", r"\midrule"]
    for i, row in enumerate(grid.rows):
        shown = [show(c) for c in row.texts]
        if row.kind == "group":
            lines += [r"\midrule"] if i else []
            if not shown[0]:
                continue
            lines.append(rf"\multicolumn{{{grid.width}}}{{l}}{{\textit{{{shown[0]}}}}} \\")
            continue
        if row.kind == "average":
            shown[0] = rf"\textit{{{shown[0]}}}"
        lines.append(" & ".join(shown) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}"]
    below = [tex(text) for text in grid.legend]
    below += [rf"\textsuperscript{{{mark}}} {tex(text)}" for mark, text in notes]
    below += [tex(note) for note in grid.notes]
    if below:
        lines += [
            r"\par\smallskip",
            r"\parbox{\linewidth}{\footnotesize " + r"\\".join(below) + "}",
        ]
    return "\n".join([*lines, r"\end{table}"])


def comma_separated(grid: Grid) -> str:
    """Write CSV: the table alone, best ones unmarked; footnotes stand in brackets behind their
    text."""

    def show(given: Text) -> str:
        text = given.full or given.text  # there is no room for a legend
        return text + (f" [{'; '.join(given.notes)}]" if given.notes else "")

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = [show(c) for c in grid.head[-1]]
    if len(grid.head) > 1:
        upper = [show(c) for c in grid.head[0] for _ in range(c.span)]
        head = [f"{u}: {h}" if u else h for u, h in zip(upper, head, strict=True)]
    group = any(row.kind == "group" for row in grid.rows)
    writer.writerow(["group", *head] if group else head)
    current = ""
    for row in grid.rows:
        if row.kind == "group":
            current = row.texts[0].full or row.texts[0].text
            continue
        shown = [show(c) for c in row.texts]
        writer.writerow([current, *shown] if group else shown)
    return out.getvalue().rstrip("\n")


def web(grid: Grid) -> str:
    """Write an HTML table; its look is the page's."""
    notes = Footnotes()

    def show(given: Text) -> str:
        parts = [
            f"<b>{html.escape(p.text)}</b>" if p.best else html.escape(p.text) for p in given.parts
        ]
        mark = notes.marks(given)
        return "/".join(parts) + (f"<sup>{mark}</sup>" if mark else "")

    lines = [f"<p>{html.escape(text)}</p>" for text in grid.above]
    lines += [f"<table>\n<caption>{html.escape(grid.title)}</caption>", "<thead>"]
    for line in grid.head:
        texts = "".join(
            f'<th scope="col"{f" colspan={c.span}" if c.span > 1 else ""}>{show(c)}</th>'
            for c in line
        )
        lines.append(f"<tr>{texts}</tr>")
    lines += ["</thead>", "<tbody>"]
    for row in grid.rows:
        if row.kind == "group" and not row.texts[0].text:
            continue
        if row.kind == "group":
            lines.append(
                f'<tr class="group"><th colspan={grid.width} scope="rowgroup">'
                f"{show(row.texts[0])}</th></tr>"
            )
            continue
        labels = "".join(f'<th scope="row">{show(c)}</th>' for c in row.texts[: grid.stub])
        values = "".join(f"<td>{show(c)}</td>" for c in row.texts[grid.stub :])
        lines.append(f'<tr class="{row.kind}">{labels}{values}</tr>')
    lines += ["</tbody>", "</table>"]
    lines += [f"<p>{html.escape(text)}</p>" for text in grid.legend]
    lines += [f"<p><sup>{mark}</sup> {html.escape(text)}</p>" for mark, text in notes]
    lines += [f"<p>{html.escape(note)}</p>" for note in grid.notes]
    return "\n".join(lines)


FORMATS: dict[str, Callable[[Grid], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": comma_separated,
    "html": web,
}


def form_of(text: str) -> str:
    """Recognise the format that a printed table is in. Raises SettingsError when there is no table.

    >>> form_of("| a | b |"), form_of("a,b")
    ('markdown', 'csv')
    """
    if "\\begin{tabular}" in text:
        return "latex"
    if "<table" in text:
        return "html"
    if any(line.startswith("|") for line in text.splitlines()):
        return "markdown"
    if "," in text:
        return "csv"
    raise SettingsError(
        "the file to check holds no table; it must be Markdown, LaTeX, CSV or HTML as `bench table` "
        "prints them"
    )


def tex(text: str) -> str:
    """Escape a text for LaTeX.

    >>> tex("metal_nut 50 %")
    'metal\\\\_nut 50 \\\\%'
    """
    return "".join(LATEX.get(c, c) for c in " ".join(text.split()))
