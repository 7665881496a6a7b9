"""IGD: networks, descriptors, losses and scores against slow independent computations."""

from __future__ import annotations

import itertools
import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark import Batch
from benchmark.methods._parts.crops import cut, fold
from benchmark.methods.igd import Igd
from benchmark.methods.igd.encoder import padded
from benchmark.methods.igd.gsvdd import Gsvdd, PublishedGsvdd, SoftBoundary, pushed
from benchmark.methods.igd.model import (
    critic_loss,
    generator_losses,
    interpolated,
)
from benchmark.methods.igd.networks import Critic, Decoder, ImageNorm, PatchEncoder
from benchmark.methods.igd.scoring import image_weights, map_weights

from .small import SMALL, context, images, model

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


@pytest.mark.parametrize("published", [False, True], ids=["equations", "public_code"])
def test_an_image_unlike_its_original_is_led_back_by_the_equations_alone(published: bool) -> None:
    x = torch.randn(2, 3, 32, 32)
    opposite = (-x).requires_grad_()
    found = model(published).similarity(x, opposite)
    found.sum().backward()
    assert opposite.grad is not None and not bool(found.any())
    assert bool(opposite.grad.any()) is not published


def test_interpolation_pairs_every_code_with_another_images() -> None:
    codes, alpha = torch.randn(4, 128), torch.rand(4)
    found = interpolated(codes, alpha)
    for i in range(4):
        torch.testing.assert_close(found[i], alpha[i] * codes[i] + (1 - alpha[i]) * codes[3 - i])


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
