"""Ranks, Holm's correction and the groups of methods, against slow definitions and planted truths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from benchmark.statistics.ranks import holm, needed, rank


def test_average_ranks_friedman_and_wilcoxon_are_scipys() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 12)) + np.array([[0.0], [1.0], [0.2], [2.0]])
    found = rank(["a", "b", "c", "d"], values)
    assert found.names[0] == "d" and set(found.names) == set("abcd")
    by_name = dict(zip("abcd", values, strict=True))
    for name, place in zip(found.names, found.ranks, strict=True):
        beaten = [sum(by_name[o][c] > by_name[name][c] for o in "abcd") for c in range(12)]
        assert place == pytest.approx(1 + np.mean(beaten))
    assert found.friedman == pytest.approx(stats.friedmanchisquare(*values).pvalue)
    raw = [
        stats.wilcoxon(by_name[one], by_name[two]).pvalue
        for one, two in itertools.combinations(found.names, 2)
    ]
    assert found.pairs[np.triu_indices(4, 1)] == pytest.approx(holm(raw))


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        p = rng.uniform(0, 0.05, size=rng.integers(1, 8))
        rejected = np.zeros(len(p), bool)
        for step, i in enumerate(np.argsort(p)):
            if p[i] >= 0.05 / (len(p) - step):
                break
            rejected[i] = True
        assert ((holm(p.tolist()) < 0.05) == rejected).all()


def test_ties_share_their_ranks_and_equal_methods_are_one_group() -> None:
    values = np.tile(np.linspace(0.5, 0.9, 10), (3, 1))
    found = rank(["a", "b", "c"], values)
    assert found.ranks.tolist() == [2, 2, 2] and found.friedman == 1
    assert [list(group) for group in found.groups()] == [[0, 1, 2]]


def test_two_clusters_of_methods_are_two_groups() -> None:
    rng = np.random.default_rng(2)
    base = np.array([0.9, 0.9, 0.6, 0.6])[:, None]
    found = rank(list("abcd"), base + rng.normal(0, 0.02, (4, 15)))
    assert [len(group) for group in found.groups()] == [2, 2]
    assert set(found.names[:2]) == {"a", "b"}


def test_fewer_categories_than_needed_never_tell_a_pair_apart() -> None:
    for methods in (2, 3, 5):
        for categories in (needed(methods) - 1, needed(methods)):
            values = np.arange(methods)[:, None] + np.zeros((1, categories))
            values = values + np.linspace(0, 0.1, categories) * np.arange(methods)[:, None]
            found = rank([str(i) for i in range(methods)], values)
            smallest = found.pairs[np.triu_indices(methods, 1)].min()
            assert (smallest < 0.05) == (categories >= needed(methods))


def test_equal_methods_are_called_different_no_more_often_than_five_percent_allow() -> None:
    rng = np.random.default_rng(3)
    wrong = sum(rank(["a", "b"], rng.normal(size=(2, 15))).apart(0, 1) for _ in range(1000))
    assert wrong <= 65


def test_a_gap_as_large_as_its_spread_between_fifteen_categories_is_found() -> None:
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(1000):
        first = rng.normal(0.9, 0.05, 15)
        second = first - rng.normal(0.02, 0.02, 15)
        found += rank(["a", "b"], np.stack([first, second])).apart(0, 1)
    assert found >= 900
