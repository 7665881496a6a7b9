"""Formats: structure and escaping."""

from __future__ import annotations

import csv
import html.parser
import io
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmark.tables import TABLES, make
from benchmark.tables.grid import Grid, Part, Row, Text, words
from benchmark.tables.layout import Layout
from benchmark.tables.render import render

HOSTILE = "<script>alert(1)</script> 50%_$x$ {a} \\input{b} | `c` **d** #1 ~^"
GRID = Grid(
    HOSTILE,
    [[words(""), words("top", span=2)], [words("Category"), words("a_b"), words("c & d", ["why"])]],
    [
        Row((words("Objects"),), "group"),
        Row((words("metal_nut"), words("0.9", best=True), Text((Part("1.0", True), Part("–"))))),
        Row((words(HOSTILE), words("0.8", ["why", "and"]), words("2")), "average"),
    ],
    ["A note & more."],
)


def test_markdown_cannot_be_broken_by_names() -> None:
    text = render([GRID], "markdown")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") == 4 for line in table)
    assert "<script>" not in text
    assert "**1.0**/–" in text
    assert "\n\n*top*\n\n|" in text
    assert "[a] why" in text and "[b] and" in text


def test_latex_escapes_everything() -> None:
    text = render([GRID], "latex")
    assert r"metal\_nut" in text and r"\textbf{0.9}" in text
    assert r"\multicolumn{2}{c}{top}" in text
    for bad in ("50%_", "\\input{b}", "#1 ~^", "c & d"):
        assert bad not in text


def test_html_escapes_and_nests() -> None:
    text = render([GRID], "html")
    assert "<script>" not in text
    open_tags: list[str] = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Parser().feed(text)
    assert not open_tags


def test_csv_has_one_cell_per_column_and_its_footnotes_inside() -> None:
    rows = list(csv.reader(io.StringIO(render([GRID], "csv"))))
    assert rows[0] == ["group", "Category", "top: a_b", "top: c & d [why]"]
    assert rows[1] == ["Objects", "metal_nut", "0.9", "1.0/–"]


def test_latex_of_every_table_compiles(tmp_path: Path) -> None:
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-base, texlive-latex-extra)")
    tables = [
        make(t.name, view="published", form="latex")
        for t in TABLES.values()
        if isinstance(t, Layout)
    ]
    body = "\n\\clearpage\n".join([*tables, render([GRID], "latex")])
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage[T1]{fontenc}"
        f"\\usepackage{{booktabs,graphicx}}\\begin{{document}}\n{body}\n\\end{{document}}\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
