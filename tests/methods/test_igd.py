"""IGD: every equation against a slow independent computation; training, resuming, settings."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark import Batch, Context, Geometry, State
from benchmark.data.loading import ImageSet
from benchmark.detector import training as _training
from benchmark.detector.context import Checkpoint
from benchmark.errors import AssetError, DetectorError, SettingsError
from benchmark.features.weights import WeightsFrom
from benchmark.methods._msssim import LOCAL_WEIGHTS, MsSsim
from benchmark.methods.igd import Igd
from benchmark.methods.igd import scoring as _igd_scoring
from benchmark.methods.igd.encoder import IgdEncoder, distance, padded, windows
from benchmark.methods.igd.gsvdd import Gsvdd, PublishedGsvdd, SoftBoundary, pushed
from benchmark.methods.igd.model import (
    Plan,
    ScaleModel,
    ScaleTraining,
    critic_loss,
    generator_losses,
)
from benchmark.methods.igd.networks import Critic, Decoder, ImageNorm, PatchEncoder
from benchmark.methods.igd.scoring import by_equations, by_public_code, fold
from benchmark.methods.igd.views import Views, cut
from benchmark.runner.estimate import FewSteps

from ..helpers import KilledAfter, noise, save_after_every_step

T = TypeVar("T")
SMALL: dict[str, Any] = {"encoder": "random", "epochs": 2, "batch": 4}
TEACHER: dict[str, Any] = {
    "backbone": "squeezenet1_1",
    "steps": 3,
    "batch": 2,
    "teacher_side": 64,
}


def images(count: int, side: int = 28, seed: int = 0) -> ImageSet:
    return noise(count, seed, side)


def context(side: int = 28, seed: int = 0, assets_dir: Path | None = None) -> Context:
    return Context.alone(geometry=Geometry(resize=side), seed=seed, assets_dir=assets_dir)


def plan(**settings: Any) -> Plan:
    return replace(Igd(**SMALL)._plan(small=True), **settings)


def model(scale: str = "local", side: int = 32, **settings: Any) -> ScaleModel:
    torch.manual_seed(0)
    similarity = MsSsim(LOCAL_WEIGHTS, 3)
    return ScaleModel(scale, (side, side), 512, plan(**settings), similarity, scale == "local")


@pytest.fixture(scope="module")
def fitted() -> tuple[Igd, Context]:
    place = context()
    return Igd(**SMALL).fit(images(6), place), place


# networks


@pytest.mark.parametrize(
    ("network", "shape", "out", "millions"),
    [
        (lambda: PatchEncoder(512), (2, 3, 32, 32), (2, 512), 6.69),
        (lambda: Decoder("local", (32, 32)), (2, 128), (2, 3, 32, 32), 3.56),
        (lambda: Critic("local", (32, 32)), (2, 3, 32, 32), (2,), 2.96),
        (lambda: Decoder("global", (256, 256)), (2, 128), (2, 3, 256, 256), 10.90),
        (lambda: Critic("global", (256, 256)), (2, 3, 256, 256), (2,), 17.72),
        (lambda: Decoder("global", (64, 128)), (2, 128), (2, 3, 64, 128), None),
        (lambda: Critic("global", (64, 128)), (2, 3, 64, 128), (2,), None),
    ],
)
@torch.no_grad()
def test_networks_have_the_published_shapes_and_sizes(
    network: Any, shape: tuple[int, ...], out: tuple[int, ...], millions: float | None
) -> None:
    built = network()
    assert tuple(built(torch.randn(shape)).shape) == out
    if millions is not None:
        count = sum(p.numel() for p in built.parameters()) / 1e6
        assert count == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_image_norm_is_layer_norm_over_all_of_an_image(layout: torch.memory_format) -> None:
    norm = ImageNorm(4, (6, 5))
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(3, 4, 6, 5).contiguous(memory_format=layout)
    gain, offset = (p.permute(2, 0, 1) for p in (norm.weight, norm.bias))
    for i in range(3):
        normal = (x[i] - x[i].mean()) / (x[i].var(correction=0) + 1e-5).sqrt()
        torch.testing.assert_close(norm(x)[i], normal * gain + offset)
    assert norm(x).is_contiguous(memory_format=torch.channels_last)


# GSVDD (equations 3 and 7, section 4.2)


def test_gsvdd_statistics_by_hand() -> None:
    codes = torch.randn(70, 5) * 2 + 3
    gsvdd = Gsvdd(5, kappa=0.5)
    gsvdd.e_step([codes[:64], codes[64:]])
    mean = [sum(float(row[j]) for row in codes) / 70 for j in range(5)]
    spread = sum(sum((float(row[j]) - mean[j]) ** 2 for j in range(5)) for row in codes) / 70
    np.testing.assert_allclose(gsvdd.centre.numpy(), mean, rtol=1e-5)
    assert float(gsvdd.variance) == pytest.approx(0.5 * spread, rel=1e-5)
    away = sum((float(codes[0, j]) - mean[j]) ** 2 for j in range(5))
    assert float(gsvdd(codes)[0]) == pytest.approx(1 - math.exp(-away / (0.5 * spread)), rel=1e-4)


def test_the_spread_is_bounded_below() -> None:
    gsvdd = Gsvdd(5, kappa=0.5, floor=1.0)
    gsvdd.e_step([torch.randn(50, 5) * 0.01])
    assert float(gsvdd.variance) == 1.0


def test_published_gsvdd_bounds_each_batch_and_takes_the_centre_of_before() -> None:
    first = [torch.full((4, 3), 0.02), torch.tensor([[4.0, 0, 0], [-4.0, 0, 0]])]
    gsvdd = PublishedGsvdd(3)
    gsvdd.e_step(first)
    # plain mean (0.08/6, 0.08/6, 0.08/6) is pushed to 0.1
    np.testing.assert_allclose(gsvdd.centre.numpy(), [0.1] * 3, rtol=1e-6)
    wide = ((3.9**2 + 0.02) + (4.1**2 + 0.02)) / 2
    assert float(gsvdd.variance) == pytest.approx((1.0 + wide) / 2, rel=1e-5)
    second = [torch.full((4, 3), 5.0)]
    gsvdd.e_step(second)
    assert float(gsvdd.variance) == pytest.approx(3 * 4.9**2, rel=1e-5), "around the old centre"
    np.testing.assert_allclose(gsvdd.centre.numpy(), [5.0] * 3)


def test_pushed_keeps_signs_and_large_coordinates() -> None:
    found = pushed(torch.tensor([0.05, -0.05, 0.0, 2.0, -0.3]))
    np.testing.assert_allclose(found.numpy(), [0.1, -0.1, 0.1, 2.0, -0.3])


def test_soft_boundary_by_hand() -> None:
    codes = torch.randn(200, 4) + 2
    sphere = SoftBoundary(4, nu=0.1)
    sphere.e_step([codes])
    centre = sphere.centre.clone()
    np.testing.assert_allclose(centre.numpy(), codes.mean(0).numpy(), rtol=1e-5)
    outside = (sphere(codes) > 0).float().mean()
    assert float(outside) == pytest.approx(0.1, abs=0.011)
    squared = (codes - centre).square().sum(1)
    radius = float(sphere.squared_radius)
    slow = [radius + max(0.0, float(s) - radius) / 0.1 for s in squared]
    np.testing.assert_allclose(sphere.loss(codes).numpy(), slow, rtol=1e-4)
    sphere.e_step([codes + 1])
    assert torch.equal(sphere.centre, centre), "the centre is fixed"
    assert float(sphere.squared_radius) != radius


# losses (equations 2, 5, 6, 8)


def test_critic_loss_compares_each_guess_with_its_own_share() -> None:
    guess, alpha, blend = torch.rand(5), torch.rand(5) / 2, torch.rand(5)
    slow = sum(float((guess[i] - alpha[i]) ** 2) for i in range(5)) / 5
    slow += sum(float(blend[i] ** 2) for i in range(5)) / 5
    assert float(critic_loss(guess, alpha, blend, published=False)) == pytest.approx(slow, rel=1e-5)


def test_the_published_global_critic_loss_compares_all_with_all() -> None:
    guess, alpha, blend = torch.rand(5), torch.rand(5) / 2, torch.rand(5)
    pairs = itertools.product(range(5), range(5))
    slow = sum(float((guess[i] - alpha[j]) ** 2) for i, j in pairs) / 25
    slow += sum(float(blend[i] ** 2) for i in range(5)) / 5
    assert float(critic_loss(guess, alpha, blend, published=True)) == pytest.approx(slow, rel=1e-5)


def test_reconstruction_and_adversarial_loss_by_hand() -> None:
    net = model(interpolate=True)
    x, rebuilt = torch.randn(3, 3, 32, 32), torch.randn(3, 3, 32, 32)
    codes, guess = torch.randn(3, 128), torch.rand(3)
    parts = generator_losses(net, x, rebuilt, codes, guess)
    similarity = net.similarity(x, rebuilt)
    slow = [
        0.15 * float((x[i] - rebuilt[i]).abs().mean()) / 4.7579 + 0.85 * (1 - float(similarity[i]))
        for i in range(3)
    ]
    assert float(parts["reconstruction"]) == pytest.approx(np.mean(slow), rel=1e-5)
    assert float(parts["adversarial"]) == pytest.approx(0.1 * float((guess**2).mean()), rel=1e-5)
    described = [1 - math.exp(-float((codes[i] ** 2).sum())) for i in range(3)]
    assert float(parts["description"]) == pytest.approx(np.mean(described), rel=1e-5)


@pytest.mark.parametrize("formulation", ["equations", "public_code"])
def test_a_step_has_the_gradients_of_two_plain_passes(
    formulation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One shared pass against a pass for encoder and decoder and another for the critic."""
    place = context(32)
    net = model(formulation=formulation, interpolate=True, learning_rate=0.0)
    net.freeze_body()
    views = Views(images(4, 32), (32, 32), 16, None, False, place)
    training = ScaleTraining(net, views, net.plan, place)
    training.e_step(0)
    stepped: list[int] = []
    monkeypatch.setattr(training.optimiser, "step", lambda: stepped.append(1))
    critic = training.critic
    assert critic is not None and net.body is not None
    indices = np.arange(4)
    losses = training.step(indices, 7)
    assert stepped == [1]
    found = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    found_critic = {n: cast(Tensor, p.grad).clone() for n, p in critic.named_parameters()}
    assert not any(name.startswith("body") for name in found), "the body is frozen"

    random = place.generator("local step 7")
    alpha = 0.5 * torch.rand(4, generator=random)
    x = views.pixels(indices, np.zeros(4, bool))

    def decoded() -> tuple[Tensor, Tensor, Tensor]:
        codes = net.code(cast(Any, net.body)(x).detach())
        mixed = torch.stack([alpha[i] * codes[i] + (1 - alpha[i]) * codes[3 - i] for i in range(4)])
        rebuilt, between = net.decoder(torch.cat([codes, mixed])).chunk(2)
        return codes, rebuilt, between

    net.zero_grad()
    codes, rebuilt, between = decoded()
    loss = net.reconstruction(x, rebuilt).mean() + net.describe(codes).mean()
    loss = loss + 0.1 * critic(between).square().mean()
    loss.backward()
    assert float(losses["loss"]) == pytest.approx(float(loss), rel=1e-4)
    for name, gradient in found.items():
        wanted = cast(Tensor, net.get_parameter(name).grad)
        assert float((gradient - wanted).norm()) <= 1e-3 * float(wanted.norm()) + 1e-6, name
    critic.zero_grad()
    with torch.no_grad():
        _, rebuilt, between = decoded()
    blend = rebuilt + 0.2 * (x - rebuilt)
    loss = critic_loss(critic(between), alpha, critic(blend), published=False)
    loss.backward()
    assert float(losses["critic"]) == pytest.approx(float(loss), rel=1e-4)
    for name, gradient in found_critic.items():
        wanted = cast(Tensor, critic.get_parameter(name).grad)
        assert float((gradient - wanted).norm()) <= 1e-3 * float(wanted.norm()) + 1e-6, name


def test_estimation_comes_before_training_and_every_ten_epochs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []
    monkeypatch.setattr(Gsvdd, "e_step", lambda *_: log.append("E"))

    def step(*_: Any) -> dict[str, Tensor]:
        log.append("M")
        return {"loss": torch.zeros(())}

    monkeypatch.setattr(ScaleTraining, "step", step)
    place = context()
    Igd(**{**SMALL, "epochs": 5}, e_step_epochs=2).fit(images(8), place)
    assert "".join(log) == "EMMMM" + "EMMMM" + "EMM"


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


# scores (equations 11 and 12)


def test_fold_covers_corners_once_borders_twice_and_the_rest_four_times() -> None:
    ones = torch.ones(225, 32, 32)
    total = fold(ones, 1, (256, 256), 16, average=False)
    counts = {int(v): int((total == v).sum()) for v in total.unique()}
    assert counts == {1: 1024, 2: 14336, 4: 50176}
    assert torch.equal(fold(ones, 1, (256, 256), 16, average=True), torch.ones(1, 256, 256))


def test_fold_puts_every_window_where_it_was_cut() -> None:
    image = torch.rand(2, 1, 64, 80)
    flat = cut(image, (32, 32), 16).permute(0, 2, 3, 1, 4, 5).reshape(-1, 32, 32)
    torch.testing.assert_close(fold(flat, 2, (64, 80), 16, average=True), image[:, 0])


def test_score_and_map_of_the_equations_by_hand() -> None:
    net = model()
    x, rebuilt = torch.randn(3, 3, 32, 32), torch.randn(3, 3, 32, 32)
    codes = torch.randn(3, 128) * 0.05
    found = by_equations(net, x, rebuilt, codes, 0.3)
    described = 1 - math.exp(-float((codes[1] ** 2).sum()))
    similar = float(net.similarity(x, rebuilt)[1])
    error = float((x[1] - rebuilt[1]).abs().mean()) / 4.7579
    slow = 0.3 * (0.15 * error + 0.85 * (1 - similar)) + 0.7 * described
    assert float(found.scores[1]) == pytest.approx(slow, rel=1e-5)
    per_pixel = net.similarity.pixelwise(x, rebuilt)[1, :, 9, 4]
    gap = (x[1, :, 9, 4] - rebuilt[1, :, 9, 4]).abs() / 4.7579
    slow = 0.3 * float((0.15 * gap + 0.85 * (1 - per_pixel)).mean()) + 0.7 * described
    assert float(found.maps[1, 9, 4]) == pytest.approx(slow, rel=1e-5)


@pytest.mark.parametrize(("scale", "alone"), [("local", False), ("local", True), ("global", False)])
def test_score_and_map_of_the_public_code_by_hand(scale: str, alone: bool) -> None:
    net = model(scale, 64 if scale == "global" else 32, formulation="public_code")
    side = net.sides[0]
    x, rebuilt = torch.randn(2, 3, side, side), torch.randn(2, 3, side, side)
    codes = torch.randn(2, 128) * 0.05
    found = by_public_code(net, x, rebuilt, codes, alone)
    gap = x[0] - rebuilt[0]
    error = float((gap if scale == "local" else gap.abs()).mean()) / 4.7579
    built = 0.15 * error + 0.85 * (1 - float(net.similarity(x, rebuilt)[0]))
    described = 1 - math.exp(-float((codes[0] ** 2).sum()))
    share = 0.5 if alone else {"local": 0.9, "global": 0.1}[scale]
    assert float(found.scores[0]) == pytest.approx(
        share * built + (1 - share) * described, rel=1e-5
    )
    stacked = net.similarity.stacked_gap(x, rebuilt)[0, :, 3, 8]
    mixed = (0.85 * stacked + 0.15 * gap[:, 3, 8].abs() / 4.7579).clamp(min=0)
    luma = 0.2989 * mixed[0] + 0.5870 * mixed[1] + 0.1140 * mixed[2]
    assert float(found.maps[0, 3, 8]) == pytest.approx(float(luma), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({}, (0.1, 0.9)),
        ({"beta": 0.6}, (0.6, 0.4)),
        ({"pooling": "max"}, (0.1, 0.9)),
        ({"formulation": "public_code", "beta": 0.6}, (0.5, 0.5)),
    ],
)
def test_both_scales_are_combined(settings: dict[str, Any], shares: tuple[float, float]) -> None:
    place = context(64)
    given = {**SMALL, "steps": 1, "backbone": "squeezenet1_1", "patches": 1, **settings}
    detector = Igd(**given).fit(images(4, 64), place)
    batch = images(2, 64, seed=1).batch([0, 1])
    whole = detector.predict(batch, place)
    parts = {name: detector._evidence(name, batch, place) for name in ("global", "local")}
    for values, key in ((whole.scores, "scores"), (whole.maps, "maps")):
        slow = sum(
            share * getattr(parts[name], key)
            for share, name in zip(shares, ("global", "local"), strict=True)
        )
        torch.testing.assert_close(values, slow)
    # the local score by hand: patch by patch
    net = detector._model("local")
    x = (batch.pixels - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / (
        torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    )
    found = []
    with torch.no_grad():
        for top, left in itertools.product((0, 16, 32), (0, 16, 32)):
            patch = x[:1, :, top : top + 32, left : left + 32]
            codes = net.code(cast(Any, net.body)(patch))
            rebuilt = net.decoder(codes)
            if settings.get("formulation") == "public_code":
                found.append(by_public_code(net, patch, rebuilt, codes, False).scores)
            else:
                found.append(by_equations(net, patch, rebuilt, codes, 0.5).scores)
    pooled = torch.cat(found)
    wanted = pooled.mean() if settings.keys() <= {"beta"} else pooled.max()
    assert float(parts["local"].scores[0]) == pytest.approx(float(wanted), rel=1e-3)


def test_maps_of_small_images_have_their_size_and_padding_repeats_edges() -> None:
    pixels = torch.rand(1, 3, 28, 28)
    grown = padded(pixels)
    assert grown.shape == (1, 3, 32, 32)
    assert torch.equal(grown[:, :, 2:30, 2:30], pixels)
    assert torch.equal(grown[:, :, 0, 5], pixels[:, :, 0, 3])
    assert padded(torch.rand(1, 3, 32, 40)).shape == (1, 3, 32, 40)


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


# the whole


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"encoder": "learned", "descriptor": "none", "interpolate": False},
        {"descriptor": "none", "interpolate": False},
        {"descriptor": "soft_boundary", "interpolate": False},
        {"interpolate": False},
        {"formulation": "public_code"},
    ],
    ids=["igd", "msssim", "kd", "dsvdd", "gsvdd", "public_code"],
)
def test_rows_of_the_ablation_learn(settings: dict[str, Any]) -> None:
    place = context()
    flat = np.random.default_rng(0).integers(0, 255, (8, 1, 1, 3), np.uint8)
    train = ImageSet(np.broadcast_to(flat, (8, 28, 28, 3)).copy(), [str(i) for i in range(8)])
    # a new critic's guesses leap at first, the more the higher the rate
    rate = 1e-4 if settings.get("interpolate", True) else 1e-3
    given = {**SMALL, "epochs": 8, "batch": 8, "learning_rate": rate, **settings}
    detector = Igd(**given).fit(train, place)
    curve = [v for _, v in place.meters.curves["local reconstruction"]]
    assert curve[-1] < curve[0]
    names = {name.removeprefix("local ") for name in place.meters.curves}
    wanted = {"loss", "reconstruction"}
    wanted |= set() if settings.get("descriptor") == "none" else {"description"}
    wanted |= {"adversarial", "critic"} if settings.get("interpolate", True) else set()
    assert names == wanted
    found = detector.predict(images(3, seed=1).batch([0, 1, 2]), place)
    assert bool(found.scores.isfinite().all())
    assert found.maps is not None and found.maps.shape == (3, 28, 28)


def test_a_learned_body_changes_and_a_frozen_one_does_not() -> None:
    for encoder, same in (("learned", False), ("random", True)):
        place = context()
        detector = Igd(**{**SMALL, "encoder": encoder}).fit(images(6), place)
        fresh = Igd(**{**SMALL, "encoder": encoder})
        fresh.parts_ = detector.parts_
        with _training.seeded(place, "models"):
            fresh.build()
        bodies = [cast(PatchEncoder, d._model("local").body) for d in (detector, fresh)]
        pairs = zip(bodies[0].parameters(), bodies[1].parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs) == same


def test_same_seed_same_result_other_seed_another(fitted: tuple[Igd, Context]) -> None:
    batch = images(2, seed=1).batch([0, 1])
    wanted = fitted[0].predict(batch, fitted[1]).scores
    for seed, same in ((0, True), (1, False)):
        place = context(seed=seed)
        found = Igd(**SMALL).fit(images(6), place).predict(batch, place).scores
        assert torch.equal(found, wanted) == same


@pytest.mark.parametrize("where", [("global model", 1), ("local model", 3)])
def test_goes_on_after_a_kill_as_if_nothing_had_happened(
    where: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SMALL, "backbone": "squeezenet1_1", "patches": 2, "encoder": "distilled_on_train"}
    plain = context(64)
    whole = Igd(**settings).fit(images(4, 64), plain)
    save_after_every_step(monkeypatch)
    place = context(64)
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    place.progress = KilledAfter(where[1], where[0])
    with pytest.raises(KeyboardInterrupt):
        Igd(**settings).fit(images(4, 64), place)
    saved = place.checkpoint.load()
    assert saved is not None and "finished" in saved["encoder"]
    assert ("finished" in saved.get("global", {})) == (where[0] == "local model")
    second = context(64)
    second.checkpoint = place.checkpoint
    resumed = Igd(**settings).fit(images(4, 64), second)
    wanted, found = whole.state(), resumed.state()
    assert found.values == wanted.values
    assert found.tensors.keys() == wanted.tensors.keys()
    for name, tensor in wanted.tensors.items():
        assert torch.equal(tensor, found.tensors[name]), name
    for name in ("local loss", "local critic"):
        assert second.meters.curves[name] == plain.meters.curves[name]


def test_state_comes_back_from_a_file(fitted: tuple[Igd, Context], tmp_path: Path) -> None:
    detector, place = fitted
    detector.state().save(tmp_path / "state.safetensors")
    restored = Igd(**SMALL).load_state(State.load(tmp_path / "state.safetensors"))
    batch = images(2, seed=1).batch([0, 1])
    assert torch.equal(restored.predict(batch, place).scores, detector.predict(batch, place).scores)
    assert restored.facts() == detector.facts()


def test_an_images_result_does_not_depend_on_its_batch_mates(fitted: tuple[Igd, Context]) -> None:
    detector, place = fitted
    test = images(5, seed=1)
    together = detector.predict(test.batch(range(5)), place).scores
    alone = torch.cat([detector.predict(test.batch([i]), place).scores for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_training_cut_short_can_still_predict() -> None:
    place = context()
    place.progress = FewSteps()
    detector = Igd(**{**SMALL, "epochs": 9}).fit(images(8), place)
    assert detector.predict(images(1).batch([0]), place).scores.isfinite().all()


def test_divergence_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DetectorError, match=r"local model: training diverged.*learning_rate="):
        Igd(**{**SMALL, "epochs": 20}, learning_rate=1e30).fit(images(6), context())


@pytest.mark.parametrize(
    ("size", "scales", "message"),
    [
        ((96, 96), ("global", "local"), r"96 × 96.*multiples of 64.*--image-size 256"),
        ((33, 40), ("local",), r"33 × 40.*multiples of 16"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    size: tuple[int, int], scales: tuple[Any, ...], message: str
) -> None:
    pixels = np.zeros((2, *size, 3), np.uint8)
    with pytest.raises(DetectorError, match=message):
        Igd(**SMALL, scales=scales).fit(ImageSet(pixels, ["a", "b"]), context())


@pytest.mark.parametrize(
    "wrong",
    [
        {"scales": ()},
        {"scales": ("local", "local")},
        {"batch": 1},
        {"epochs": 0},
        {"rho": 1.5},
        {"nu": 0.0},
        {"latent": 0},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="igd: "):
        Igd(**wrong)


def test_epochs_follow_the_images_size_unless_given() -> None:
    assert Igd()._plan(small=True).epochs == 128
    assert Igd()._plan().epochs == 256
    assert Igd(epochs=3)._plan(small=True).epochs == 3


def test_weights_of_hidden_scales_do_not_matter() -> None:
    assert Igd(scales=("local",)).needs() == []
    assert Igd(scales=("global",)).assets() == []
    assert Igd().assets() == [IgdEncoder]


def test_finds_an_odd_class_among_real_images(real_data: Path, real_weights: Path) -> None:
    """A short training on one garment tells others from it better than chance and better than
    before the training."""
    with np.load(real_data / "oneclass" / "fashion_mnist.npz", allow_pickle=False) as file:
        train, labels = file["train_images"], file["train_labels"]
        test, truth = file["test_images"][:200], file["test_labels"][:200]
    sneakers = np.repeat(train[labels == 7][:128, ..., None], 3, 3)
    shown = np.repeat(test[..., None], 3, 3)
    aurocs = {}
    for steps in (1, 24):
        place = Context.alone(weights=WeightsFrom(real_weights))
        detector = Igd(encoder="random", epochs=20, batch=16, steps=steps, learning_rate=1e-3)
        detector.fit(ImageSet(sneakers, [str(i) for i in range(128)]), place)
        batch: Batch = ImageSet(shown, [f"t{i}" for i in range(200)]).batch(range(200))
        scores = detector.predict(batch, place).scores.numpy()
        good, bad = scores[truth == 7], scores[truth != 7]
        aurocs[steps] = float((bad[:, None] > good[None]).mean())
    assert aurocs[24] > 0.85
    assert aurocs[24] > aurocs[1]


def test_published_weights_are_those_of_the_scripts() -> None:
    assert _igd_scoring.PUBLISHED_RECONSTRUCTION == {"local": 0.9, "global": 0.1}
    assert sum(_igd_scoring.LUMA) == pytest.approx(1.0, abs=1e-3)
