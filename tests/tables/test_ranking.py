"""The tables of ranks and of what the order hangs on, and the diagram of the ranks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import StoreError
from benchmark.plots.ranks import ranks as draw
from benchmark.records.frame import load_results
from benchmark.records.select import choose
from benchmark.tables import make
from benchmark.tables.ranking import ranks, sensitivity

Record = Callable[..., Path]
CATEGORIES = [f"c{i:02}" for i in range(12)]


@pytest.fixture
def three(record: Record, results: Path) -> Path:
    """Three methods on twelve categories, two seeds: first and second alike, third far below."""
    rng = np.random.default_rng(0)
    for category in CATEGORIES:
        for seed in (0, 1):
            for method, level in (("first", 0.9), ("second", 0.9), ("third", 0.6)):
                value = float(level + rng.normal(0, 0.02))
                record(category, value, method=method, seed=seed)
    return results


def test_methods_that_share_a_letter_cannot_be_told_apart(three: Path) -> None:
    text = make("ranks", results=[three])
    lines = {
        line.split("|")[1].strip(): line.split("|") for line in text.splitlines() if "|" in line
    }
    assert lines["first"][4].strip() == lines["second"][4].strip() == "a"
    assert lines["third"][4].strip() == "b" and lines["third"][2].strip() == "3.00"
    assert "2 of 3 pairs differ over 12 categories" in text


def test_too_few_categories_cannot_tell_and_say_how_many_are_needed(
    record: Record, results: Path
) -> None:
    for category in CATEGORIES[:5]:
        for i, method in enumerate(("first", "second")):
            record(category, 0.9 - 0.1 * i, method=method)
    (grid,) = ranks(choose(load_results(results)))
    assert "at least 6 categories" in grid.notes[0] and grid.notes[0].startswith("Cannot tell")
    assert all(row.texts[3].text == "–" for row in grid.rows)


def test_methods_without_all_categories_are_left_out_by_name_or_ranked_over_common_ones(
    three: Path, record: Record
) -> None:
    for category in CATEGORIES[:7]:
        record(category, 0.99, method="fourth")
    frame = choose(load_results(three))
    (without,) = ranks(frame)
    assert len(without.rows) == 3 and "fourth" in without.notes[-1]
    (common,) = ranks(frame, common=True)
    assert common.rows[0].texts[0].text == "fourth"
    assert any("7 categories that all methods have" in note for note in common.notes)


def test_a_single_method_is_an_error_that_says_what_is_needed(
    record: Record, results: Path
) -> None:
    record("bottle", 0.9, method="first")
    with pytest.raises(StoreError, match="two methods of one protocol"):
        ranks(choose(load_results(results)))


def test_the_order_hangs_on_what_was_planted(record: Record, results: Path) -> None:
    for i, category in enumerate(CATEGORIES):
        for seed in (0, 1):
            # seeds change nothing, one category reverses the order, pixel metrics reverse it
            up = 0.9 if i else 0.1
            for method, value in (("first", up), ("second", 0.8), ("third", 1.6 - up)):
                turned = {"pixel_auroc": 1 - value, "pixel_ap": 1 - value, "pro": 1 - value}
                record(category, value, method=method, seed=seed, metrics=turned)
    (grid,) = sensitivity(choose(load_results(results)))
    rows = {row.texts[0].text: [t.text for t in row.texts[1:]] for row in grid.rows}
    assert rows["one seed alone"] == ["2", "1.00", "1.00", "0 of 2"]
    assert rows["one category left out"] == ["12", "1.00", "1.00", "0 of 12"]
    assert rows["one category alone"] == ["12", "-1.00", "0.83", "1 of 12"]
    assert rows["another metric"][0] == "4" and rows["another metric"][3] == "3 of 4"


def test_the_diagram_is_drawn_and_says_the_verdict(three: Path, tmp_path: Path) -> None:
    said: list[str] = []
    (path,) = draw(choose(load_results(three)), tmp_path / "out", form="svg", say=said.append)
    text = path.read_text("utf-8")
    assert not said and path.stat().st_size > 5000
    assert "ranks-image_auroc" in path.name and text.startswith("<?xml")
