"""RIAD: the network's size, thirds that cover the image, loss and map against slow computations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmark import Context, Geometry
from benchmark.detector import training as _training
from benchmark.methods._parts.msgms import msgms_loss, msgms_map
from benchmark.methods._parts.msssim import MsSsim
from benchmark.methods.riad import Riad, smoothed
from benchmark.methods.riad.painter import SETS, Painter, fixed_sets, shared_out

from ..helpers import noise

FAST: dict[str, Any] = {"width": 4, "epochs": 2, "batch": 2, "squares": (4, 8)}


def context() -> Context:
    return Context.alone(geometry=Geometry(resize=32))


@pytest.fixture(scope="module")
def fitted() -> tuple[Riad, Context]:
    place = context()
    return Riad(**FAST).fit(noise(5, side=32), place), place


def test_network_has_the_published_layers_and_sides_come_back() -> None:
    # convolutions with bias and batch norms, stage by stage: (inside, outside, kernel)
    pairs = [(3, 64, 3), (64, 128, 4), (128, 256, 4), (256, 512, 4), (512, 512, 4)]
    convs = [c for i, o, k in pairs for c in ((i, o, k), (o, o, 3))]
    convs += [c for o in (512, 256, 128, 64) for c in ((2 * o, o, 3), (o, o, 3))]
    wanted = sum(i * o * k * k + o + 2 * o for i, o, k in convs)
    wanted += sum(i * o * 16 + o for i, o in ((512, 512), (512, 256), (256, 128), (128, 64)))
    wanted += 64 * 3 * 9 + 3
    with torch.device("meta"):
        network = Painter()
        assert network(torch.empty(2, 3, 32, 48)).shape == (2, 3, 32, 48)
    assert sum(p.numel() for p in network.parameters()) == wanted == 28_805_699


@pytest.mark.parametrize("side", [2, 4, 8])
def test_squares_are_shared_out_evenly_among_three_sets(side: int) -> None:
    sets = shared_out(torch.Size((6, 3, 48, 32)), side, torch.Generator().manual_seed(0))
    assert sets.shape == (6, 1, 48, 32) and len({tuple(s.flatten().tolist()) for s in sets}) == 6
    for one in sets[:, 0]:
        blocks = one.view(48 // side, side, 32 // side, side)
        assert bool((blocks == blocks[:, :1, :, :1]).all()), "a square is in one set"
        counts = torch.bincount(blocks[:, 0, :, 0].flatten(), minlength=SETS)
        assert int(counts.max() - counts.min()) <= 1
    assert fixed_sets(48, 32, side).shape == (1, 1, 48, 32)
    alone = shared_out(torch.Size((1, 3, 48, 32)), side, torch.Generator().manual_seed(side))
    assert torch.equal(fixed_sets(48, 32, side), alone)


def test_every_third_is_painted_without_being_seen(fitted: tuple[Riad, Context]) -> None:
    detector, place = fitted
    detector.painter_.eval()
    pixels = noise(2, seed=1, side=32).batch([0, 1]).pixels
    with torch.no_grad():
        sets = fixed_sets(32, 32, 4)
        found = detector._painted(pixels, sets, place)
        slow = torch.zeros_like(pixels)
        for i in range(SETS):
            seen = (2 * pixels - 1).masked_fill(sets == i, 0)
            slow += torch.where(sets == i, (detector.painter_(seen) + 1) / 2, 0)
    torch.testing.assert_close(found, slow, atol=1e-5, rtol=1e-4)


def test_map_is_the_smoothed_mean_over_all_squares(fitted: tuple[Riad, Context]) -> None:
    detector, place = fitted
    batch = noise(2, seed=1, side=32).batch([0, 1])
    prediction = detector.predict(batch, place)
    with torch.no_grad():
        total = sum(
            msgms_map(
                batch.pixels,
                detector._painted(batch.pixels, fixed_sets(32, 32, side), place),
            )
            for side in (4, 8)
        )
    assert isinstance(total, torch.Tensor) and prediction.maps is not None
    gaps = (total / 2).double().numpy()
    for y, x in ((0, 0), (5, 30), (16, 16)):
        window = gaps[:, max(y - 10, 0) : y + 11, max(x - 10, 0) : x + 11]
        wanted = window.mean((1, 2))
        np.testing.assert_allclose(prediction.maps[:, y, x].numpy(), wanted, rtol=1e-4)
    assert torch.equal(prediction.scores, prediction.maps.flatten(1).amax(1))
    assert torch.equal(smoothed(torch.ones(1, 9, 9)), torch.ones(1, 9, 9))


def test_loss_has_three_terms_of_equal_weight(fitted: tuple[Riad, Context]) -> None:
    detector, place = fitted
    detector.painter_.eval()
    batch = noise(2, seed=1, side=32).batch([0, 1])
    with torch.no_grad():
        found = float(detector._loss(batch.pixels, fixed_sets(32, 32, 8), place))
        painted = detector._painted(batch.pixels, fixed_sets(32, 32, 8), place)
    squared = float(F.mse_loss(2 * painted - 1, 2 * batch.pixels - 1))
    similar = float(MsSsim((1.0,), 11, span=1.0)(painted, batch.pixels).mean())
    wanted = squared + float(msgms_loss(batch.pixels, painted)) + 1 - similar
    assert found == pytest.approx(wanted, rel=1e-4)


def test_training_ends_when_the_held_out_loss_does_not_fall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr(Riad, "_error", lambda *_: next(values))
    place = context()
    detector = Riad(**{**FAST, "epochs": 7}, patience=2).fit(noise(5, side=32), place)
    facts = detector.facts()
    assert (facts["epoch_chosen"], facts["epochs"]) == (2, 4), "two epochs after the best"
    _, held = _training.split_off(place, 5, 0.2)
    assert facts["held_out"] == len(held) == 1
