"""DeLong's test against a slow computation, resampling, and planted truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmark.statistics.delong import delong


def test_it_is_the_slow_computation_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(40) < 0.4
    base = rng.normal(size=40) + labels
    scores = [np.round(base + rng.normal(0, s, 40), 1) for s in (0.5, 1.0)]  # rounded: ties
    found = delong(scores[0][None], scores[1][None], labels)
    bad, good = np.flatnonzero(labels), np.flatnonzero(~labels)

    def won(x: np.ndarray, i: np.intp, j: np.intp) -> float:
        return 1.0 if x[i] > x[j] else 0.5 if x[i] == x[j] else 0.0

    v10 = np.array([[np.mean([won(x, i, j) for j in good]) for i in bad] for x in scores])
    v01 = np.array([[np.mean([won(x, i, j) for i in bad]) for j in good] for x in scores])
    s = np.cov(v10) / len(bad) + np.cov(v01) / len(good)
    deviation = math.sqrt(s[0, 0] + s[1, 1] - 2 * s[0, 1])
    assert (found.a, found.b) == pytest.approx(v10.mean(1))
    assert found.deviation == pytest.approx(deviation, abs=1e-12)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.a - found.b) / deviation))


def test_seeds_of_a_side_are_one_detector_with_the_mean_of_their_aurocs() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(60) < 20
    runs = rng.normal(size=(3, 60)) + labels
    other = rng.normal(size=(1, 60)) + labels
    found = delong(runs, other, labels)
    each = [delong(run[None], other, labels).a for run in runs]
    assert found.a == pytest.approx(np.mean(each))
    assert found.deviation < max(delong(run[None], other, labels).deviation for run in runs)


def test_the_same_scores_do_not_differ_and_a_gap_without_spread_says_nothing() -> None:
    labels = np.array([True, True, False, False])
    right, wrong = np.array([[3.0, 4, 1, 2]]), np.array([[1.0, 2, 3, 4]])
    assert delong(right, right, labels).p == 1
    assert math.isnan(delong(right, wrong, labels).p)
    with pytest.raises(ValueError, match="1 defective and 3 good"):
        delong(right, wrong, np.array([True, False, False, False]))


def test_equal_detectors_are_called_different_no_more_often_than_five_percent_allow() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(120) < 60
    wrong = 0
    for _ in range(1000):
        shared = rng.normal(size=120) + 1.5 * labels
        a, b = (shared + rng.normal(0, 0.7, 120) for _ in range(2))
        wrong += delong(a[None], b[None], labels).p < 0.05
    assert 30 <= wrong <= 65
