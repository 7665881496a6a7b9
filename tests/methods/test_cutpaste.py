"""CutPaste: what is pasted where, the network, the density, patches and their map."""

from __future__ import annotations

import colorsys
import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from benchmark import Context, Geometry
from benchmark.methods.cutpaste import HEAD, Cutpaste
from benchmark.methods.cutpaste import planted as _planted
from benchmark.methods.cutpaste.networks import Classifier, Encoder, spread
from benchmark.methods.cutpaste.planted import Cuts, pasted, recoloured, rectangles, scars

from ..helpers import noise

FAST: dict[str, Any] = {"backbone": "test_resnet", "batch": 2, "steps": 1}


def context() -> Context:
    return Context.alone(geometry=Geometry(resize=32))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_rectangles_have_the_published_area_and_aspect() -> None:
    cuts = rectangles(4000, (256, 256), generator())
    area = cuts.height * cuts.width / 256**2
    assert 0.018 < float(area.min()) and float(area.max()) < 0.155
    assert abs(float(area.mean()) - 0.085) < 0.003, "uniform from .02 to .15"
    aspect = (cuts.width / cuts.height).log() / math.log(1 / 0.3)
    assert float(aspect.abs().max()) < 1.05 and abs(float(aspect.mean())) < 0.05
    assert abs(float((aspect.abs() < 0.5).float().mean()) - 0.5) < 0.05, "its logarithm is uniform"


def test_scars_are_thin_turned_and_as_large_as_the_image_asks() -> None:
    large, small = (scars(2000, unit, generator()) for unit in (1.0, 0.5))
    assert 10 <= float(large.height.min()) and float(large.height.max()) <= 25
    assert 2 <= float(large.width.min()) and float(large.width.max()) <= 16
    assert abs(float(large.height.mean()) - 17.5) < 0.5 and abs(float(large.width.mean()) - 9) < 0.5
    assert 0.95 < float(large.turn.abs().max()) / math.radians(45) <= 1
    torch.testing.assert_close(small.height, large.height / 2)


def test_an_upright_paste_is_a_copy_of_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_planted, "recoloured", lambda pixels, _: pixels)
    pixels = torch.rand(20, 3, 24, 32)
    cuts = Cuts(torch.full((20,), 5.0), torch.full((20,), 8.0), torch.zeros(20))
    out = pasted(pixels, cuts, generator())
    # places again, as drawn
    draws = torch.rand(2, 2, 20, generator=generator())
    room = torch.tensor([24 - 5, 32 - 8]).view(2, 1)
    (top, left), (below, right) = (draws * (room + 1)).floor().int().tolist()
    for i in range(20):
        slow = pixels[i].clone()
        part = pixels[i, :, top[i] : top[i] + 5, left[i] : left[i] + 8]
        slow[:, below[i] : below[i] + 5, right[i] : right[i] + 8] = part
        torch.testing.assert_close(out[i], slow, atol=1e-5, rtol=0)


def test_a_turned_paste_covers_a_turned_rectangle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_planted, "recoloured", lambda pixels, _: pixels * 0 + 1)
    cuts = Cuts(torch.tensor([20.0]), torch.tensor([6.0]), torch.tensor([math.radians(40)]))
    out = pasted(torch.zeros(1, 3, 64, 64), cuts, generator(2))[0, 0]
    assert abs(float(out.sum()) - 120) < 12
    y, x = (axis.double() for axis in torch.nonzero(out > 0.5, as_tuple=True))
    spread_ = torch.cov(torch.stack([y, x]))
    values, vectors = torch.linalg.eigh(spread_)
    assert float(values[1]) == pytest.approx(20**2 / 12, rel=0.2)
    long = vectors[:, 1]
    assert abs(abs(math.degrees(math.atan2(float(long[1]), float(long[0])))) % 180 - 40) < 5 or (
        abs(abs(math.degrees(math.atan2(float(long[1]), float(long[0])))) % 180 - 140) < 5
    )


def test_recolouring_keeps_grey_grey_and_turns_hues() -> None:
    grey = torch.rand(30, 1, 8, 8).expand(-1, 3, -1, -1) * 0.5 + 0.2
    out = recoloured(grey, generator())
    assert float((out - out.mean(1, keepdim=True)).abs().max()) < 1e-5
    assert 0.02 < float((out - grey).abs().amax((1, 2, 3)).mean()) < 0.2
    red = torch.tensor([0.7, 0.3, 0.3]).view(1, 3, 1, 1).expand(300, 3, 4, 4)
    changed = recoloured(red, generator())[:, :, 0, 0].tolist()
    hues = np.array([(colorsys.rgb_to_hsv(*c)[0] + 0.5) % 1 - 0.5 for c in changed])
    assert 0.08 < np.abs(hues).max() < 0.12 and abs(hues.mean()) < 0.01


def test_network_is_resnet_18_with_the_ports_head() -> None:
    with torch.device("meta"):
        classifier = Classifier(Encoder("resnet18"), 3, HEAD)
    wanted = 11_176_512 + 512 * 512 + 2 * 512 + 512 * 128 + 2 * 128 + 128 * 3 + 3
    assert sum(p.numel() for p in classifier.parameters()) == wanted


def test_a_step_holds_every_kind_of_every_image() -> None:
    pixels = torch.rand(2, 3, 64, 64)
    three = Cutpaste()._kinds(pixels, generator())
    assert three.shape == (6, 3, 64, 64)
    changed = [(three[i] != three[i % 2]).any(0).float().mean() for i in range(6)]
    assert changed[0] == changed[1] == 0
    assert all(0.015 < c < 0.16 for c in changed[2:4]) and all(0 < c < 0.03 for c in changed[4:])
    assert Cutpaste(variant="scar")._kinds(pixels, generator()).shape == (4, 3, 64, 64)
    assert Cutpaste(patch=0.25)._kinds(pixels, generator()).shape == (6, 3, 16, 16)


def test_score_is_the_mahalanobis_distance_of_unit_features() -> None:
    place, train = context(), noise(6, side=32)
    detector = Cutpaste(pretrained=True, epochs=0).fit(train, place)
    assert not detector.draws and detector.facts()["steps"] == 0
    batch = noise(2, seed=1, side=32).batch([0, 1])

    def unit(pixels: torch.Tensor) -> np.ndarray:
        found = place.backbone("resnet18")(pixels, ("pooled",))[0].double().numpy()
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))

    density = LedoitWolf().fit(unit(train.batch(range(6)).pixels))
    # the smallest share of the identity that keeps the factorisation stable
    covariance = density.covariance_ + 1e-6 * density.covariance_.diagonal().mean() * np.eye(512)
    gaps = unit(batch.pixels) - density.location_
    slow = np.sqrt(np.einsum("bi,ij,bj->b", gaps, np.linalg.inv(covariance), gaps))
    np.testing.assert_allclose(detector.predict(batch, place).scores.numpy(), slow, rtol=1e-3)


def test_patches_are_scored_one_by_one_and_spread() -> None:
    place = context()
    detector = Cutpaste(**FAST, patch=0.25, stride=6).fit(noise(3, side=32), place)
    batch = noise(2, seed=1, side=32).batch([0, 1])
    prediction = detector.predict(batch, place)
    rows, grid = detector._describe(batch.pixels, 6, place)
    assert grid == (5, 5)
    with torch.no_grad():
        one = detector.encoder_(batch.pixels[1:, :, 6:14, 12:20])[0]
    torch.testing.assert_close(rows[1, 5 + 2], one / one.norm(), atol=1e-5, rtol=1e-3)
    assert prediction.maps is not None and prediction.maps.shape == (2, 32, 32)
    distances = ((rows - detector.mean_) @ detector.whitener_.T).norm(dim=2)
    torch.testing.assert_close(prediction.scores, distances.amax(1))


def test_spreading_is_a_weighted_mean_of_the_patches_over_a_pixel() -> None:
    scores = torch.rand(1, 3, 4)
    found = spread(scores, (15, 20), 6, 4)[0]
    deviation = 0.3 * (2.5 - 1) + 0.8
    for y, x in ((0, 0), (7, 9), (13, 17)):
        total = weight = 0.0
        for row in range(3):
            for column in range(4):
                dy, dx = y - 4 * row - 2.5, x - 4 * column - 2.5
                if abs(dy) < 3 and abs(dx) < 3:
                    share = math.exp(-(dy**2 + dx**2) / (2 * deviation**2))
                    total += share * float(scores[0, row, column])
                    weight += share
        assert float(found[y, x]) == pytest.approx(total / weight, rel=1e-5)
    assert torch.equal(found[14], found[13]) and torch.equal(found[:, 19], found[:, 17])
