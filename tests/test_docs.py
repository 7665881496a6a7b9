"""What the pages of docs/ point at is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("methods/*/README.md")]


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_places_of_decisions_exist_and_hold_what_they_are_said_to() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    rows = re.findall(r"^\|[^|]+\| `([\w/]+\.py)`, `([\w.]+)`", text, flags=re.MULTILINE)
    assert len(rows) >= 6
    for file, name in rows:
        place = ROOT / file if file.startswith("datasets") else ROOT / "benchmark" / file
        word = name.rpartition(".")[2]
        assert re.search(
            rf"\b(def|class) {word}\b|^{word}\b", place.read_text(), flags=re.MULTILINE
        ), name
