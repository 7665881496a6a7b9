"""GANomaly and f-AnoGAN: networks beside the official ones, losses and scores, resuming."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark import Context
from benchmark.detector.context import Checkpoint
from benchmark.errors import SettingsError
from benchmark.methods import ganomaly
from benchmark.methods._parts.autoencoders import resized
from benchmark.methods.f_anogan import FAnoGan, critic_losses
from benchmark.methods.f_anogan.networks import Block, Generator, Reader
from benchmark.methods.ganomaly import Discriminator, Ganomaly, initialised, step
from benchmark.methods.ganomaly import Generator as Rebuilder

from ..helpers import KilledAfter, noise, save_after_every_step

CONTEXT = Context.alone()
GANOMALY: dict[str, Any] = {"side": 16, "width": 4, "code": 6, "batch": 3, "epochs": 2}
F_ANOGAN: dict[str, Any] = {
    "side": 8,
    "width": 4,
    "code": 6,
    "batch": 4,
    "gan_steps": 7,
    "encoder_steps": 4,
}


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("side", "generator", "discriminator"),
    [(32, 3_206_528, 663_296), (64, 10_729_856, 2_765_568)],  # counted in the official code
)
def test_ganomaly_has_the_official_number_of_parameters(
    side: int, generator: int, discriminator: int
) -> None:
    assert parameters(Rebuilder(side, 3, 64, 100)) == generator
    assert parameters(Discriminator(side, 3, 64)) == discriminator


def test_a_step_of_ganomaly_is_that_of_two_optimisers_one_after_the_other() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator, critic = Rebuilder(16, 3, 4, 6), Discriminator(16, 3, 4)
        generator.apply(initialised)
        images = 2 * torch.rand(4, 3, 16, 16) - 1
    slow_g, slow_d = copy.deepcopy(generator), copy.deepcopy(critic)
    losses = step(generator, critic, images, CONTEXT)

    opt_g, opt_d = (torch.optim.SGD(m.parameters(), 0.1) for m in (slow_g, slow_d))
    rebuilt, code, again = slow_g(images)
    real, features = slow_d(images)
    fake = slow_d(rebuilt.detach())[0]
    error = (slow_d(rebuilt)[1] - features).square().mean()
    error = error + 50 * (rebuilt - images).abs().mean() + (again - code).square().mean()
    opt_g.zero_grad()
    torch.autograd.backward(error, retain_graph=True)
    opt_g.step()
    opt_d.zero_grad()
    d_error = F.binary_cross_entropy(real.sigmoid(), torch.ones(4))
    d_error = (d_error + F.binary_cross_entropy(fake.sigmoid(), torch.zeros(4))) / 2
    torch.autograd.backward(d_error)
    opt_d.step()

    assert float(losses["loss"].detach()) == pytest.approx(float(error.detach()), rel=1e-5)
    assert float(losses["discriminator"].detach()) == pytest.approx(
        float(d_error.detach()), rel=1e-5
    )
    for mine, slow in ((generator, slow_g), (critic, slow_d)):
        for a, b in zip(mine.parameters(), slow.parameters(), strict=True):
            assert a.grad is not None
            torch.testing.assert_close(a - 0.1 * a.grad, b, rtol=1e-4, atol=1e-6)


def test_ganomaly_scores_by_the_change_of_the_code() -> None:
    detector = Ganomaly(**GANOMALY).fit(noise(6, side=16), CONTEXT)
    batch = noise(2, 1, side=16).batch([0, 1])
    network: Any = detector.generator_.eval()
    with torch.no_grad():
        code = network.encoder(2 * batch.pixels - 1)
        again = network.again(torch.tanh(network.decoder(code)))
    want = torch.stack([(a - b).square().mean() for a, b in zip(code, again, strict=True)])
    torch.testing.assert_close(detector.predict(batch, CONTEXT).scores, want)


def test_a_discriminator_that_is_sure_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Ganomaly(**GANOMALY).fit(noise(6), CONTEXT).facts()["discriminator_restarts"] == 0
    monkeypatch.setattr(ganomaly, "FOOLED", 1e3)
    assert Ganomaly(**GANOMALY).fit(noise(6), CONTEXT).facts()["discriminator_restarts"] == 4


def test_f_anogan_has_the_official_number_of_parameters() -> None:
    """Added up from the layers of the official code, for its grey images of 64 × 64."""

    def block(a: int, b: int, between: int) -> int:
        norms = 2 * a + 2 * between
        return (a * b + b) + 9 * a * between + (9 * between * b + b) + norms

    d = 64
    up = [(8 * d, 8 * d), (8 * d, 4 * d), (4 * d, 2 * d), (2 * d, d)]
    generator = 129 * 128 * d + sum(block(a, b, b) for a, b in up) + 2 * d + 9 * d + 1
    down = [(d, 2 * d), (2 * d, 4 * d), (4 * d, 8 * d), (8 * d, 8 * d)]
    body = 9 * d + d + sum(block(a, b, a) for a, b in down)
    assert parameters(Generator(64, 1, 64, 128)) == generator
    assert parameters(Reader(64, 1, 64, 1, layer_norm=True)) == body + 128 * d + 1
    assert parameters(Reader(64, 1, 64, 128, layer_norm=False)) == body + 128 * (128 * d + 1)


@pytest.mark.parametrize("up", [True, False])
def test_a_block_is_its_official_form(up: bool) -> None:
    block, x = Block(3, 5, up=up, layer_norm=True), torch.rand(2, 3, 8, 8)

    def normal(values: torch.Tensor) -> torch.Tensor:
        mean, var = values.mean((1, 2, 3), keepdim=True), values.var((1, 2, 3), False, keepdim=True)
        return F.relu((values - mean) / (var + 1e-5).sqrt())

    def doubled(values: torch.Tensor) -> torch.Tensor:
        return values.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def halved(values: torch.Tensor) -> torch.Tensor:
        return sum(values[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4  # type: ignore[return-value]

    with torch.no_grad():
        if up:
            want = block.shortcut(doubled(x))
            want = want + block.second(normal(block.first(doubled(normal(x)))))
        else:
            want = block.shortcut(halved(x))
            want = want + halved(block.second(normal(block.first(normal(x)))))
        torch.testing.assert_close(block(x), want, rtol=1e-4, atol=1e-5)


def test_the_critics_loss_is_that_of_a_slow_computation() -> None:
    critic = Reader(8, 3, 4, 1, layer_norm=True)
    images, made = 2 * torch.rand(2, 3, 3, 8, 8) - 1
    share = torch.rand(3, 1, 1, 1)
    found = critic_losses(critic, images, made, share)
    total = 0.0
    for i in range(3):
        mixed = (images[i] + share[i] * (made[i] - images[i]))[None].requires_grad_()
        critic(mixed)[0].sum().backward()
        assert mixed.grad is not None
        total += float((mixed.grad.square().sum().sqrt() - 1) ** 2) / 3
    assert float(found["penalty"].detach()) == pytest.approx(total, rel=1e-4)
    with torch.no_grad():
        distance = float(critic(made)[0].mean() - critic(images)[0].mean())
    assert float(found["distance"].detach()) == pytest.approx(distance, abs=1e-5)
    assert float(found["loss"].detach()) == pytest.approx(distance + 10 * total, rel=1e-4)
    assert found["loss"].requires_grad


@pytest.fixture(scope="module")
def fitted() -> FAnoGan:
    return FAnoGan(**F_ANOGAN).fit(noise(6, side=8), CONTEXT)


def test_f_anogan_scores_pixels_and_the_critics_features(fitted: Any) -> None:
    batch = noise(2, 1, side=8).batch([0, 1])
    images = 2 * batch.pixels - 1
    with torch.no_grad():
        rebuilt = fitted.generator_(torch.tanh(fitted.encoder_.eval()(images)[0]))
        features = [fitted.critic_(x)[1] for x in (images, rebuilt)]
    want = (images - rebuilt).square().mean((1, 2, 3)) + (features[0] - features[1]).square().mean(
        1
    )
    found = fitted.predict(batch, CONTEXT)
    torch.testing.assert_close(found.scores, want)
    torch.testing.assert_close(found.maps, (images - rebuilt).abs().mean(1))
    assert fitted.facts()["gan"]["steps"] == 7 and fitted.facts()["encoder"]["steps"] == 4


def test_images_are_resized_to_the_range_of_a_tangent() -> None:
    pixels = torch.rand(1, 3, 8, 8)
    assert torch.equal(resized(pixels, 8), 2 * pixels - 1)
    assert resized(torch.ones(1, 1, 28, 28), 32).shape == (1, 1, 32, 32)
    torch.testing.assert_close(resized(torch.ones(1, 1, 28, 28), 32).min(), torch.tensor(1.0))


@pytest.mark.parametrize(
    ("cls", "given", "stage"),
    [
        (Ganomaly, GANOMALY, "generator and discriminator"),
        (FAnoGan, F_ANOGAN, "gan"),
        (FAnoGan, F_ANOGAN, "encoder"),
    ],
)
def test_goes_on_after_a_kill_as_if_nothing_had_happened(
    cls: Any, given: dict[str, Any], stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = noise(6, side=8)
    whole = cls(**given).fit(train, CONTEXT)
    save_after_every_step(monkeypatch)
    place = Context.alone()
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    place.progress = KilledAfter(3, stage)
    with pytest.raises(KeyboardInterrupt):
        cls(**given).fit(train, place)
    place.progress = CONTEXT.progress
    resumed = cls(**given).fit(train, place)
    assert resumed.facts() == whole.facts()
    for name, tensor in whole.state().tensors.items():
        assert torch.equal(tensor, resumed.state().tensors[name]), name


@pytest.mark.parametrize("cls", [Ganomaly, FAnoGan])
def test_wrong_settings_are_refused(cls: Any) -> None:
    with pytest.raises(SettingsError, match="side is 28: allowed are"):
        cls(side=28)
    with pytest.raises(SettingsError, match="batch 0"):
        cls(batch=0)
