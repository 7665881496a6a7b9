"""Deep SVDD: networks beside the official ones, preprocessing, objectives, collapse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark import Context
from benchmark.data.loading import ImageSet
from benchmark.detector.context import Checkpoint
from benchmark.errors import DetectorError, SettingsError
from benchmark.methods import deep_svdd
from benchmark.methods.deep_svdd import DeepSvdd, centre_of, contrast_normalised, soft_boundary
from benchmark.methods.deep_svdd.networks import LeNet, LeNetAutoEncoder

from ..helpers import KilledAfter, noise, save_after_every_step

FAST: dict[str, Any] = {"epochs": 2, "pretrain_epochs": 2, "batch": 4}


@pytest.fixture(scope="module")
def fitted() -> tuple[DeepSvdd, Context]:
    place = Context.alone()
    return DeepSvdd(**FAST).fit(noise(8, side=16), place), place


@pytest.mark.parametrize(
    ("side", "channels", "network", "auto_encoder"),
    [(28, 1, 7272, 8472), (32, 3, 520_544, 804_544)],  # counted in the official code
)
def test_networks_have_the_official_number_of_parameters(
    side: int, channels: int, network: int, auto_encoder: int
) -> None:
    whole = LeNetAutoEncoder((side, side), channels)
    assert sum(p.numel() for p in LeNet((side, side), channels).parameters()) == network
    assert sum(p.numel() for p in whole.parameters()) == auto_encoder
    images = torch.rand(2, channels, side, side)
    assert whole(images).shape == images.shape
    assert not [m for m in whole.modules() if getattr(m, "bias", None) is not None]


def test_the_decoder_of_mnist_is_the_official_one_layer_by_layer() -> None:
    model = LeNetAutoEncoder((28, 28), 1).eval()
    images = torch.rand(2, 1, 28, 28)
    x = F.leaky_relu(model.encoder(images).view(2, 2, 4, 4))
    for i, padding in enumerate((2, 3, 2)):  # 3 where the official code gets from 16 to 14
        x = F.interpolate(x, scale_factor=2)
        weight = model.convs[i].weight
        assert isinstance(weight, torch.Tensor)
        x = F.conv_transpose2d(x, weight, padding=padding)
        if i < 2:
            x = F.leaky_relu(model.norms[i](x))
    torch.testing.assert_close(model(images), torch.sigmoid(x))


def test_images_are_scaled_by_the_training_images_extremes(
    fitted: tuple[DeepSvdd, Context],
) -> None:
    rows = noise(8, side=16).batch(range(8)).pixels.double().numpy()
    scaled = np.stack([(r - r.mean()) / np.abs(r - r.mean()).mean() for r in rows])
    np.testing.assert_allclose(contrast_normalised(torch.tensor(rows)), scaled, rtol=1e-6)
    low, high = (fitted[0].facts()[name] for name in ("low", "high"))
    assert (low, high) == pytest.approx((scaled.min(), scaled.max()), rel=1e-5)
    assert contrast_normalised(torch.full((1, 1, 4, 4), 0.3)).abs().max() < 0.1


def test_the_centre_keeps_away_from_zero() -> None:
    codes = torch.tensor([[0.4, 0.02, -0.02, 0.0, -3.0], [0.2, 0.04, -0.04, 0.0, -1.0]])
    torch.testing.assert_close(centre_of(codes), torch.tensor([0.3, 0.1, -0.1, 0.1, -2.0]))


def test_the_soft_boundary_charges_what_lies_outside() -> None:
    distances = [0.5, 1.5, 4.0]
    want = 1.2**2 + sum(max(0.0, d - 1.2**2) for d in distances) / 3 / 0.1
    got = soft_boundary(torch.tensor(distances), torch.tensor(1.2), 0.1)
    assert float(got) == pytest.approx(want)


def test_scores_are_squared_distances_from_a_centre_that_stays(
    fitted: tuple[DeepSvdd, Context],
) -> None:
    detector, place = fitted
    batch = noise(2, 1, side=16).batch([0, 1])
    images = contrast_normalised(batch.pixels)
    images = (images - detector.inputs_["low"]) / (
        detector.inputs_["high"] - detector.inputs_["low"]
    )
    network: Any = detector.network_
    with torch.no_grad():
        codes = network.body.eval()(images)
    want = (codes - network.centre).square().sum(1)
    torch.testing.assert_close(detector.predict(batch, place).scores, want)
    assert float(network.centre.abs().min()) >= 0.1 - 1e-6
    facts = detector.facts()
    assert facts["steps"] == facts["auto_encoder"]["steps"] == 4
    assert facts["spread_before"] > 0


def test_the_radius_follows_the_last_batch_after_the_warm_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deep_svdd, "WARM_UP", 1)
    place = Context.alone()
    soft = DeepSvdd(**FAST, objective="soft_boundary").fit(noise(8, side=16), place)
    hard = DeepSvdd(**FAST).fit(noise(8, side=16), place)
    radius = float(soft.network_.get_buffer("radius"))
    assert radius > 0 and float(hard.network_.get_buffer("radius")) == 0
    batch = noise(2, 1, side=16).batch([0, 1])
    with torch.no_grad():
        distances = soft.network_.eval()(soft._images(batch))
    torch.testing.assert_close(soft.predict(batch, place).scores, distances - radius**2)


def test_a_collapsed_network_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deep_svdd, "COLLAPSED", 1e3)
    with pytest.raises(DetectorError, match="collapsed.*--set deep_svdd.epochs=1"):
        DeepSvdd(**FAST).fit(noise(4, side=16), Context.alone())
    same = ImageSet(noise(1, side=16).pixels.repeat(4, 0), list("abcd"))
    DeepSvdd(**FAST).fit(same, Context.alone())  # equal images have equal codes


@pytest.mark.parametrize("stage", ["auto-encoder", "sphere"])
def test_goes_on_after_a_kill_as_if_nothing_had_happened(
    stage: str,
    fitted: tuple[DeepSvdd, Context],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_after_every_step(monkeypatch)
    place = Context.alone()
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    place.progress = KilledAfter(3, stage)
    with pytest.raises(KeyboardInterrupt):
        DeepSvdd(**FAST).fit(noise(8, side=16), place)
    place.progress = fitted[1].progress
    resumed = DeepSvdd(**FAST).fit(noise(8, side=16), place)
    assert resumed.facts() == fitted[0].facts()
    for name, tensor in fitted[0].state().tensors.items():
        assert torch.equal(tensor, resumed.state().tensors[name]), name


def test_the_learning_rate_falls_to_a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    original = torch.optim.Adam.step

    def spy(self: torch.optim.Adam, *given: Any, **named: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return original(self, *given, **named)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    settings = {**FAST, "pretrain_epochs": 0, "milestone": 1, "learning_rate": 1e-3}
    detector = DeepSvdd(**settings).fit(noise(8, side=16), Context.alone())
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    assert "auto_encoder" not in detector.facts()
    assert isinstance(detector.network_, nn.Module)


@pytest.mark.parametrize("wrong", [{"side": 64}, {"nu": 0.0}, {"epochs": 0}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="deep_svdd: .* is"):
        DeepSvdd(**wrong)
