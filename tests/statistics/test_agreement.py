"""Agreement of rankings on cases that are seen by eye."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.statistics.agreement import agreement


def test_same_reversed_and_swapped_orders() -> None:
    reference = np.array([0.9, 0.8, 0.7, 0.6])
    found = agreement(reference, [reference * 2, reference[::-1], reference[[1, 0, 2, 3]]])
    assert (found.variants, found.lowest, found.changed) == (3, -1.0, 2)
    assert found.mean == pytest.approx((1 - 1 + 4 / 6) / 3)


def test_a_tie_for_the_first_place_is_no_change_and_flat_values_no_agreement() -> None:
    reference = np.array([0.9, 0.8, 0.7])
    found = agreement(reference, [np.array([0.5, 0.5, 0.1]), np.zeros(3)])
    assert found.changed == 0 and found.lowest == 0


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 variants of 3 methods"):
        agreement(np.arange(3.0), [])
