"""Results handed on: exported, read as a folder is, checked, merged."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import benchmark as ib
from benchmark.errors import StoreError
from benchmark.records import claims, exchange, store

Bench = Callable[..., tuple[int, str]]
PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "mean_colour.py"
FORMS = [
    "json",
    pytest.param("parquet", marks=pytest.mark.skipif(
        find_spec("pyarrow") is None, reason="pyarrow is not installed"
    )),
]  # fmt: skip

texts = st.text(max_size=6)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers()
plain = st.none() | st.booleans() | numbers | texts
anything = st.recursive(
    plain, lambda c: st.lists(c, max_size=3) | st.dictionaries(texts, c), max_leaves=6
)
contents = st.dictionaries(st.sampled_from(["a", "b", "c[x.y]"]) | texts, anything, max_size=4)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """A record that has what every reader wants, and anything JSON can hold besides."""
    wanted = {name: draw(anything) for name in sorted(store._KEY)}
    parts = {name: draw(contents) for name in ("settings", "provenance", "environment", "files")}
    key = draw(contents) | wanted | {"dataset": "toy", "category": "nut"}
    metrics, cost = draw(contents), draw(contents)
    return {"status": "ok", "key": key, "metrics": metrics, "cost": cost, **parts}


@pytest.mark.parametrize("form", FORMS)
def test_whatever_a_record_holds_comes_back(form: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(records(), max_size=3))
    def comes_back(kept: list[dict[str, Any]]) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for i, record in enumerate(kept):
                store.write(folder / f"toy/standard/m@{i}/nut-seed0.json", record)
            assert ib.export_results(folder / f"all.{form}", folder) == len(kept)
            back = exchange.rows_of(folder / f"all.{form}")
            for path, row in back.items():
                assert row.record == store.read(folder / path)
                # equal, and of the same type: 1, 1.0 and True are not one thing
                assert store._text(row.record) == (folder / path).read_bytes()
                assert not exchange.edited(folder / f"all.{form}", path)
            assert len(back) == len(kept)

    comes_back()


@pytest.fixture
def results(bench: Bench, toy: Path, tmp_path: Path) -> Path:
    base = ["run", "--dataset", "folder", "--data-root", toy, "--plugin", PLUGIN]
    assert bench(*base, "--methods", "mean_colour", "--results", tmp_path / "runs")[0] == 0
    return tmp_path / "runs"


@pytest.mark.parametrize("form", FORMS)
def test_tables_plots_and_reports_read_an_exported_file_as_the_folder(
    bench: Bench, results: Path, form: str, tmp_path: Path
) -> None:
    file = results / f"all.{form}"
    assert bench("export-results", "--results", results, "--to", file) == (
        0,
        f"{file}: 2 records\n",
    )
    frame, again = ib.load_results(results), ib.load_results(file)
    own = ["path", "results"]
    pd.testing.assert_frame_equal(frame.drop(columns=own), again.drop(columns=own))
    for command in (["table", "summary"], ["table", "rd4ad-3"], ["scores"]):
        status, out = bench(*command, "--results", file)
        assert (status, out) == bench(*command, "--results", results) and status == 0
    assert bench("plot", "histograms", "--results", file)[0] == 0
    assert (results / "pictures").is_dir()
    assert bench("report", "--results", file, "--no-pictures")[0] == 0
    assert (results / "report.html").is_file()
    assert ib.table("summary", results=_moved(file, tmp_path)) == ib.table("summary", results=file)


def _moved(file: Path, folder: Path) -> Path:
    target = folder / f"alone{file.suffix}"
    target.write_bytes(file.read_bytes())
    return target


@pytest.mark.parametrize("form", FORMS)
def test_an_edited_row_is_found_by_its_digest_by_its_record_and_by_its_scores(
    bench: Bench, results: Path, toy: Path, form: str
) -> None:
    file = results / f"all.{form}"
    ib.export_results(file, results)
    check = ["table", "summary", "--check", "--data-root", toy, "--results", file]
    assert bench(*check)[0] == 0
    rows = dict(exchange.rows_of(file))
    path, row = next(iter(rows.items()))
    metrics = row.record["metrics"] | {"image_auroc": 0.123}
    record = row.record | {"metrics": metrics}
    write = exchange._as_json if form == "json" else exchange._as_parquet
    file.write_bytes(write(rows | {path: exchange.Row(record, row.sha256)}))
    status, out = bench(*check)
    assert status == 1 and "changed after it was exported" in out
    assert f"metrics.image_auroc: {row.record['metrics']['image_auroc']} there, 0.123 now" in out
    assert "image_auroc is 0.123, its scores give" in out
    # whoever edits the digest as well is told by the record, and without it by the scores
    file.write_bytes(write(rows | {path: exchange.Row(record, store.digest(record))}))
    status, out = bench(*check)
    assert status == 1 and "changed after" not in out and "its row is not the record" in out
    (results / path).unlink()
    status, out = bench(*check)
    assert status == 1 and "not the record" not in out and "its scores give" in out


def test_what_is_no_export_of_ours_is_named(tmp_path: Path) -> None:
    texts = {
        "other": "{",
        "new": '{"schema": 2, "records": []}',
        "out": '{"schema": 1, "records": [{"path": "../a/b/c-seed0.json", "sha256": "", "record": {}}]}',
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.json").write_text(text)
        with pytest.raises(StoreError, match=f"{name}.json: not readable as exported results"):
            ib.load_results(tmp_path / f"{name}.json")
    with pytest.raises(StoreError, match=r"\.json or \.parquet"):
        ib.export_results(tmp_path / "results.csv", tmp_path)


def test_merged_records_keep_their_files_and_unequal_ones_are_shown_and_left_out(
    bench: Bench, results: Path, tmp_path: Path
) -> None:
    into, file = tmp_path / "all", tmp_path / "other.json"
    ib.export_results(file, results)
    assert ib.merge([results, file], into) == ib.Merged(copied=2, known=2)
    assert ib.merge([results], into).copied == 0
    assert ib.merge([file, results], tmp_path / "other").copied == 2  # the folder has the scores
    assert len([*(tmp_path / "other").rglob("*.npz")]) == 2
    ib.merge([file], tmp_path / "late")
    assert ib.merge([results], tmp_path / "late").copied == 2
    assert len([*(tmp_path / "late").rglob("*.npz")]) == 2
    pins = [*results.rglob("pin-seed0.*")]
    assert len(pins) == 3  # record, scores, maps
    for kept in pins:
        assert (into / kept.relative_to(results)).read_bytes() == kept.read_bytes()

    (nut,) = results.rglob("nut-seed0.json")
    record = json.loads(nut.read_text())
    record["metrics"]["image_auroc"] = 0.5
    nut.write_text(json.dumps(record))
    for target, sources in ((into, [results]), (tmp_path / "new", [results, file])):
        status, out = bench("merge", *sources, "--into", target)
        assert status == 1 and "image_auroc: " in out and "1 conflicts" in out
    assert not [*(tmp_path / "new").rglob("nut-seed0*")] and [*(tmp_path / "new").rglob("pin*")]
    (untouched,) = into.rglob("nut-seed0.json")
    assert json.loads(untouched.read_text())["metrics"]["image_auroc"] != 0.5

    record["status"] = "failed"  # no result, so the finished one stands
    nut.write_text(json.dumps(record))
    assert ib.merge([results, file], tmp_path / "newer") == ib.Merged(copied=2, known=2)
    held = claims.claimed(claims.place(untouched.parents[1], "nut"))
    with held, pytest.raises(StoreError, match="works on this category"):
        ib.merge([results], into)


def test_a_record_that_cites_files_elsewhere_brings_none(results: Path, tmp_path: Path) -> None:
    (nut,) = results.rglob("nut-seed0.json")
    record = json.loads(nut.read_text())
    record["files"]["scores"]["name"] = "../../secret"
    nut.write_text(json.dumps(record))
    with pytest.raises(StoreError, match="no file's name"):
        ib.merge([results], tmp_path / "all")
