"""--check: planted errors are found, and what cannot be derived is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.errors import SettingsError
from benchmark.records.measure import measure
from benchmark.records.stored import Datasets, Stored, one_seed
from benchmark.tables import TABLES, make
from benchmark.tables.check import check
from benchmark.tables.layout import Layout
from benchmark.tables.request import Request

from .conftest import TOY, Record, keep_scores

FORMATS = ["markdown", "latex", "csv", "html"]
Bench = Callable[..., tuple[int, str]]


@pytest.fixture
def measured(record: Record, toy: Path, results: Path) -> Path:
    """Two configurations on two categories, their metrics measured from their scores."""
    import benchmark

    scores = {1: [1, 5, 3, 0, 4, 2, 9, 8], 2: [1, 2, 3, 4, 5, 6, 7, 8], 3: [8, 1, 7, 2, 6, 3, 5, 4]}
    for k, category, order in ((5, "nut", 1), (5, "pin", 2), (9, "nut", 2), (9, "pin", 3)):
        path = record(category, settings={"k": k}, **TOY)
        keep_scores(path, toy, scores[order])
        frame = benchmark.load_results(results)
        stored = Stored(frame[frame["path"] == str(path)].iloc[0])
        values, _ = measure(
            stored.scores, stored.maps, Datasets(toy).category("folder", category), stored.geometry
        )
        edit(path, **values)
    assert len(one_seed(benchmark.load_results(results))) == 4
    return results


def edit(path: Path, **metrics: object) -> None:
    text = json.loads(path.read_text())
    text["metrics"].update(metrics)
    path.write_text(json.dumps(text))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["per-category", "summary"])
def test_a_true_table_passes(
    measured: Path, toy: Path, tmp_path: Path, name: str, form: str
) -> None:
    saved = tmp_path / "table"
    saved.write_text(make(name, results=[measured], form=form))
    report = check(Request(name, results=[measured]), saved, Datasets(toy))
    assert report.ok and not report.unverified, report.text()


PAPERS = [name for name, table in TABLES.items() if isinstance(table, Layout)]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", PAPERS)
def test_every_format_is_read_back_alike(tmp_path: Path, name: str, form: str) -> None:
    saved = tmp_path / "table"
    saved.write_text(make(name, view="published", form=form))
    report = check(Request(name, view="published"), saved)
    assert report.ok, report.text()
    wrong = re.sub(r"\.(\d)", lambda m: f".{9 - int(m[1])}", saved.read_text())
    saved.write_text(wrong)
    assert not check(Request(name, view="published"), saved).ok


def test_a_file_without_a_table_is_refused(measured: Path, tmp_path: Path) -> None:
    (tmp_path / "table").write_text("nothing here")
    with pytest.raises(SettingsError, match="holds no table"):
        check(Request("per-category", results=[measured]), tmp_path / "table")


OWN = """
title: Mine
metrics: [image_auroc, pixel_auroc]
dataset: toy
names: {nut: Nut}
columns:
  - {run: SPADE (k=5), name: five}
  - {run: SPADE (k=9), name: nine}
"""


@pytest.mark.parametrize("form", FORMATS)
def test_a_table_of_ones_own_is_checked(
    measured: Path, toy: Path, tmp_path: Path, form: str
) -> None:
    (tmp_path / "mine.yaml").write_text(OWN)
    request = Request(str(tmp_path / "mine.yaml"), results=[measured])
    saved = tmp_path / "table"
    saved.write_text(make(request.name, results=[measured], form=form))
    report = check(request, saved, Datasets(toy))
    assert report.ok and not report.unverified, report.text()
    text = saved.read_text()
    swapped = text.replace("five", "?").replace("nine", "five").replace("?", "nine")
    assert swapped != text
    saved.write_text(swapped)
    assert not check(request, saved, Datasets(toy)).ok


def test_published_numbers_of_ones_own_table_are_checked(tmp_path: Path, measured: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "metrics: [pro]\ncategories: [bottle, screw]\n"
        "columns: [{table: rd4ad-2, method: PaDiM}, {table: spade-3, method: SPADE}]\n"
    )
    request = Request(str(tmp_path / "mine.yaml"), results=[measured])
    report = check(request, None)
    assert report.ok, report.text()
    saved = tmp_path / "table.csv"
    saved.write_text(make(request.name, results=[measured], form="csv").replace("95.5", "95.6"))
    found = check(request, saved).text()
    assert re.search(r"WRONG: printed +bottle,94\.8,95\.6\n +should be bottle,94\.8,95\.5", found)


def test_swapped_columns_are_found(measured: Path, toy: Path, tmp_path: Path) -> None:
    text = make("per-category", results=[measured], form="csv")
    head, *rows = text.splitlines()
    swapped = [f"{label},{b},{a}" for label, a, b in (row.split(",") for row in rows)]
    saved = tmp_path / "table.csv"
    saved.write_text("\n".join([head, *swapped]))
    report = check(Request("per-category", results=[measured]), saved, Datasets(toy))
    assert len(report.wrong) == 3  # its rows: the heading is as it was
    assert re.search(
        r"printed +,?nut,1\.000,0\.812\n +should be ,?nut,0\.812,1\.000", report.text()
    )


def test_swapped_headings_are_found_in_markdown_too(
    measured: Path, toy: Path, tmp_path: Path
) -> None:
    text = make("per-category", results=[measured])
    saved = tmp_path / "table.md"
    saved.write_text(text.replace("(k=5)", "(k=?)").replace("(k=9)", "(k=5)").replace("?", "9"))
    assert not check(Request("per-category", results=[measured]), saved, Datasets(toy)).ok


def test_a_stale_average_is_found(measured: Path, toy: Path, tmp_path: Path, bench: Bench) -> None:
    text = make("per-category", results=[measured], form="csv")
    saved = tmp_path / "table.csv"
    saved.write_text(text.replace("Average over 2,0.", "Average over 2,0.1"))
    status, said = bench(
        "table", "per-category", "--results", measured, "--check", saved, "--data-root", toy
    )
    assert status == 1 and re.search("WRONG: printed +,?Average over 2,0.1", said)


@pytest.mark.parametrize("metric", ["image_auroc", "pro"])
def test_an_edited_record_is_found(measured: Path, toy: Path, metric: str) -> None:
    edit(min(measured.rglob("nut-seed0.json")), **{metric: 0.99})
    report = check(
        Request("per-category", results=[measured], metric=[metric]), None, Datasets(toy)
    )
    assert f"{metric} is 0.99, its scores give" in report.text()
    assert any("0.990" in w and "nut" in w for w in report.wrong)


def test_edited_maps_and_missing_scores_are_said(measured: Path, toy: Path, bench: Bench) -> None:
    maps = min(measured.rglob("nut-*.maps.npy"))
    maps.write_bytes(maps.read_bytes()[:-4] + b"1234")
    min(measured.rglob("pin-*.npz")).unlink()
    status, said = bench("table", "summary", "--results", measured, "--check", "--data-root", toy)
    assert "differs from what its record cites" in said
    assert "scores cannot be read" in said
    assert status == 0


def test_without_the_data_set_pixel_metrics_are_not_claimed(measured: Path, bench: Bench) -> None:
    status, said = bench("table", "summary", "--results", measured, "--check")
    assert status == 0 and "pixel metrics: data set 'folder' needs a folder" in said


@pytest.mark.parametrize(
    "name", ["spade-3", "dsr-3", "rd4ad-2", "rd4ad-3", "igd-1", "igd-2", "igd-5"]
)
@pytest.mark.parametrize("view", ["published", "both", "common"])
def test_papers_tables_pass(record: Record, results: Path, name: str, view: str) -> None:
    for seed in (0, 1):
        for category in ("bottle", "screw"):
            record(category, 0.9 + 0.01 * seed, seed=seed)
            record(category, 0.91, method="padim", seed=seed)
    options: dict[str, object] = {"common": True} if view == "common" else {"view": view}
    report = check(Request(name, results=[results], **options), None)  # type: ignore[arg-type]
    assert report.ok, report.text()


@pytest.mark.parametrize("name", ["rd4ad-2", "dsr-3", "igd-1"])
def test_a_papers_table_saved_as_markdown_passes(tmp_path: Path, name: str) -> None:
    saved = tmp_path / "t.md"
    saved.write_text(make(name, view="published"))
    report = check(Request(name, view="published"), saved)
    assert report.ok, report.text()


def test_a_swap_of_published_columns_is_found(tmp_path: Path) -> None:
    text = make("rd4ad-2", view="published", form="csv")
    saved = tmp_path / "t.csv"
    saved.write_text(
        text.replace("SPADE [7]", "X")
        .replace("PaDiM [8]", "SPADE [7]")
        .replace("X", "PaDiM [8]", 1)
    )
    report = check(Request("rd4ad-2", view="published"), saved)
    assert len(report.wrong) == 1 and "PaDiM [8],Image size 256: SPADE [7]" in report.text()


def test_a_difference_is_checked_against_both_sides(
    record: Record, results: Path, tmp_path: Path
) -> None:
    record("bottle", 0.96)
    text = make("spade-3", results=[results], form="csv")
    saved = tmp_path / "t.csv"
    saved.write_text(text.replace("+0.5", "−0.5"))
    assert check(Request("spade-3", results=[results]), None).ok
    report = check(Request("spade-3", results=[results]), saved)
    (wrong,) = report.wrong
    assert re.search(r"printed +Bottle,.*,96\.0,−0\.5\n +should be Bottle,.*,96\.0,\+0\.5", wrong)
