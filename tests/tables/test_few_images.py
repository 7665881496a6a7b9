"""Few images, and seeds that change nothing: what no table may claim."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import benchmark
from benchmark.errors import StoreError
from benchmark.records.ensemble import ensembles
from benchmark.records.resample import Draws
from benchmark.tables import make

from .conftest import TOY, Record, keep_scores

Bench = Callable[..., tuple[int, str]]


@pytest.fixture
def rivals(record: Record) -> Callable[..., None]:
    """Two configurations of which one is better, on a category with so many test images."""

    def write(good: int, defective: int, category: str = "bottle") -> None:
        for k, value in ((5, 0.9), (9, 0.8)):
            record(category, value, settings={"k": k}, images=(good, defective))

    return write


@pytest.mark.parametrize(("images", "bold"), [((1, 40), 0), ((40, 1), 0), ((2, 2), 1)])
def test_one_image_of_a_kind_makes_no_winner(
    rivals: Callable[..., None], results: Path, images: tuple[int, int], bold: int, tmp_path: Path
) -> None:
    rivals(*images)
    assert make("per-category", results=[results]).count("**0.900**") == bold
    assert make("summary", results=[results], metric=["pro"]).count("**0.900**") == bold
    own = tmp_path / "own.yaml"
    own.write_text("metrics: [pro]\ncolumns: [{run: SPADE (k=5)}, {run: SPADE (k=9)}]\n")
    assert make(str(own), results=[results]).count("**90.0**") == bold


def test_one_image_makes_no_winner_in_the_report_and_the_papers_tables(
    record: Record, results: Path, bench: Bench
) -> None:
    for method, value in (("spade", 0.9), ("padim", 0.8)):
        record("bottle", value, method=method, images=(1, 40))
    assert "**90.0**" not in make("rd4ad-2", results=[results])
    bench("report", "--results", results, "--no-pictures")
    page = html.unescape((results / "report.html").read_text())
    assert "<b>0.900</b>" not in page
    assert "Few test images stand behind the numbers of bottle (1 good, 40 defective)." in page


def test_an_average_over_a_category_with_one_good_image_has_no_winner(
    rivals: Callable[..., None], results: Path
) -> None:
    rivals(1, 40, "bottle")
    rivals(40, 40, "screw")
    rows = {
        r.split("|")[1].strip(): r
        for r in make("per-category", results=[results]).splitlines()
        if "|" in r
    }
    assert "**" in rows["screw"] and "**" not in rows["bottle"]
    assert "**" not in rows["*Average over 2*"]


@pytest.mark.parametrize(("images", "said"), [((9, 40), True), ((40, 9), True), ((10, 10), False)])
def test_every_table_says_how_many_images_stand_behind_it_when_they_are_few(
    rivals: Callable[..., None],
    results: Path,
    bench: Bench,
    images: tuple[int, int],
    said: bool,
    tmp_path: Path,
) -> None:
    rivals(*images)
    sentence = f"bottle ({images[0]} good, {images[1]} defective)"
    own = tmp_path / "own.yaml"
    own.write_text("metrics: [pro]\ncolumns: [{run: SPADE (k=5)}]\n")
    made = [make(name, results=[results]) for name in ("per-category", "summary", str(own))]
    made.append(make("spade-3", results=[results], methods=["SPADE (k=5)"]))
    made.append(bench("compare", "SPADE (k=5)", "SPADE (k=9)", "--results", results)[1])
    made.append(bench("compare", "--published", "--results", results)[1])
    assert [sentence in text for text in made] == [said] * len(made)


def test_one_good_image_gives_no_interval(
    record: Record, toy: Path, results: Path, bench: Bench
) -> None:
    for name in ("000", "001", "002"):
        (toy / "nut" / "test" / "good" / f"{name}.png").unlink()
    for k in (5, 9):
        path = record("nut", settings={"k": k}, images=(1, 4), **TOY)
        keep_scores(path, toy, range(k, k + 5), maps=False)
    status, said = bench("compare", "SPADE (k=5)", "SPADE (k=9)", "--results", results)
    assert status == 0 and "nut: no interval, 1 good and 4 defective test images" in said, said
    with pytest.raises(StoreError, match="3 good and 1 defective"):
        Draws.of(np.array([False, False, False, True]))


def test_seeds_that_change_nothing_are_no_spread(record: Record, results: Path) -> None:
    for seed in (0, 1):
        record("bottle", 0.9, seed=seed, draws=False)
        record("bottle", 0.8 + seed / 100, seed=seed, method="padim")
    for name in ("per-category", "summary"):
        text = make(name, results=[results])
        assert "± 0.000" not in text and "0.805 ± 0.007" in text
        assert (
            "over seeds (SPADE: 1, padim: 2)" in text or "over seeds (padim: 2, SPADE: 1)" in text
        )
    alone = make("summary", results=[results], methods=["spade"])
    assert "One result: the seeds change nothing." in alone and "±" not in alone
    paper = make("spade-3", results=[results], methods=["spade"])
    assert "±" not in paper and "2 seeds" not in paper


def test_seeds_that_change_nothing_are_no_noise_and_no_ensemble(
    record: Record, results: Path, toy: Path, bench: Bench
) -> None:
    for seed in range(3):
        record("bottle", 0.95 + seed / 100, seed=seed, draws=False)
        keep_scores(record("nut", seed=seed, draws=False, **TOY), toy, range(8), maps=False)
    said = bench("compare", "--published", "--results", results, "--dataset", "mvtec")[1]
    assert "within 1 point" in said and "within noise |" not in said
    assert ensembles(benchmark.load_results(results)).empty
