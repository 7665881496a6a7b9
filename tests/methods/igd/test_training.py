"""IGD: the training of one scale, its windows, and the distillation of the local encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.detector.context import Checkpoint
from benchmark.errors import AssetError
from benchmark.methods.igd import Igd
from benchmark.methods.igd.encoder import IgdEncoder, distance, windows
from benchmark.methods.igd.gsvdd import Gsvdd
from benchmark.methods.igd.model import (
    critic_loss,
    interpolated,
    reconstruction,
)
from benchmark.methods.igd.networks import PatchEncoder
from benchmark.methods.igd.training import ScaleTraining, Schedule
from benchmark.methods.igd.views import Views

from ...helpers import KilledAfter, save_after_every_step
from .small import SMALL, TEACHER, context, images, model


@pytest.mark.parametrize("published", [False, True], ids=["equations", "public_code"])
def test_a_step_has_the_gradients_of_two_plain_passes(
    published: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pass for encoder and decoder, another for the critic; in the public code the second sees
    the decoder and the encoder that the first has changed."""
    place = context(32)
    net = model(published)
    views = Views(images(4, 32), (32, 32), 16, None, False, place)
    training = ScaleTraining(net, views, Schedule(1, None, 4, False, 1e-2, 25, True), place)
    training.e_step(0)
    critic = training.critic
    assert critic is not None and net.body is not None
    body, x = net.body, views.pixels(np.arange(4), np.zeros(4, bool))
    alpha = 0.5 * torch.rand(4, generator=place.generator("local step 7"))
    fresh = {k: v.clone() for k, v in net.state_dict().items()}
    fresh_critic = {k: v.clone() for k, v in critic.state_dict().items()}
    changed = {k: v.clone() for k, v in fresh.items()}
    found: dict[str, Tensor] = {}
    update = training.optimiser.step

    def step() -> None:
        for name, net_ in (("model", net), ("critic", critic)):
            gradients = {f"{name} {k}": p.grad for k, p in net_.named_parameters()}
            found.update({k: g.clone() for k, g in gradients.items() if g is not None})
        update()
        changed.update({k: v.clone() for k, v in net.state_dict().items()})

    monkeypatch.setattr(training.optimiser, "step", step)
    losses = training.step(np.arange(4), 7)
    assert not any(name.startswith("model body") for name in found), "the body is frozen"

    def check(name: str, plain: torch.nn.Module, loss: Tensor, noted: str) -> None:
        plain.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        assert losses[noted].item() == pytest.approx(loss.item(), rel=1e-4)
        compared = [k for k in found if k.startswith(name)]
        for key in compared:
            wanted = cast(Tensor, plain.get_parameter(key.split(" ")[1]).grad)
            gap = float((found[key] - wanted).norm())
            assert gap <= 1e-3 * float(wanted.norm()) + 1e-6, key
        assert len(compared) > 10

    net.load_state_dict(fresh)
    critic.load_state_dict(fresh_critic)
    codes = net.code(body(x))
    mixed = interpolated(codes, alpha)
    rebuilt, between = net.decoder(torch.cat([codes, mixed])).chunk(2)
    loss = reconstruction(net, x, rebuilt).mean() + cast(Any, net.descriptor)(codes).mean()
    check("model", net, loss + 0.1 * critic(between).square().mean(), "loss")
    if published:
        net.load_state_dict(changed)
        with torch.no_grad():
            again = net.decoder(torch.cat([net.code(body(x)), mixed]))
        assert not torch.allclose(again[:4], rebuilt, rtol=1e-2)
        rebuilt, between = again.chunk(2)
    blend = rebuilt.detach() + 0.2 * (x - rebuilt.detach())
    loss = critic_loss(critic(between.detach()), alpha, critic(blend), published=False)
    check("critic", critic, loss, "critic")


@pytest.mark.parametrize(
    ("e_steps", "order"), [(3, "EMMEMMEMM"), (4, "EMEMMEMEMM"), (25, "EM" * 6)]
)
def test_estimations_are_spread_over_the_training_and_recorded(
    e_steps: int, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    monkeypatch.setattr(Gsvdd, "e_step", lambda *_: log.append("E"))

    def step(*_: Any) -> dict[str, Tensor]:
        log.append("M")
        return {"loss": torch.zeros(())}

    monkeypatch.setattr(ScaleTraining, "step", step)
    detector = Igd(**{**SMALL, "epochs": 3}, e_steps=e_steps).fit(images(8), context())
    assert "".join(log) == order
    assert detector.facts()["local"]["e_steps"] == order.count("E")


def test_the_public_codes_batches() -> None:
    large = Igd(formulation="public_code", batch=7)
    assert [large._schedule(name, False).batch for name in ("global", "local")] == [16, 2]
    assert large._schedule("local", False).whole_images
    small = large._schedule("local", True)
    assert (small.batch, small.whole_images, small.epochs) == (7, False, 128)
    assert Igd(epochs=3)._schedule("local", True).epochs == 3
    assert Igd()._schedule("global", False).epochs == 256


@pytest.mark.parametrize("formulation", ["equations", "public_code"])
def test_batch_norm_is_live_in_the_equations_alone(formulation: str) -> None:
    place = context()
    detector = Igd(**SMALL, formulation=cast(Any, formulation)).fit(images(6), place)
    state = detector.state().tensors
    means = [v for k, v in state.items() if "decoder" in k and k.endswith("running_mean")]
    assert len(means) == 7
    assert all(bool(m.any()) == (formulation == "equations") for m in means)
    bodies = [v for k, v in state.items() if "body" in k and k.endswith("running_mean")]
    assert not any(bool(m.any()) for m in bodies), "a frozen body keeps its statistics"


def test_learning_rate_decays_polynomially_to_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    original = ScaleTraining.step

    def spy(self: ScaleTraining, *given: Any) -> Any:
        rates.append([group["lr"] for group in self.optimiser.param_groups])
        return original(self, *given)

    monkeypatch.setattr(ScaleTraining, "step", spy)
    Igd(**{**SMALL, "epochs": 2}, learning_rate=1e-3).fit(images(8), context())
    wanted = [1e-3 * (1 - i / 4) ** 0.9 for i in range(4)]
    np.testing.assert_allclose(rates, [[w, w] for w in wanted])


# windows


@pytest.mark.parametrize("flips", [False, True])
def test_views_are_the_images_windows(flips: bool) -> None:
    place = context(64)
    train = images(3, 64)
    views = Views(train, (32, 32), 16, None, flips, place)
    assert len(views) == 3 * 9
    item, flip = 1 * 9 + 2 * 3 + 1, np.array([flips])  # image 1, third row, second column
    found = views.pixels(np.array([item]), flip)[0]
    wanted = train.batch([1]).pixels[0, :, 32:64, 16:48]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    wanted = (wanted - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    torch.testing.assert_close(found, wanted.flip(2) if flips else wanted)


def test_kept_features_are_those_of_the_windows_and_their_mirror_images() -> None:
    place = context(64)
    views = Views(images(2, 64), (32, 32), 16, 4, True, place)
    assert len(views) == 8
    torch.manual_seed(0)
    body = PatchEncoder(16).eval()
    views.keep(body, 16)
    items, flip = np.array([5, 0, 7]), np.array([True, False, False])
    with torch.no_grad():
        wanted = body(views.pixels(items, flip))
    torch.testing.assert_close(views.features(items, flip), wanted, rtol=1e-4, atol=1e-5)


def test_pixels_too_many_to_hold_are_fetched_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    given = (images(4, 64), (32, 32), 16, None, True, context(64))
    held = Views(*given)
    monkeypatch.setattr("benchmark.methods.igd.views.PIXEL_BYTES", 0)
    fetched = Views(*given)
    assert fetched._pixels is None
    items, flip = np.array([30, 2, 17, 2]), np.array([True, False, True, True])
    torch.testing.assert_close(held.pixels(items, flip), fetched.pixels(items, flip))


def test_the_global_encoder_runs_once_per_image_and_flip() -> None:
    place = context(64)
    settings = {**SMALL, "scales": ("global",), "backbone": "squeezenet1_1", "epochs": 3}
    Igd(**settings).fit(images(5, 64), place)
    assert place._features.counts.images == 10


# distillation (equation 10)


def test_distance_of_descriptors_by_hand() -> None:
    a, b = torch.randn(4, 6), torch.randn(4, 6)
    slow = sum(float((a[i, j] - b[i, j]) ** 2) for i in range(4) for j in range(6)) / 4
    assert float(distance(a, b)) == pytest.approx(slow, rel=1e-5)


def test_windows_are_shrunk_squares_of_all_sizes() -> None:
    ramp = torch.arange(128).float().expand(40, 3, 128, 128)
    found = windows(ramp, np.random.default_rng(0))
    assert found.shape == (40, 3, 32, 32)
    slopes = (found[:, 0, 0, 1] - found[:, 0, 0, 0]).round().int().tolist()
    assert set(slopes) == {1, 2, 4}
    only = windows(ramp, np.random.default_rng(0), 1)
    assert set((only[:, 0, 0, 1] - only[:, 0, 0, 0]).round().int().tolist()) == {1}


def test_the_encoder_comes_from_the_asset(tmp_path: Path) -> None:
    place = context(assets_dir=tmp_path)
    place.asset_settings = {"igd-encoder": TEACHER}
    settings = {**SMALL, "encoder": "distilled", "backbone": "squeezenet1_1"}
    with pytest.raises(AssetError, match=r"bench pretrain igd-encoder .*igd-encoder\.steps=3"):
        Igd(**settings).fit(images(4), place)
    asset = IgdEncoder(**TEACHER)
    state = asset.build(images(4, 64), place)
    assert state.values["width"] == 512
    asset.save(state, {}, tmp_path)
    detector = Igd(**settings).fit(images(4), place)
    body = detector._model("local").body
    assert body is not None
    for name, tensor in body.state_dict().items():
        assert torch.equal(tensor, state.tensors[name]), name


def test_an_encoder_has_its_teachers_width() -> None:
    state = IgdEncoder(**{**TEACHER, "backbone": "mobilenetv2_100", "steps": 1}).build(
        images(2, 32), context()
    )
    assert state.values["width"] == state.tensors["head.weight"].shape[0] == 1280


def test_distillation_learns_and_goes_on_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**TEACHER, "steps": 12, "learning_rate": 1e-3, "batch": 4}
    natural = images(4, 64)
    place = context()
    whole = IgdEncoder(**settings).build(natural, place)
    losses = [value for _, value in place.meters.curves["loss"]]
    assert np.mean(losses[-4:]) < np.mean(losses[:4]), losses
    save_after_every_step(monkeypatch)
    place = context()
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    place.progress = KilledAfter(7, "encoder")
    with pytest.raises(KeyboardInterrupt):
        IgdEncoder(**settings).build(natural, place)
    place.progress = context().progress
    resumed = IgdEncoder(**settings).build(natural, place)
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, resumed.tensors[name]), name
