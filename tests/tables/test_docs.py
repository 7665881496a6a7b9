"""The tables in the documentation are what the committed records make."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from benchmark.tables import TABLES, make
from benchmark.tables.layout import Layout

FOLDER = Path(__file__).parents[2] / "docs" / "tables"
PAPERS = [n for n, t in TABLES.items() if isinstance(t, Layout) and t.table]


@pytest.mark.parametrize("name", PAPERS)
def test_a_documented_table_is_up_to_date(name: str) -> None:
    spec = importlib.util.spec_from_file_location("gallery", FOLDER / "gallery.py")
    assert spec is not None and spec.loader is not None
    gallery = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gallery)
    made = make(name, results=[gallery.RESULTS], methods=gallery.shown())
    kept = (FOLDER / f"{name}.md").read_text()
    assert kept.rstrip() == made.rstrip(), "run: make tables"
