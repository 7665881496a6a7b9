"""SimpleNet: loss and score against slow computations, sizes, what learns at which rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from benchmark import Context, Geometry
from benchmark.detector import training as _training
from benchmark.methods._parts.patches import flattened
from benchmark.methods.simplenet import Heads, Simplenet, margin_loss

from ..helpers import noise

FAST: dict[str, Any] = {"backbone": "resnet18", "width": 24, "hidden": 8, "epochs": 1, "batch": 3}


def context() -> Context:
    return Context.alone(geometry=Geometry(resize=32))


@pytest.fixture(scope="module")
def fitted() -> tuple[Simplenet, Context]:
    place = context()
    return Simplenet(**FAST).fit(noise(3, side=32), place), place


def test_heads_have_the_official_sizes() -> None:
    heads = Heads(1536, 1024)
    wanted = 1536 * 1536 + 1536 + 1536 * 1024 + 1024 + 2 * 1024 + 1024
    assert sum(p.numel() for p in heads.parameters()) == wanted == 3_937_792


def test_margin_loss_is_the_sum_of_two_mean_hinges() -> None:
    normal, odd = torch.randn(2, 30)
    slow = sum(max(0.0, 0.5 - v) for v in normal.tolist()) / 30
    slow += sum(max(0.0, 0.5 + v) for v in odd.tolist()) / 30
    assert float(margin_loss(normal, odd, 0.5)) == pytest.approx(slow, rel=1e-5)


def test_the_first_step_is_the_official_one(fitted: tuple[Simplenet, Context]) -> None:
    detector, place = fitted
    order = place.rng("discriminator, epoch 0").permutation(3).tolist()
    with _training.seeded(place, "heads"):
        heads = Heads(24, 8)
    layers = place.features(noise(3, side=32).batch(order), detector.needs()[0])
    rows = flattened(layers, 24).flatten(0, 1)
    added = 0.015 * torch.randn(rows.shape, generator=place.generator("noise 0"))
    optimisers = [
        torch.optim.AdamW(heads.adapt.parameters(), 1e-4),
        torch.optim.Adam(heads.discriminate.parameters(), 2e-4, weight_decay=1e-5),
    ]
    normal = heads.adapt(rows)
    scores = heads.discriminate(torch.cat([normal, normal + added]))
    true, fake = scores[: len(rows)], scores[len(rows) :]
    loss = F.relu(0.5 - true).mean() + F.relu(fake + 0.5).mean()
    torch.autograd.backward(loss)
    for optimiser in optimisers:
        optimiser.step()
    ((_, found),) = place.meters.curves["loss"]
    assert found == pytest.approx(float(loss), rel=1e-5)
    for name, tensor in heads.state_dict().items():
        torch.testing.assert_close(detector.heads_.state_dict()[name], tensor, msg=name)


def test_score_is_the_highest_patch_and_the_map_its_smoothed_upsampling(
    fitted: tuple[Simplenet, Context],
) -> None:
    detector, place = fitted
    batch = noise(2, seed=1, side=32).batch([0, 1])
    prediction = detector.predict(batch, place)
    layers = place.features(batch, detector.needs()[0])
    rows = flattened(layers, 24)
    with torch.no_grad():
        grid = torch.stack([-detector.heads_.discriminate(detector.heads_.adapt(r)) for r in rows])
    grid = grid.view(2, *layers[0].shape[2:])
    assert prediction.maps is not None
    for b in range(2):
        assert float(prediction.scores[b]) == pytest.approx(float(grid[b].max()), rel=1e-5)
        grown = F.interpolate(grid[b][None, None], size=(32, 32), mode="bilinear")[0, 0].numpy()
        wanted = gaussian_filter(grown, 4)
        np.testing.assert_allclose(prediction.maps[b].numpy(), wanted, atol=1e-5)
    assert detector.facts()["epoch_reported"] == "last"
