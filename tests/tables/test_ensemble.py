"""Ensembles are views of stored scores, in the live tables and in the paper's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import benchmark
from benchmark.metrics import image_metrics
from benchmark.records import store
from benchmark.records.ensemble import ensembles
from benchmark.records.stored import Datasets
from benchmark.tables import TABLES, make
from benchmark.tables.check import check
from benchmark.tables.layout import Layout
from benchmark.tables.match import needed
from benchmark.tables.request import Request

from .conftest import TOY, Record, keep_scores

Bench = Callable[..., tuple[int, str]]
SCORES = [[1, 2, 3, 9, 0, 4, 8, 9], [9, 2, 1, 3, 8, 4, 0, 9], [2, 1, 9, 3, 4, 8, 9, 0]]


@pytest.fixture
def seeds(record: Record, toy: Path) -> Path:
    """Three seeds on one category: four good images, then four defective."""
    for seed, scores in enumerate(SCORES):
        labels = np.repeat([0, 1], 4)
        found = image_metrics(np.array(scores, float), labels)
        metrics = dict(found.values)
        path = record("nut", None, seed=seed, metrics=metrics, **TOY)
        keep_scores(path, toy, scores, maps=False)
    return path.parents[3]


def test_the_mean_score_is_measured(seeds: Path) -> None:
    frame = benchmark.load_results(seeds)
    row = ensembles(frame).iloc[0]
    exact = image_metrics(np.mean(SCORES, axis=0), np.repeat([0, 1], 4))
    assert row["image_auroc"] == exact.image_auroc != frame["image_auroc"].mean()
    assert row["image_ap"] == exact.image_ap
    assert row["name"] == "SPADE (ensemble of 3)"
    assert np.isnan(row["pixel_auroc"]) and np.isnan(row["fit_seconds"])
    two = ensembles(frame, 2).iloc[0]
    assert two["image_auroc"] == image_metrics(np.mean(SCORES[:2], 0), exact_labels()).image_auroc
    assert ensembles(frame, 4).empty


def test_scores_are_matched_by_image(seeds: Path) -> None:
    frame = benchmark.load_results(seeds)
    before = ensembles(frame).iloc[0]["image_auroc"]
    path = Path(frame.iloc[1]["path"])
    record = store.read(path)
    assert record is not None
    turned = store.Scores.read(path.parent, record["files"]["scores"])
    for name in ("ids", "keys", "labels", "defects", "scores"):
        object.__setattr__(turned, name, getattr(turned, name)[::-1])
    key = record["key"]
    method, _, identity = path.parent.name.partition("@")
    place = (key["dataset"], path.parents[1].name, method, identity, key["category"], key["seed"])
    record["files"]["scores"] = turned.write(store.CellPath(seeds, *place))
    del record["format"]
    store.write(path, record)
    assert ensembles(frame).iloc[0]["image_auroc"] == before


def exact_labels() -> np.ndarray:
    return np.repeat([0, 1], 4)


def test_tables_show_it_when_asked(seeds: Path, toy: Path, bench: Bench) -> None:
    options = ("table", "per-category", "--results", seeds)
    assert "ensemble" not in bench(*options)[1]
    status, said = bench(*options, "--ensemble")
    exact = image_metrics(np.mean(SCORES, axis=0), exact_labels()).image_auroc
    assert status == 0 and "SPADE (ensemble of 3)" in said and f"{exact:.3f}" in said
    report = check(Request("per-category", results=[seeds], ensemble=True), None, Datasets(toy))
    assert report.ok


def test_without_scores_there_is_none(record: Record, results: Path, bench: Bench) -> None:
    for seed in range(3):
        record("bottle", seed=seed)
    status, said = bench("table", "summary", "--results", results, "--ensemble")
    assert status == 2 and "no configuration has records of several seeds" in said


def test_the_papers_row_is_the_ensemble_of_five(record: Record, toy: Path) -> None:
    table = TABLES["igd-1"]
    assert isinstance(table, Layout)
    runs = needed(table, ["igd"])
    assert {run["dataset"]: run["seeds"] for run in runs} == dict.fromkeys(
        ("mnist", "cifar10", "fashion_mnist"), (0, 1, 2, 3, 4)
    )
    classes = [str(digit) for digit in range(10)]
    given = {**TOY, "geometry": {"resize": None, "crop": None}, "method": "igd"}
    for category in classes:
        for seed in range(5):
            path = record("nut", 0.5, seed=seed, **{**given, "dataset": "mnist"})
            keep_scores(path, toy, SCORES[seed % 3], maps=False)
            text = path.read_text()
            text = text.replace('"source": "folder"', '"source": "mnist"')
            text = text.replace('"category": "nut"', f'"category": "{category}"')
            path.with_name(f"{category}-seed{seed}.json").write_text(text)
            path.unlink()
    text = make("igd-1", results=[path.parents[3]], form="csv")
    mean = np.mean([SCORES[seed % 3] for seed in range(5)], axis=0)
    exact = image_metrics(mean, exact_labels()).image_auroc
    rows = [line for line in text.splitlines() if line.startswith("Ensemble,Ours here")]
    assert len(rows) == 1 and f",{exact:.4f},–,–" in rows[0]
    assert ",0.5000" in next(r for r in text.splitlines() if r.startswith("Single,Ours here"))
