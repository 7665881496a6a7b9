"""Pictures: what they show is right, and every kind can be written."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import trapezoid

import benchmark
from benchmark.metrics import image_metrics
from benchmark.plots.bars import counts_by_type, recall_by_type, time_axis
from benchmark.plots.common import figure, headline, legend_below, shared_range, slug
from benchmark.plots.curves import curves, pixel_curves, roc
from benchmark.plots.hard import cases
from benchmark.records.stored import Datasets, Stored, one_seed

from .conftest import TOY, Record, keep_scores

Bench = Callable[..., tuple[int, str]]


@pytest.fixture
def runs(record: Record, toy: Path) -> Path:
    for k in (5, 9):
        for category in ("nut", "pin"):
            path = record(category, 0.9, settings={"k": k}, **TOY)
            keep_scores(path, toy, np.random.default_rng(k).normal(size=8))
    return path.parents[3]


@pytest.mark.parametrize(
    ("what", "count"),
    [("gallery", 4), ("histograms", 2), ("curves", 2), ("cost", 1), ("defects", 2), ("hard", 1)],
)
@pytest.mark.parametrize("form", ["png", "svg"])
def test_every_kind_is_drawn(
    runs: Path, toy: Path, bench: Bench, what: str, count: int, form: str
) -> None:
    status, said = bench(
        "plot", what, "--results", runs, "--data-root", toy, "--format", form, "--count", "1"
    )
    files = [Path(line) for line in said.splitlines()]
    assert status == 0 and len(files) == count, said
    assert all(f.stat().st_size > 2000 and f.is_relative_to(runs / "pictures") for f in files)


def test_the_same_picture_is_the_same_file(
    runs: Path, toy: Path, bench: Bench, tmp_path: Path
) -> None:
    contents = []
    for name in ("one", "two"):
        _, said = bench("plot", "histograms", "--results", runs, "--out", tmp_path / name)
        contents.append([Path(line).read_bytes() for line in said.splitlines()])
    assert contents[0] == contents[1]


def test_roc_has_the_area_that_the_metric_has() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 60).astype(bool)
    scores = (random.integers(0, 9, 60) + labels).astype(float)  # many ties
    x, y = roc(scores, labels)
    assert trapezoid(y, x) == pytest.approx(image_metrics(scores, labels).image_auroc)


def test_pixel_curves_have_the_area_that_the_metric_has(runs: Path, toy: Path) -> None:
    from benchmark.records.measure import measure

    stored = one_seed(benchmark.load_results(runs))[0]
    datasets = Datasets(toy)
    found = pixel_curves(stored, datasets)
    assert found is not None
    category = datasets.category("folder", stored.row["category"])
    values, _ = measure(stored.scores, stored.maps, category, stored.geometry)
    assert trapezoid(found.roc.y, found.roc.x) == pytest.approx(values["pixel_auroc"], abs=2e-3)


def test_recall_by_type_uses_the_held_out_threshold_or_says_it_is_an_oracle(
    record: Record, toy: Path
) -> None:
    path = record("nut", metrics={"threshold": 5.5}, **TOY)
    keep_scores(path, toy, range(8))
    stored = one_seed(benchmark.load_results(path.parents[3]))[0]
    assert recall_by_type(stored) == ({"square": 0.5}, False)
    path = record("nut", seed=1, **TOY)
    keep_scores(path, toy, [0, 1, 2, 6.5, 4, 5, 6, 7])
    frame = benchmark.load_results(path.parents[3])
    assert recall_by_type(Stored(frame[frame["seed"] == 1].iloc[0])) == ({"square": 0.25}, True)


def test_maps_share_a_range_that_outliers_do_not_set() -> None:
    maps = np.linspace(0, 1, 100_000).reshape(10, 100, 100)
    low, high = shared_range([maps, maps + 1])
    assert low == pytest.approx(0, abs=0.01) and high == pytest.approx(2, abs=0.01)
    maps[0, 0, 0] = 1e6
    assert shared_range([maps])[1] < 2
    assert shared_range([np.zeros((1, 4, 4))]) == (0.0, 1.0)


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("width", [4.0, 13.0])
def test_long_names_stay_inside_the_picture(columns: int, width: float) -> None:
    name = "IGD (" + ", ".join(f"learning_rate_{i}=0.0005" for i in range(12)) + ")"
    made = figure(width, 4)
    axes = made.subplots()
    lines = [axes.plot([0, 1], [0, i])[0] for i in range(3)]
    legend_below(made, lines, [name] * 3, columns)
    headline(made, f"{name}\nsecond line")
    made.canvas.draw()
    legend, title = made.legends[0], made.texts[0]
    for drawn in (legend.get_window_extent(), title.get_window_extent()):
        assert drawn.x0 >= 0 and drawn.x1 <= made.bbox.x1
        assert drawn.y0 >= 0 and drawn.y1 <= made.bbox.y1
    assert axes.get_window_extent().height > 1.5 * made.dpi  # the axes keep their share
    words = "".join(text.get_text() for text in legend.get_texts()).replace("\n", " ")
    assert words.count("learning_rate_11=0.0005)") == 3


def test_names_of_files_are_short_and_different() -> None:
    names = [slug(f"IGD ({'x' * 300}{end})", "bottle") for end in "ab"]
    assert all(len(name) < 120 and name.endswith("-bottle") for name in names)
    assert names[0] != names[1]


def test_names_of_files_are_safe() -> None:
    assert slug("PaDiM (resnet18)", "../x y") == "padim-resnet18-x-y"
    assert slug("..") == "picture"


def test_hard_images_are_those_that_none_or_only_one_finds(
    record: Record, toy: Path, results: Path
) -> None:
    good = [0, 0, 0, 1]  # the highest good score is the threshold where none is held out
    for k, defective in ((5, [2, 0, 0, 2]), (6, [2, 0, 2, 2])):
        keep_scores(record("nut", settings={"k": k}, **TOY), toy, [*good, *defective], maps=False)
    found = {case.image: case for case in cases(benchmark.load_results(results))}
    assert {name[-7:]: case.found for name, case in found.items()} == {
        "001.png": (),
        "002.png": ("SPADE (k=6)",),
    }
    assert counts_by_type(next(iter(found.values())).stored) == {"square": 4}


@pytest.mark.parametrize("high", [0.02, 0.04, 0.2, 3.0, 90.0])
def test_times_on_the_axis_do_not_cover_each_other(high: float) -> None:
    made = figure(6.4, 4.4)
    axes = made.subplots()
    axes.plot([0.01, high], [0, 1])
    time_axis(axes, 0.01, high)
    made.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    inside = [b for b in boxes if axes.bbox.x0 <= (b.x0 + b.x1) / 2 <= axes.bbox.x1]
    assert len(inside) >= 2
    assert all(a.x1 < b.x0 for a, b in pairwise(inside))


def test_an_empty_frame_says_why(record: Record, toy: Path, results: Path) -> None:
    keep_scores(record("nut", **TOY), toy, range(8), maps=False)
    out = results / "out"
    (file,) = curves(benchmark.load_results(results), out, Datasets(toy), form="svg")
    assert file.read_text().count("<!-- not drawn: no maps were kept") == 3
