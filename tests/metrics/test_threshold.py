"""Thresholds from normal images: three rules, and what a score file keeps for them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.errors import SettingsError
from benchmark.metrics import normal_threshold
from benchmark.metrics.threshold import NormalPixels, Rule
from benchmark.metrics.top import ROOM, TopScores


def test_each_rule_is_its_definition() -> None:
    scores = np.random.default_rng(0).normal(size=50)
    ordered = np.sort(scores)
    assert normal_threshold(scores) == normal_threshold(scores, "quantile:0.95") == ordered[48]
    assert normal_threshold(scores, "quantile:.5") == ordered[25]  # the 26th of 50
    assert normal_threshold(scores, "quantile:.999") == normal_threshold(scores, "max")
    assert normal_threshold(scores, "max") == ordered[-1]
    expected = scores.mean() + 3 * scores.std(ddof=1)
    assert normal_threshold(scores, "mean+3sd") == pytest.approx(expected, abs=1e-12)
    assert normal_threshold([0.5], "mean+3sd") == 0.5


@pytest.mark.parametrize("rule", ["quantile:1", "quantile:95", "median", "mean+sd", "max ", ""])
def test_another_rule_is_refused_with_those_allowed(rule: str) -> None:
    with pytest.raises(SettingsError, match=r"allowed is quantile:F .*max, or mean\+Nsd"):
        normal_threshold([0.1], rule)


@pytest.mark.parametrize("levels", [None, 40], ids=["distinct", "ties"])
@pytest.mark.parametrize("rule", ["quantile:.95", "quantile:.999", "max", "mean+3sd"])
def test_what_is_kept_of_pixels_gives_the_threshold_of_all(rule: str, levels: int | None) -> None:
    rng = np.random.default_rng(1)
    images = rng.normal(5, 1, (9, 40, 50)).astype(np.float32)
    if levels:
        images = (np.floor(images * levels) / levels).astype(np.float32)
    kept = NormalPixels(images.size)
    for image in images:
        kept.add(image)
    normals = kept.normals()
    assert normals is not None and len(normals.top) == images.size // 20 + 1
    assert np.array_equal(normals.top, np.sort(images, axis=None)[-len(normals.top) :])
    threshold, _ = normals.threshold(Rule.parse(rule))
    expected = normal_threshold(images.reshape(-1).astype(np.float64), rule)
    assert threshold == pytest.approx(expected, abs=1e-6)
    none, why = normals.threshold(Rule.parse("quantile:.9"))
    assert none is None and "only the highest 901 of 18000" in why
    assert NormalPixels(10).normals() is None


@pytest.mark.parametrize("keep", [1, 7, 300])
@pytest.mark.parametrize("levels", [None, 3], ids=["distinct", "ties"])
def test_the_highest_scores_are_those_of_a_full_sort(keep: int, levels: int | None) -> None:
    scores = np.random.default_rng(keep).normal(size=3 * ROOM).astype(np.float32)
    if levels:
        scores = np.round(scores * levels) / np.float32(levels)
    top = TopScores(keep)
    for part in np.array_split(scores, 11):
        top.add(part)
    expected = np.sort(scores)[-keep:]
    assert np.array_equal(top.highest(), expected)
    assert top.equal_to_lowest == np.count_nonzero(scores == expected[0])
    assert len(TopScores(3).highest()) == TopScores(3).equal_to_lowest == 0
