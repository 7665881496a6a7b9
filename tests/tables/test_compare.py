"""bench compare: two runs, and runs against published numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import wilcoxon

import benchmark
from benchmark import Category
from benchmark.errors import SettingsError, StoreError
from benchmark.metrics import image_metrics, pixel_metrics
from benchmark.published._mvtec import ALL
from benchmark.records.resample import (
    Draws,
    Histograms,
    Shares,
    histograms,
    image_values,
    pixel_values,
)
from benchmark.records.stored import Datasets, Stored
from benchmark.tables.compare import side, two_runs

from .conftest import TOY, Record, keep_scores

Array = npt.NDArray[Any]
Bench = Callable[..., tuple[int, str]]


def between(a: list[Array], b: list[Array], labels: Array, metric: str) -> tuple[float, float]:
    """95 % interval of the difference of two sides, each with scores per seed."""
    draws = Draws.of(labels.astype(bool))
    sides = [np.mean([image_values(s, metric, draws, None) for s in side], 0) for side in (a, b)]
    low, high = np.quantile(sides[0] - sides[1], (0.025, 0.975))
    return float(low), float(high)


def pair(results: Path) -> tuple[object, object]:
    frame = benchmark.load_results(results)
    return side(frame, "SPADE (k=5)"), side(frame, "SPADE (k=9)")


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    labels = np.repeat([0, 1], [60, 60])
    hits = 0
    for _ in range(40):  # two sides of equal quality: the true difference is 0
        a, b = (random.normal(labels * 1.0) for _ in range(2))
        low, high = between([a], [b], labels, "image_auroc")
        hits += low <= 0 <= high
    assert 34 <= hits <= 40


@pytest.mark.parametrize("metric", ["image_auroc", "image_ap"])
def test_a_clear_difference_is_clear_and_ties_count_half(metric: str) -> None:
    labels = np.repeat([0, 1], [30, 30])
    good, bad = labels.astype(float), np.zeros(60)
    low, high = between([good], [bad], labels, metric)
    exact = [getattr(image_metrics(s, labels), metric) for s in (good, bad)]
    assert low == high == pytest.approx(exact[0] - exact[1])


def test_seeds_are_averaged_within_a_draw() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [40, 40])
    runs = [random.normal(labels * 1.5) for _ in range(4)]
    low, high = between(runs, list(reversed(runs)), labels, "image_auroc")
    assert low == pytest.approx(0, abs=1e-12) and high == pytest.approx(0, abs=1e-12)


def test_two_runs_print_difference_and_interval(record: Record, toy: Path, bench: Bench) -> None:
    for k, value, order in ((5, 0.9, range(8)), (9, 0.8, [3, 1, 2, 4, 5, 0, 7, 6])):
        path = record("nut", value, settings={"k": k}, **TOY)
        keep_scores(path, toy, order)
    root = path.parents[3]
    status, said = bench("compare", "SPADE (k=5)", "SPADE (k=9)", "--results", root)
    assert status == 0
    assert "+0.100 |" in said and "…" in said
    assert "too few to tell" in said
    status, said = bench("compare", "spade", "SPADE (k=9)", "--results", root)
    assert status == 2 and "could be several" in said


@pytest.fixture
def scored(record: Record, toy: Path) -> Stored:
    """A run on eight images of the toy data whose maps see the defects through noise."""
    path = record("nut", 0.9, **TOY)
    keep_scores(path, toy, [5, 1, 6, 2, 7, 3, 8, 4])
    stored = Stored(benchmark.load_results(path.parents[3]).iloc[0])
    maps = np.lib.format.open_memmap(path.parent / stored.files["maps"]["name"], "r+")
    category = Datasets(toy).category("folder", "nut")
    truth = {s.id: s.mask.mask() if s.mask else np.zeros((48, 48), bool) for s in category.test}
    for i, sample in enumerate(category.test):
        maps[i] += 1.5 * truth[sample.id]
    maps.flush()
    return stored


PIXEL = [
    "pixel_auroc",
    "pixel_ap",
    "pixel_f1_max",
    "pixel_iou_max",
    "pro",
    "pixel_auroc_anomalous",
    "pixel_auroc_per_image",
    "pro_per_image",
]


@pytest.mark.parametrize("metric", PIXEL)
def test_a_resample_of_histograms_is_a_resample_of_images(
    scored: Stored, toy: Path, metric: str
) -> None:
    datasets = Datasets(toy)
    found = histograms(scored, datasets)
    ids = scored.scores.ids
    order = np.argsort(ids)
    samples = {s.id: s for s in datasets.category("folder", "nut").test}
    masks = [samples[i].mask for i in ids]
    truth = [m.mask() if m else np.zeros((48, 48), bool) for m in masks]
    labels = np.asarray(scored.scores.labels, bool)[order]
    draws = Draws.of(labels, resamples=3)
    weights = next(draws.weights(len(ids)))
    assert (weights[:, labels].sum(1) == 4).all() and (weights[:, ~labels].sum(1) == 4).all()
    assert len(np.unique(weights, axis=0)) > 1
    for row, value in zip(weights, pixel_values(found, metric, weights), strict=True):
        drawn = [order[i] for i in np.repeat(np.arange(len(ids)), row.astype(int))]
        assert scored.maps is not None
        exact = pixel_metrics([scored.maps[i] for i in drawn], [truth[i] for i in drawn])
        assert value == pytest.approx(getattr(exact, metric), abs=1e-3)


def test_a_region_counts_as_often_as_its_image_was_drawn() -> None:
    random = np.random.default_rng(0)
    normal, regions = random.integers(1, 1000, (3, 50)), random.random((3, 50))
    regions /= regions.sum(1, keepdims=True)
    owner = np.array([0, 0, 1])  # two regions in one image, none in the last
    found = Histograms(normal, np.ones((3, 50)), Shares(regions, owner), {})
    weights = np.array([[3.0, 1.0, 2.0]])
    fpr = np.cumsum(3 * normal[0] + normal[1] + 2 * normal[2])
    overlap = np.cumsum(3 * regions[0] + 3 * regions[1] + regions[2]) / 7
    x = np.linspace(0, 0.3, 100_001)
    exact = np.interp(x, np.r_[0, fpr / fpr[-1]], np.r_[0, overlap]).mean()
    assert pixel_values(found, "pro", weights) == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("metric", ["pixel_auroc", "pro", "pixel_auroc_per_image"])
def test_images_are_told_by_their_ids_not_by_their_order(
    scored: Stored, toy: Path, metric: str
) -> None:
    datasets = Datasets(toy)
    category = datasets.category("folder", "nut")
    assert scored.maps is not None
    turned: Any = SimpleNamespace(
        row=scored.row,
        geometry=scored.geometry,
        maps=scored.maps[::-1],
        scores=SimpleNamespace(ids=scored.scores.ids[::-1], held_out=np.empty(0)),
        rule="max",
    )
    turned_images: Any = SimpleNamespace(
        scored=lambda *_: Category("nut", category.train, category.test[::-1])
    )
    weights = np.array([[1, 0, 2, 3, 0, 1, 1, 2]], np.float32)
    one, other = histograms(scored, datasets), histograms(turned, turned_images)
    assert np.array_equal(one.normal, other.normal)
    expected = pixel_values(one, metric, weights)
    assert pixel_values(other, metric, weights) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("metric", ["pro", "image_f1_max", "image_recall_at_0_fpr"])
def test_every_metric_has_an_interval(record: Record, toy: Path, bench: Bench, metric: str) -> None:
    for k, value, order in ((5, 0.9, range(8)), (9, 0.8, [3, 1, 2, 4, 5, 0, 7, 6])):
        keep_scores(record("nut", value, settings={"k": k}, **TOY), toy, order)
    runs = ("SPADE (k=5)", "SPADE (k=9)", "--metric", metric)
    root = toy.parent / "runs"
    status, said = bench("compare", *runs, "--results", root, "--data-root", toy)
    assert status == 0 and " … " in said and "no interval" not in said, said
    if metric == "pro":
        assert "nut: no interval" in bench("compare", *runs, "--results", root)[1]


def test_wilcoxon_speaks_from_six_categories_on(record: Record, results: Path) -> None:
    gains = [0.01, 0.02, -0.005, 0.03, 0.04, 0.05]
    for category, gain in zip(ALL, gains, strict=False):
        record(category, 0.8 + gain, settings={"k": 5})
        record(category, 0.8, settings={"k": 9})
    text = " ".join(two_runs(*pair(results)).notes)  # type: ignore[arg-type]
    assert f"p = {wilcoxon(gains).pvalue:.3g}" in text
    assert "no interval" in text  # these records keep no scores


def test_what_cannot_be_compared_is_refused(record: Record, results: Path) -> None:
    record("bottle", 0.9, settings={"k": 5})
    record("bottle", 0.8, settings={"k": 9}, protocol="standard", holdout=0.1)
    with pytest.raises(StoreError, match="differ in data set, protocol or measured pixels"):
        two_runs(*pair(results))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.9549], "equal after rounding"),
        ([0.9480], "within 1 point"),
        ([0.9480, 0.9481], "within 1 point"),
        ([0.93, 0.95, 0.97], "within noise"),
        ([0.90], "off"),
    ],
)
def test_verdicts_against_published(
    record: Record, results: Path, bench: Bench, values: list[float], verdict: str
) -> None:
    for seed, value in enumerate(values):
        record("bottle", value, seed=seed)
    status, said = bench("compare", "--published", "--results", results, "--format", "csv")
    start = '"spade-3: SPADE; run here: SPADE, protocol paper",Bottle,pro,95.5,'
    line = next(row for row in said.splitlines() if row.startswith(start))
    assert status == 0 and line.endswith(f",{len(values)},{verdict}")


def test_a_record_that_differs_gets_no_verdict(record: Record, results: Path, bench: Bench) -> None:
    record("bottle", 0.955, weights="random")
    _, said = bench("compare", "--published", "--results", results)
    assert "not comparable [a]" in said and "[a] random weights" in said
    assert "equal" not in said


def test_every_configuration_is_held_against_the_papers(
    record: Record, results: Path, bench: Bench
) -> None:
    for epochs in (20, 40):
        settings = {"backbone": "resnet18", "epochs": epochs}
        record(
            "bottle", 0.9, method="rd4ad", settings=settings, defaults={**settings, "epochs": 200}
        )
    status, said = bench("compare", "--published", "--results", results, "--format", "csv")
    rows = [
        row for row in said.splitlines() if ",Bottle,pixel_auroc," in row and "-2: Ours;" in row
    ]
    assert status == 0 and len(rows) == 4, said  # two sizes, two configurations
    for epochs in (20, 40):
        (row,) = [r for r in rows if f"epochs={epochs} instead" in r and "128 px" not in r]
        assert f"run here: rd4ad (epochs={epochs})," in row and ",98.7,90.0,1," in row


def test_third_party_numbers_are_compared_too(record: Record, results: Path, bench: Bench) -> None:
    settings = {"backbone": "resnet18"}
    metrics = {"image_auroc": 0.862, "pixel_auroc": 0.952}
    default = {"backbone": "wide_resnet50_2"}
    record("pill", method="padim", settings=settings, defaults=default, metrics=metrics)
    _, said = bench("compare", "--published", "--results", results, "--format", "csv")
    run = 'run here: padim (resnet18), protocol paper",pill'
    place = f'"padim-xiahaifeng: padim ResNet18-Rd100; {run}'
    assert f"{place},image_auroc,0.869,0.862,1,within 1 point" in said
    assert f"{place},pixel_auroc,0.946,0.952,1,within 1 point" in said
    assert f'"anomalib: padim ResNet-18; {run},image_auroc,0.863,0.862,1,not comp' in said


def test_runs_on_two_copies_of_a_data_set_are_compared(
    record: Record, results: Path, toy: Path, bench: Bench
) -> None:
    for name, order in (("left", range(8)), ("right", [3, 1, 2, 4, 5, 0, 7, 6])):
        keep_scores(record("nut", **{**TOY, "dataset": name}), toy, order, maps=False)
    status, said = bench("compare", "spade", "spade", "--results", results)
    assert status == 2 and "name one of these folders" in said
    folders = [line.split("  (")[0].strip() for line in said.splitlines()[1:]]
    status, said = bench("compare", *folders)
    assert status == 0 and "SPADE (left) against SPADE (right)" in said and " … " in said, said


def test_runs_on_different_images_are_refused_without_going_in_circles(
    record: Record, tmp_path: Path, bench: Bench
) -> None:
    for name in ("one", "two"):
        record("bottle", data=f"{name}'s images", into=tmp_path / name)
    status, said = bench("compare", tmp_path / "one", tmp_path / "two")
    assert status == 2 and "bottle: the two were run on different images" in said
    assert "run one of them again on the other's data" in said and "--results" not in said


def test_an_unknown_pixel_metric_is_an_error_not_f1() -> None:
    shares = Shares(np.ones((1, 4)), np.array([0]))
    found = Histograms(np.ones((2, 4)), np.ones((2, 4)), shares, {})
    with pytest.raises(SettingsError, match="unknown pixel metric with an interval 'pixel_f2'"):
        pixel_values(found, "pixel_f2", np.ones((1, 2)))


def test_the_pixel_f1_on_resamples_is_the_metric_itself(scored: Stored, toy: Path) -> None:
    found = histograms(scored, Datasets(toy))
    weights = np.ones((1, 8), np.float32)
    f1, iou = (pixel_values(found, m, weights)[0] for m in ("pixel_f1_max", "pixel_iou_max"))
    assert f1 == pytest.approx(2 * iou / (1 + iou)) and f1 > iou + 0.01
