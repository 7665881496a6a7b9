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


@pytest.mark.parametrize("name", ["scale", "learned"])
def test_a_page_that_a_script_makes_is_up_to_date(name: str) -> None:
    kept = (FOLDER.parent / f"{name}.md").read_text()
    assert kept == script(FOLDER.parent / f"{name}.py").page(), "run: make tables"


def test_the_page_on_fidelity_has_verdicts_and_reasons() -> None:
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in (FOLDER.parent / "fidelity.md").read_text().splitlines():
        if line.startswith("| *"):
            heading = line.strip("| *")
        elif line.startswith("| "):
            row = [part.strip() for part in line.split("|")[1:-1]]
            found.setdefault(heading, []).append(row)
    padim = "padim-xiahaifeng: padim ResNet18-Rd100; run here: resnet18, protocol paper, "
    (rows,) = [rows for head, rows in found.items() if head.startswith(padim)]
    assert {(r[0], r[1]) for r in rows} == {
        (c, f"{k}_auroc") for c in ("bottle", "screw") for k in ("image", "pixel")
    }
    for row in rows:
        assert row[4] == "5" and "±" in row[3] and not row[5].startswith("not comparable")
    stfpm = [head for head in found if head.startswith("anomalib: stfpm ResNet-18")]
    assert {h.split(", ")[1] for h in stfpm} == {"epochs=8 (default 100)"}
    igd = [head for head in found if head.startswith("igd-3: Ours") and "holdout" in head]
    assert {"steps=8 (default none)", "epochs=1 (default none)"} <= {h.split(", ")[1] for h in igd}
    rows = [r for head in stfpm for r in found[head] if r[0] == "screw"]
    assert rows and all(r[5].startswith("not comparable [") for r in rows)
