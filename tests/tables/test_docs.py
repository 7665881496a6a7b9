"""The tables in the documentation are what the committed records make."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from benchmark.tables import TABLES, make
from benchmark.tables.layout import Layout

FOLDER = Path(__file__).parents[2] / "docs" / "tables"
PAPERS = [n for n, t in TABLES.items() if isinstance(t, Layout) and t.table]


def script(file: Path) -> Any:
    """A script among the pages, as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gallery() -> Any:
    """docs/tables/gallery.py."""
    return script(FOLDER / "gallery.py")


@pytest.mark.parametrize("name", PAPERS)
def test_a_documented_table_is_up_to_date(gallery: Any, name: str) -> None:
    made = make(name, results=[gallery.RESULTS], methods=gallery.shown())
    kept = (FOLDER / f"{name}.md").read_text()
    assert kept.rstrip() == made.rstrip(), "run: make tables"


def test_the_page_on_fidelity_is_up_to_date(gallery: Any) -> None:
    kept = (FOLDER.parent / "fidelity.md").read_text()
    assert kept == gallery.near_and_far(), "run: make tables"


def test_the_page_on_a_large_study_is_up_to_date() -> None:
    kept = (FOLDER.parent / "scale.md").read_text()
    assert kept == script(FOLDER.parent / "scale.py").page(), "run: make tables"


def test_the_page_on_fidelity_has_verdicts_and_reasons(gallery: Any) -> None:
    rows = [line.split("|")[1:-1] for line in gallery.near_and_far().splitlines() if "|" in line]
    rows = [[part.strip() for part in row] for row in rows]
    padim = [r for r in rows if r[0] == "padim-xiahaifeng: padim ResNet18-Rd100"]
    paper = {(r[1], r[2]): r for r in padim if r[6] == "resnet18" and r[8] == "paper"}
    assert paper.keys() == {
        (c, f"{k}_auroc") for c in ("bottle", "screw") for k in ("image", "pixel")
    }
    for row in paper.values():
        assert row[5] == "5" and "±" in row[4] and not row[10].startswith("none")
    stfpm = [r for r in rows if r[0].startswith("anomalib: stfpm ResNet-18") and r[1] == "screw"]
    assert {r[7] for r in stfpm} == {"epochs=8 (default 100)", "epochs=60 (default 100)"}
    assert all(r[10].startswith("none [") for r in stfpm)
