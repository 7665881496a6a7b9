"""IGD: every equation against a slow independent computation; training, resuming, settings."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any, cast

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
from benchmark.methods._parts.crops import cut, fold
from benchmark.methods.igd import Igd
from benchmark.methods.igd.encoder import IgdEncoder, distance, padded, windows
from benchmark.methods.igd.gsvdd import Gsvdd, PublishedGsvdd, SoftBoundary, descriptor, pushed
from benchmark.methods.igd.model import (
    ScaleModel,
    critic_loss,
    generator_losses,
    interpolated,
    reconstruction,
)
from benchmark.methods.igd.networks import Critic, Decoder, ImageNorm, PatchEncoder
from benchmark.methods.igd.scoring import image_weights, map_weights
from benchmark.methods.igd.training import ScaleTraining, Schedule
from benchmark.methods.igd.views import Views
from benchmark.runner.estimate import Rehearsal

from ..helpers import KilledAfter, noise, save_after_every_step

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


def model(published: bool = False) -> ScaleModel:
    """A local model as initialised."""
    torch.manual_seed(0)
    gsvdd = descriptor("gsvdd", published, 0.5, 1.0)
    return ScaleModel("local", (32, 32), 512, gsvdd, published=published)


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
    sphere = SoftBoundary(4)
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
    net = model()
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


def test_interpolation_pairs_every_code_with_another_images() -> None:
    codes, alpha = torch.randn(4, 128), torch.rand(4)
    found = interpolated(codes, alpha)
    for i in range(4):
        torch.testing.assert_close(found[i], alpha[i] * codes[i] + (1 - alpha[i]) * codes[3 - i])


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


def slow_parts(
    detector: Igd, scale: str, pixels: Tensor
) -> list[tuple[int, int, float, float, Tensor]]:
    """Top, left, reconstruction, description and map of each window of one image (3, 64, 64),
    by a formula of its own for everything but the similarities."""
    net = detector._model(scale)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    image = (pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    places = [(0, 0)] if scale == "global" else list(itertools.product((0, 16, 32), repeat=2))
    out = []
    for top, left in places:
        x = image[None, :, top : top + net.sides[0], left : left + net.sides[1]]
        if net.body is not None:
            codes = net.code(net.body(x))
        else:
            place = context(64)
            codes = net.code(place.features(Batch(pixels[None], ("alone",)), detector._spec())[0])
        rebuilt, gsvdd = net.decoder(codes), cast(Gsvdd, net.descriptor)
        gap = (x - rebuilt)[0] / 4.7579
        away = sum(float(codes[0, j] - gsvdd.centre[j]) ** 2 for j in range(128))
        described = 1 - math.exp(-away / float(gsvdd.variance))
        signed = detector.formulation == "public_code" and scale == "local"
        error = float(gap.mean() if signed else gap.abs().mean())
        rebuilding = 0.15 * error + 0.85 * (1 - float(net.similarity(x, rebuilt)))
        if detector.formulation == "public_code":
            mixed = 0.85 * net.similarity.stacked_gap(x, rebuilt)[0] + 0.15 * gap.abs()
            shown = 0.2989 * mixed[0] + 0.5870 * mixed[1] + 0.1140 * mixed[2]
        else:
            shown = 0.15 * gap.abs() + 0.85 * (1 - net.similarity.pixelwise(x, rebuilt)[0])
            shown = shown.mean(0)
        out.append((top, left, rebuilding, described, shown))
    return out


@pytest.mark.parametrize("formulation", ["equations", "public_code"])
@pytest.mark.parametrize("scales", [("global", "local"), ("local",), ("global",)])
@torch.no_grad()
def test_scores_parts_and_maps_are_the_slow_sums(formulation: str, scales: tuple[Any, ...]) -> None:
    """Equations 11 and 12, and the official scripts, window by window in plain Python."""
    given = {**SMALL, "steps": 1, "backbone": "squeezenet1_1", "patches": 1, "scales": scales}
    detector = Igd(**given, formulation=cast(Any, formulation), xi=0.3, beta=0.2)
    place = context(64)
    with torch.enable_grad():
        detector.fit(images(4, 64), place)
    batch = images(3, 64, seed=1).batch([0, 1, 2])
    found = detector.predict(batch, place)
    assert found.maps is not None
    published = formulation == "public_code"
    parts: dict[str, float] = {}
    shown = {}
    for scale in scales:
        judged = slow_parts(detector, scale, batch.pixels[1])
        low = (0.9, 0.1) if len(scales) == 2 else (0.5, 0.5)
        best = max(judged, key=lambda w: low[0] * w[2] + low[1] * w[3])
        for i, name in ((2, "reconstruction"), (3, "description")):
            mean = sum(float(cast(Any, w[i])) for w in judged) / len(judged)
            parts[f"{name}_{scale}"] = float(cast(Any, best[i])) if published else mean
        total, count = torch.zeros(64, 64), torch.zeros(64, 64)
        for top, left, _, _, values in judged:
            here = (slice(top, top + len(values)), slice(left, left + len(values)))
            total[here] += values
            count[here] += 1
        shown[scale] = total if published else total / count
    assert found.parts.keys() == parts.keys()
    for name, value in parts.items():
        assert float(found.parts[name][1]) == pytest.approx(value, rel=1e-3, abs=1e-5), name
    if len(scales) == 1:
        share = 0.5 if published else 0.3
        score = share * parts[f"reconstruction_{scales[0]}"]
        score += (1 - share) * parts[f"description_{scales[0]}"]
        blend = shown[scales[0]]
    elif published:
        score = 0.5 * (0.1 * parts["reconstruction_global"] + 0.9 * parts["description_global"])
        score += 0.5 * (0.9 * parts["reconstruction_local"] + 0.1 * parts["description_local"])
        blend = 0.5 * shown["global"] + 0.5 * shown["local"]
    else:
        rebuilt = 0.2 * parts["reconstruction_global"] + 0.8 * parts["reconstruction_local"]
        score = 0.3 * rebuilt + 0.7 * parts["description_global"]
        blend = 0.2 * shown["global"] + 0.8 * shown["local"]
    assert float(found.scores[1]) == pytest.approx(score, rel=1e-3, abs=1e-5)
    torch.testing.assert_close(found.maps[1], blend, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("scales", [("global", "local"), ("local",)])
def test_weights_of_parts_and_of_maps_sum_to_one(published: bool, scales: tuple[str, ...]) -> None:
    weights = image_weights(scales, published=published, xi=0.3, beta=0.2)
    assert sum(weights.values()) == pytest.approx(1.0)
    shares = map_weights(scales, published=published, beta=0.2)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_without_a_descriptor_there_are_no_parts_of_one() -> None:
    place = context()
    detector = Igd(**SMALL, descriptor="none").fit(images(6), place)
    found = detector.predict(images(2, seed=1).batch([0, 1]), place)
    assert list(found.parts) == ["reconstruction_local"]
    torch.testing.assert_close(found.scores, 0.5 * found.parts["reconstruction_local"])


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
        fresh.inputs_ = detector.inputs_
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


@pytest.mark.parametrize("where", [("global model", 1), ("local model", 1)])
def test_goes_on_after_a_kill_as_if_nothing_had_happened(
    where: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SMALL, "backbone": "squeezenet1_1", "patches": 1, "steps": 2}
    settings["encoder"] = "distilled_on_train"
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
    place.progress = Rehearsal()
    detector = Igd(**{**SMALL, "epochs": 9}).fit(images(8), place)
    assert detector.predict(images(1).batch([0]), place).scores.isfinite().all()


def test_divergence_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DetectorError, match=r"local model: training diverged.*learning_rate="):
        Igd(**{**SMALL, "epochs": 2}, learning_rate=1e30).fit(images(6), context())


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
        {"xi": 1.5},
        {"e_steps": 0},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="igd: "):
        Igd(**wrong)


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
