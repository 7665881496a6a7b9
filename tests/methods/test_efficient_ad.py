"""EfficientAD-S: sizes of its networks, loss and map against slow computations, its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmark import Context, Geometry
from benchmark.errors import DetectorError
from benchmark.methods._parts.distillation import ImageNetInput
from benchmark.methods._parts.textures import Photographs
from benchmark.methods.efficient_ad import EfficientAd, hardest, jittered
from benchmark.methods.efficient_ad.networks import auto_encoder, patch_network, patches
from benchmark.methods.efficient_ad.teacher import EfficientAdTeacher, partly_grey

from ..helpers import noise

TEACHER: dict[str, Any] = {"backbone": "resnet18", "side": 128, "steps": 1, "batch": 2}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[EfficientAd, Context]:
    """One step with a teacher and photographs that are assets."""
    folder = tmp_path_factory.mktemp("assets")
    place = Context.alone(geometry=Geometry(resize=64), assets_dir=folder)
    teacher, photographs = EfficientAdTeacher(**TEACHER), Photographs(origin="noise")
    for asset in (teacher, photographs):
        context = Context.alone(geometry=Geometry(resize=64))
        asset.save(asset.build(noise(2, side=128), context), {}, folder)
    place.asset_settings = {teacher.name: TEACHER, photographs.name: {"origin": "noise"}}
    return EfficientAd(steps=1).fit(noise(4), place), place


def test_networks_have_the_published_sizes() -> None:
    with torch.device("meta"):
        sizes = [patch_network(384), patch_network(768), auto_encoder((256, 256))]
        whole = torch.empty(1, 3, 256, 256)
        assert sizes[0](whole).shape == sizes[2](whole).shape == (1, 384, 56, 56)
        assert patch_network(384, padded=True)(whole).shape == (1, 384, 64, 64)
        for side in (64, 100, 128):
            small = torch.empty(1, 3, side, side + 32)
            grid = (patches(side), patches(side + 32))
            assert auto_encoder((side, side + 32))(small).shape[2:] == grid
            assert patch_network(8)(small).shape[2:] == grid
    counts = [sum(p.numel() for p in network.parameters()) for network in sizes]
    # kernel² · inside · outside + outside, layer by layer
    description = 16 * 3 * 128 + 128 + 16 * 128 * 256 + 256 + 9 * 256 * 256 + 256
    down = sum(16 * i * o + o for i, o in ((3, 32), (32, 32), (32, 64), (64, 64), (64, 64)))
    up = 6 * (16 * 64 * 64 + 64) + 9 * 64 * 64 + 64 + 9 * 64 * 384 + 384
    assert counts == [
        description + 16 * 256 * 384 + 384,
        description + 16 * 256 * 768 + 768,
        down + 64 * 64 * 64 + 64 + up,
    ]
    assert sum(counts) == 8_057_856, "the published 8 million"


def test_hardest_are_the_distances_from_the_quantile_on() -> None:
    for count in (10, 999, 1001, 5000):
        distances = torch.rand(count) ** 2
        limit = np.quantile(distances.double().numpy(), 0.999)
        slow = distances[distances.double() >= limit].mean()
        assert float(hardest(distances)) == pytest.approx(float(slow), rel=1e-5)


def test_loss_has_the_four_published_terms(fitted: tuple[EfficientAd, Context]) -> None:
    detector, _ = fitted
    detector.networks_.eval()
    pixels, changed, other = torch.rand(3, 1, 3, 64, 64)
    normal = ImageNetInput()
    mean, std = (v.view(1, -1, 1, 1) for v in detector.scale_)
    with torch.no_grad():
        taught, whole = ((detector.teacher_(normal(x)) - mean) / std for x in (pixels, changed))
        student = detector.networks_.student
        gap = (taught - student(normal(pixels))[:, :384]).square()
        wanted = gap[gap >= torch.quantile(gap, 0.999)].mean()
        without = float(wanted)
        wanted = wanted + (student(normal(other))[:, :384] ** 2).mean()
        rebuilt = detector.networks_.auto_encoder(normal(changed))
        rest = ((rebuilt - whole) ** 2).mean()
        rest = rest + ((student(normal(changed))[:, 384:] - rebuilt) ** 2).mean()
        found = float(detector._loss(pixels, changed, other))
        assert found == pytest.approx(float(wanted + rest), rel=1e-4)
        found = float(detector._loss(pixels, changed, None))
        assert found == pytest.approx(without + float(rest), rel=1e-4)


def test_map_scales_both_distances_by_held_out_images(fitted: tuple[EfficientAd, Context]) -> None:
    detector, place = fitted
    batch = noise(2, seed=1).batch([0, 1])
    prediction = detector.predict(batch, place)
    normal = ImageNetInput()(batch.pixels)
    with torch.no_grad():
        mean, std = (v.view(1, -1, 1, 1) for v in detector.scale_)
        taught = (detector.teacher_(normal) - mean) / std
        student = detector.networks_.student(normal)
        rebuilt = detector.networks_.auto_encoder(normal)
    total = torch.zeros(2, 8, 8)
    pairs = ((taught, student[:, :384]), (rebuilt, student[:, 384:]))
    for (a, b), (low, high) in zip(pairs, detector.limits_.tolist(), strict=True):
        total += 0.5 * 0.1 * ((a - b).square().mean(1) - low) / (high - low)
    padded = F.pad(total, (4, 4, 4, 4))
    wanted = F.interpolate(padded[:, None], size=(64, 64), mode="bilinear")[:, 0]
    assert prediction.maps is not None
    torch.testing.assert_close(prediction.maps, wanted, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(prediction.scores, wanted.amax((1, 2)), atol=1e-4, rtol=1e-3)
    assert set(prediction.parts) == {"local", "global"}


def test_records_say_which_teacher_and_photographs(fitted: tuple[EfficientAd, Context]) -> None:
    facts = fitted[0].facts()
    assert len(facts["teacher"]["sha256"]) == 16
    assert facts["photographs"]["origin"] == "noise" and facts["steps"] == 1


def test_teacher_imitates_standardised_descriptors() -> None:
    asset = EfficientAdTeacher(**TEACHER)
    place = Context.alone(geometry=Geometry(resize=128))
    images = noise(4, side=128)
    mean, std = asset._scale(images, 2, place)
    described = asset._described(images.batch(range(4)).pixels, place)
    assert described.shape == (4, 384, 16, 16)
    standard = (described - mean) / std
    assert float(standard.mean((0, 2, 3)).abs().max()) < 1e-3
    assert abs(float(standard.std((0, 2, 3)).median()) - 1) < 1e-2, "some never change"
    grey = partly_grey(images.batch(range(4)).pixels, 1.0, torch.Generator())
    assert torch.equal(grey[:, 0], grey[:, 2]) and grey.shape[1] in (1, 3)


def test_one_of_three_colour_changes_is_made() -> None:
    pixels = torch.rand(1, 3, 8, 8) * 0.4 + 0.3
    seen = set()
    for seed in range(12):
        out = jittered(pixels, torch.Generator().manual_seed(seed))
        ratio = out / pixels
        bright = float(ratio.std()) < 1e-4
        grey = (pixels * torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)
        after = (out * torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)
        kept = torch.allclose(grey, after, atol=1e-3)
        seen.add("brightness" if bright else "saturation" if kept else "contrast")
        assert 0 < float((out - pixels).abs().max()) < 0.2
    assert seen == {"brightness", "contrast", "saturation"}


def test_images_that_are_too_small_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"efficient_ad: images of 32×32 .*at least 64"):
        EfficientAd(**EfficientAd.smoke).fit(noise(2, side=32), Context.alone())
