"""Replacing codes: ranks, the exact way against a slow loop, the table's approximation of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.methods.dsr.code_anomalies import (
    neighbour_table,
    on_grid,
    random_ranks,
    replaced,
)
from benchmark.methods.dsr.vqvae import Quantiser

CODES, WIDTH = 200, 16


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def quantiser() -> Quantiser:
    torch.manual_seed(0)
    return Quantiser(CODES, WIDTH)


@pytest.fixture(scope="module")
def features(quantiser: Quantiser) -> Tensor:
    """Features as far from their codes as a trained model's: a third of the distance to others."""
    torch.manual_seed(1)
    at = torch.randint(CODES, (2, 24, 24))
    noise = 0.25 * torch.randn(2, WIDTH, 24, 24)
    features: Tensor = quantiser.look_up(at) + noise
    return features


def test_the_table_lists_neighbours_by_distance(quantiser: Quantiser) -> None:
    table = neighbour_table(quantiser.codes)
    assert table.shape == (CODES, CODES) and table.dtype == torch.int16
    assert torch.equal(table.long().sort(1).values, torch.arange(CODES).expand(CODES, -1))
    distances = torch.cdist(quantiser.codes.double(), quantiser.codes.double())
    ascending = distances.gather(1, table.long())
    torch.testing.assert_close(ascending, distances.sort(1).values, rtol=1e-5, atol=1e-5)
    assert torch.equal(table[:, 0].long(), torch.arange(CODES))
    with pytest.raises(ValueError, match="32768 codes"):
        neighbour_table(torch.zeros(32768, 1))


@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
def test_ranks_are_uniform_between_the_skipped_and_the_strength(strength: float) -> None:
    ranks = random_ranks(torch.full((4,), strength), (50, 50), CODES, generator())
    first, last = 10, min(int(strength * CODES) + 1, CODES - 1) - 1  # as topk's columns are
    assert int(ranks.min()) == first and int(ranks.max()) == last
    counts = torch.bincount(ranks.flatten())[first:].double()
    mean = 10_000 / len(counts)
    # chi squared of a uniform law: its mean is the number of cells less one
    assert float(((counts - mean) ** 2 / mean).sum()) < 1.6 * len(counts)


def test_the_exact_way_is_that_of_a_slow_loop(quantiser: Quantiser, features: Tensor) -> None:
    strength = torch.tensor([0.3, 0.9])
    nearest = quantiser.nearest(features)
    found = replaced(features, nearest, quantiser, strength, generator(), None)
    ranks = random_ranks(strength, (24, 24), CODES, generator())
    assert found.shape == features.shape
    codes = quantiser.codes.double().numpy()
    for b, y, x in [(0, 0, 0), (0, 5, 7), (1, 3, 2), (1, 23, 23), (1, 10, 0)]:
        gaps = ((codes - features[b, :, y, x].double().numpy()) ** 2).sum(1)
        wanted = codes[np.argsort(gaps)[int(ranks[b, y, x])]]
        np.testing.assert_allclose(found[b, :, y, x].numpy(), wanted, rtol=1e-6)


def distribution(
    way: Callable[[torch.Generator], Tensor], quantiser: Quantiser, features: Tensor
) -> tuple[Tensor, Tensor]:
    """Ranks, by distance to the feature, of what replaced it; and how often each code did."""
    ranks, codes = [], []
    for seed in range(5):
        at = quantiser.nearest(way(generator(seed)))
        gaps = (features.movedim(1, -1)[..., None, :] - quantiser.codes).square().sum(-1)
        place = gaps.argsort(dim=-1).argsort(dim=-1)
        ranks.append(place.gather(-1, at[..., None]).flatten())
        codes.append(at.flatten())
    return torch.cat(ranks), torch.bincount(torch.cat(codes), minlength=CODES).double()


@pytest.mark.parametrize("strength", [0.2, 0.6, 1.0])
def test_the_table_replaces_like_the_exact_way(
    quantiser: Quantiser, features: Tensor, strength: float
) -> None:
    table = neighbour_table(quantiser.codes)
    reach = torch.full((2,), strength)
    at = quantiser.nearest(features)
    exact, exact_codes = distribution(
        lambda g: replaced(features, at, quantiser, reach, g, None), quantiser, features
    )
    near, near_codes = distribution(
        lambda g: replaced(features, at, quantiser, reach, g, table), quantiser, features
    )
    # the same ranks, but for those that the step from the feature to its code mixes up
    assert abs(float(near.double().mean() - exact.double().mean())) < 0.03 * CODES
    quantiles = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9], dtype=torch.float64)
    gap = (near.double().quantile(quantiles) - exact.double().quantile(quantiles)).abs().max()
    assert float(gap) < 0.05 * CODES
    # a code's frequency: both ways agree to the noise of the draws and a tenth
    overlap = torch.minimum(near_codes, exact_codes).sum() / exact_codes.sum()
    assert float(overlap) > 0.88
    assert float((near == 0).float().mean()) < 0.001, "a feature kept its own code"


def test_a_grid_position_is_anomalous_if_any_pixel_is() -> None:
    masks = torch.zeros(1, 1, 16, 16)
    masks[0, 0, 3, 12] = 1
    assert on_grid(masks, 8).tolist() == [[[[0.0, 1.0], [0.0, 0.0]]]]
    assert float(on_grid(masks, 4).sum()) == 1
