"""Counting scores around given values: sorting and the kernel agree to the last integer."""

import subprocess
import sys
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.metrics import ranking

DRAWS: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "one outlier": lambda rng, n: np.append(rng.random(n - 1), 1e30),
    "close to one": lambda rng, n: 1 - 10 ** rng.uniform(-9, -3, n),
    "all magnitudes": lambda rng, n: rng.choice([-1, 1], n) * 10 ** rng.uniform(-44, 38, n),
    "few levels": lambda rng, n: rng.integers(-3, 4, n) / 2,
    "zeros of both signs": lambda rng, n: rng.choice([-0.0, 0.0, 1e-45, -1e-45], n),
    "one value": lambda rng, n: np.full(n, 0.1),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
@pytest.mark.parametrize("threads", [1, 3])
def test_counts_agree_with_comparing(
    counting: str, draw: Callable[..., NDArray[np.float64]], threads: int
) -> None:
    rng = np.random.default_rng(0)
    scores = draw(rng, 20000).astype(np.float32)
    values = np.unique(np.concatenate([draw(rng, 150).astype(np.float32), scores[:50]]))
    pieces = np.split(scores, [1, 1, 700, 15000])
    below, up_to = ranking.count_below(pieces, values, threads=threads)
    assert below.tolist() == [int((scores < value).sum()) for value in values]
    assert up_to.tolist() == [int((scores <= value).sum()) for value in values]


def test_many_values_in_many_chunks(counting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    scores = rng.standard_normal(30000).astype(np.float32)
    values = np.unique(scores[::2])
    monkeypatch.setattr(ranking, "SORTED_AT_ONCE", 7001)
    if counting == "kernel":
        from benchmark.metrics import kernel

        monkeypatch.setattr(kernel, "CHUNK", 4999)
    below, up_to = ranking.count_below([scores[:100], scores[100:]], values)
    everything = np.sort(scores)
    assert np.array_equal(below, np.searchsorted(everything, values, "left"))
    assert np.array_equal(up_to, np.searchsorted(everything, values, "right"))


def test_pieces_stay_as_they_are_unless_overwriting(counting: str) -> None:
    scores = np.random.default_rng(2).standard_normal(500).astype(np.float32)
    before = scores.copy()
    ranking.count_below([scores], scores[:1])
    assert np.array_equal(scores, before)


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("others", [[], [-1e-45, 1e-45], [-1.0, 1.0]])
def test_zeros_of_both_signs_are_one_value(counting: str, zero: float, others: list[float]) -> None:
    values = np.array(sorted([zero, *others]), dtype=np.float32)
    scores = np.array([-2.0, -0.0, 0.0, -0.0, 2.0], dtype=np.float32)
    below, up_to = ranking.count_below([scores], values)
    at = len(others) // 2
    assert (below[at], up_to[at]) == (1, 4)


def test_no_pieces(counting: str) -> None:
    below, up_to = ranking.count_below([], np.array([1.0], dtype=np.float32), threads=4)
    assert (below.tolist(), up_to.tolist()) == ([0], [0])


def test_packed_keeps_every_score_in_order() -> None:
    scores = np.arange(100, dtype=np.float32)
    for cuts in ([], [3, 4, 50], [60], list(range(1, 100))):
        for size in (1, 7, 64, 1000):
            parts = [part.copy() for part in ranking.packed(np.split(scores, cuts), size)]
            assert max(map(len, parts)) <= size
            assert np.array_equal(np.concatenate(parts), scores)


def test_without_numba_sorting_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "KERNEL_FROM", 0)
    monkeypatch.setitem(sys.modules, "benchmark.metrics.kernel", None)
    monkeypatch.setattr(ranking, "_kernel", cache(ranking._kernel.__wrapped__))
    scores = np.arange(10, dtype=np.float32)
    assert ranking.count_below([scores], scores[3:5])[0].tolist() == [3, 4]


def test_importing_the_metrics_loads_nothing_heavy() -> None:
    heavy = {"torch", "numba", "scipy", "pandas", "sklearn", "skimage"}
    program = f"import sys, benchmark.metrics; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_threads_default_to_the_cores() -> None:
    assert ranking.usable_threads(None) >= 1
    assert ranking.usable_threads(3) == 3
    assert ranking.usable_threads(0) == 1
