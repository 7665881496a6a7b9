"""Tables that a user describes in YAML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.tables import make

from .conftest import Record

Bench = Callable[..., tuple[int, str]]
TABLE = """
title: Mine & yours
metrics: [pixel_auroc, pro]
categories: [screw, bottle]
names: {bottle: A bottle}
columns:
  - {table: rd4ad-2, method: PaDiM, cite: defard2021padim}
  - {source: anomalib README, method: padim, setting: ResNet-18, name: anomalib}
  - {table: spade-3, method: SPADE}
  - {run: SPADE (k=5), name: mine}
  - {run: SPADE}
"""


@pytest.fixture
def table(tmp_path: Path, record: Record) -> Path:
    for category in ("bottle", "screw"):
        record(category, 0.9, settings={"k": 5})
        record(category, 0.8)
    file = tmp_path / "my.yaml"
    file.write_text(TABLE)
    return file


def test_columns_rows_and_origins(table: Path, results: Path) -> None:
    rows = make(str(table), results=[results], form="csv").splitlines()
    assert rows[0].split(",") == [
        "Category",
        '"copied',
        ' rd4ad Table 2: PaDiM"',
        '"third party',
        ' anomalib README @b72336861: anomalib"',
        '"own number',
        ' spade Table 3: SPADE"',
        '"run here',
        ' paper: mine"',
        '"run here',
        ' paper: SPADE"',
    ]
    assert rows[1] == "screw,98.5/94.4,97.8/–,–/96.0,90.0/90.0,80.0/80.0"
    assert rows[2].startswith("A bottle,98.3/94.8,")
    assert rows[3].startswith("Average over 2,98.4/94.6,")


def test_only_runs_of_one_block_are_ranked(table: Path, results: Path, record: Record) -> None:
    assert "**90.0**/**90.0**" in make(str(table), results=[results])
    for category in ("bottle", "screw"):
        record(category, 0.95, method="other", geometry={"crop": None})
    table.write_text(TABLE + "  - {run: other}\n")
    text = make(str(table), results=[results])
    assert "**90.0**" not in text and "not ranked" in text


def test_latex_cites_by_key(table: Path, results: Path) -> None:
    text = make(str(table), results=[results], form="latex")
    assert r"PaDiM~\cite{defard2021padim}" in text and r"Mine \& yours" in text
    assert "@inproceedings{defard2021padim," in make("bibliography")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("metrics", "metric"), "unknown entry 'metric', did you mean 'metrics'|needs at least"),
        (("pixel_auroc", "pixel_auroc_"), "unknown metric 'pixel_auroc_', did you mean"),
        (("method: PaDiM", "method: PaDim"), "unknown method 'PaDim', did you mean 'PaDiM'"),
        (("rd4ad-2", "rd4ad-9"), "unknown table 'rd4ad-9'"),
        (("run: SPADE}", "run: SPAD}"), "unknown method 'SPAD', did you mean 'SPADE'"),
        (("spade-3", "dsr-3"), "unknown method 'SPADE'"),
        (("[pixel_auroc, pro]", "[image_ap]"), "has none of image_ap"),
        (("title: Mine & yours", "title: ["), "is not YAML"),
        (("cite:", "kite:"), "unknown entry 'kite', did you mean 'cite'"),
        (("categories: [screw, bottle]", "categories: 3"), "allowed is a list of str"),
    ],
)
def test_mistakes_are_named(
    table: Path, results: Path, bench: Bench, change: tuple[str, str], message: str
) -> None:
    import re

    table.write_text(TABLE.replace(*change))
    status, said = bench("table", table, "--results", results)
    assert status == 2 and re.search(message, said), said
