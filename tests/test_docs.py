"""What the pages of docs/ point at is there, and what they show works."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import benchmark as ib
from benchmark.plugins.contract import DatasetChecks, DetectorChecks, run_checks
from benchmark.plugins.registry import Registry
from benchmark.tables import TABLES, make, published

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("methods/*/README.md")]
EXAMPLES = ROOT / "docs" / "examples"
ADDING = sorted((ROOT / "docs").glob("adding-*.md"))


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def defines(place: Path, name: str) -> bool:
    """Whether a file defines a class, a function or a module's value of this name."""
    word = name.rpartition(".")[2]
    named = rf"\b(def|class) {word}\b|^{word}\b|\bimport .*\b{word}\b"
    return bool(re.search(named, place.read_text("utf-8"), flags=re.MULTILINE))


def test_places_of_decisions_exist_and_hold_what_they_are_said_to() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    rows = re.findall(r"^\|[^|]+\| `([\w/]+\.py)`, `([\w.]+)`", text, flags=re.MULTILINE)
    assert len(rows) >= 6
    for file, name in rows:
        place = ROOT / file if file.startswith("datasets") else ROOT / "benchmark" / file
        assert defines(place, name), name


def test_every_trap_is_guarded_where_the_page_says() -> None:
    rows = (ROOT / "docs/traps.md").read_text("utf-8").splitlines()
    rows = [row for row in rows if row.startswith("|") and not row.startswith(("| trap", "| ---"))]
    assert len(rows) >= 20
    for row in rows:
        places = re.findall(r"`([\w/]+\.py)`, `([\w.]+)`", row.split("|")[3])
        assert places, row
        for file, name in places:
            assert defines(ROOT / file, name), f"{file}: {name}"


@pytest.mark.parametrize("page", ADDING, ids=lambda page: page.stem)
def test_a_page_on_adding_something_ends_with_an_example(page: Path) -> None:
    last = page.read_text("utf-8").rpartition("\n## ")[2]
    assert "```" in last, f"{page.name}: the last section shows nothing"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """The data that docs/examples/labelled_parts.py reads."""
    lines = ["part,split,file,defect,mask"]
    for i in range(8):
        pixels = np.full((32, 32, 3), 120 + i, np.uint8)
        mask = np.zeros((32, 32), np.uint8)
        split, defect, of = "train" if i < 4 else "test", "good", ""
        if i >= 6:
            pixels[8:16, 8:16] = 0
            mask[8:16, 8:16] = 255
            defect, of = "scratch", f"masks/{i}.png"
            (tmp_path / "masks").mkdir(exist_ok=True)
            Image.fromarray(mask).save(tmp_path / of)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"images/{i}.png")
        lines.append(f"bolt,{split},images/{i}.png,{defect},{of}")
    (tmp_path / "parts.csv").write_text("\n".join(lines))
    return tmp_path


def test_the_examples_of_a_method_and_a_data_set_keep_the_contract_and_run(
    parts: Path, tmp_path: Path
) -> None:
    plugins = [EXAMPLES / "mean_colour.py", EXAMPLES / "labelled_parts.py"]
    registry = Registry(plugins)
    method, _ = registry.method("mean_colour")
    dataset = registry.open_dataset("labelled_parts", parts)
    for checks in (DetectorChecks(method), DatasetChecks(dataset)):
        for outcome in run_checks(checks):
            assert outcome.found is None, f"{outcome.promise}: {outcome.found}"
    results = ib.run(
        "mean_colour",
        "labelled_parts",
        plugin=plugins,
        data_root=parts,
        image_size=32,
        results=tmp_path / "results",
    )
    assert list(results.frame["image_auroc"]) == [1.0]


def test_the_example_of_a_table_of_ones_own_prints_all_its_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)  # where the page says to call it
    rows = make(str(EXAMPLES / "two_categories.yaml"), form="csv").splitlines()
    assert rows[1].startswith("bottle,98.3/94.8,98.3/–,9") and len(rows) >= 4


def test_the_example_of_a_papers_table_prints_the_published_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = importlib.util.spec_from_file_location("layout", EXAMPLES / "spade_textures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    layout = module.SPADE_TEXTURES
    monkeypatch.setitem(TABLES, layout.name, layout)
    rows = make(layout.name, form="csv", view="published").splitlines()
    numbers = published.table("spade", "Table 3")
    for name in module.TEXTURES:
        wanted = [numbers[m.name, "", "mvtec", name, "pro"].value for m in layout.methods]
        assert ",".join([name.capitalize(), *wanted]) in rows
