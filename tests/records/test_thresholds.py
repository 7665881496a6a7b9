"""Thresholds that are set after a run, from what its score files keep."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score

import benchmark as ib
from benchmark.records import store

Bench = Callable[..., tuple[int, str]]
PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "mean_colour.py"


@pytest.fixture
def cell(toy: Path, bench: Bench) -> Callable[..., Path]:
    """Runs the example method on the category nut; gives the record's path."""

    def run(*options: object) -> Path:
        method = ("--plugin", PLUGIN, "--methods", "mean_colour", "--set", "mean_colour.sigma=1")
        where = ("--dataset", "folder", "--data-root", toy, "--categories", "nut", "--results", "r")
        status, text = bench("run", *method, *where, *options)
        assert status == 0, text
        (path,) = Path("r").rglob("*-seed0.json")
        return path

    return run


def read(path: Path) -> tuple[dict[str, Any], store.Scores]:
    record = json.loads(path.read_text())
    return record, store.Scores.read(path.parent, record["files"]["scores"])


def truth_of(scores: store.Scores, toy: Path) -> np.ndarray[Any, Any]:
    masks = np.zeros((len(scores.ids), 48, 48), bool)
    for mask, name in zip(masks, scores.ids, strict=True):
        if "square" in name:
            file = toy / "nut/ground_truth/square" / f"{Path(name).stem}_mask.png"
            mask |= np.asarray(Image.open(file)) > 0
    return masks


def test_every_rule_can_be_applied_to_a_finished_run(
    cell: Callable[..., Path], toy: Path, bench: Bench
) -> None:
    path = cell("--holdout", "0.3", "--image-size", 48)
    before, scores = read(path)
    kept = scores.held_out_pixels
    assert kept is not None and kept.count == len(scores.held_out) * 48 * 48 == 3 * 48 * 48
    assert len(kept.top) == kept.count // 20 + 1 and (np.diff(kept.top) >= 0).all()
    truth, maps = truth_of(scores, toy), store.read_maps(path.parent, before["files"]["maps"])
    # the 6568th smallest of 6912 is the second of the 346 that are kept
    wanted = {"quantile:.95": float(kept.top[1]), "max": float(kept.top[-1])}
    wanted["mean+3sd"] = kept.mean + 3 * kept.sd
    seen = set()
    for rule, limit in wanted.items():
        status, text = bench("evaluate", "--results", "r", "--data-root", toy, "--threshold", rule)
        assert status == 0, text
        now = read(path)[0]
        assert now["key"] == before["key"] and now["metrics"]["threshold_rule"] == rule
        assert now["metrics"]["pixel_threshold"] == pytest.approx(limit, abs=1e-12)
        expected = f1_score(truth.ravel(), maps.astype(np.float64).ravel() > limit)
        assert now["metrics"]["pixel_f1"] == pytest.approx(expected, abs=1e-12)
        assert now["metrics"]["pixel_f1"] <= now["metrics"]["pixel_f1_max"]
        seen.add(round(now["metrics"]["pixel_f1"], 6))
    assert len(seen) == 3
    assert now["metrics"]["threshold"] == pytest.approx(
        scores.held_out.mean() + 3 * scores.held_out.std(ddof=1)
    )
    same = {k: v for k, v in before["metrics"].items() if "auroc" in k or k == "pro"}
    assert same == {k: now["metrics"][k] for k in same}


def test_tables_and_scores_take_a_rule_without_touching_the_record(
    cell: Callable[..., Path], bench: Bench
) -> None:
    path = cell("--holdout", "0.3")
    record, scores = read(path)
    low = ("--threshold", "quantile:.1")
    text = bench("scores", "--results", "r", *low)[1]
    rows = list(csv.DictReader(text.splitlines()))
    assert {float(row["threshold"]) for row in rows} == {float(scores.held_out.min())}
    assert [row["decision"] for row in rows] == [
        str(int(s > scores.held_out.min())) for s in scores.scores
    ]
    expected = np.mean((scores.scores > scores.held_out.min()) == scores.labels)
    shown = ("--results", "r", "--metric", "image_accuracy", "pixel_f1")
    text = bench("table", "summary", *shown, *low)[1]
    assert f"{expected:.3f}" in text and "Thresholds on held-out normal images: quantile:.1" in text
    assert "pixel_f1: measured at this threshold by bench evaluate --threshold quantile:.1" in text
    plain = bench("table", "summary", *shown)[1]
    assert f"{record['metrics']['image_accuracy']:.3f}" in plain and "held-out normal" not in plain
    assert read(path)[0] == record
    status, text = bench("table", "summary", "--results", "r", "--threshold", "best")
    assert status == 2 and "allowed is quantile:F" in text


def test_where_no_pixels_or_no_images_were_held_out_there_is_a_dash_with_the_reason(
    cell: Callable[..., Path], toy: Path
) -> None:
    path = cell("--holdout", "0.3")
    record, scores = read(path)
    old = replace(scores, held_out_pixels=None).write_beside(path)  # as files were before
    del record["format"]
    store.write(path, {**record, "files": {**record["files"], "scores": old}})
    assert read(path)[1].held_out_pixels is None
    assert ib.evaluate("r", data_root=toy).failed == 0
    now = read(path)[0]
    assert now["metrics"]["pixel_f1"] is None and now["metrics"]["image_f1"] is not None
    assert "keeps no pixel scores of held-out images" in now["undefined"]["pixel_f1"]
    path.unlink()
    now = read(cell("--holdout", "0"))[0]
    for name in ("image_f1", "pixel_f1", "image_accuracy"):
        assert now["metrics"][name] is None
        assert now["undefined"][name].startswith("the protocol holds out no normal images")


def test_without_maps_another_threshold_leaves_the_pixels_undefined(
    cell: Callable[..., Path], toy: Path
) -> None:
    path = cell("--holdout", "0.3", "--no-maps")
    before = read(path)[0]["metrics"]
    ib.evaluate("r", data_root=toy)
    assert read(path)[0]["metrics"] == before and before["pixel_f1"] is not None
    ib.evaluate("r", data_root=toy, threshold="max")
    now = read(path)[0]["metrics"]
    assert now["pixel_f1"] is None and now["pixel_auroc"] == before["pixel_auroc"]
