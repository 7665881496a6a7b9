"""DRAEM: its networks' sizes, planted defects, loss and score; each augmenter against its source."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torch.nn import functional as F

from benchmark import Context, Geometry
from benchmark.methods._parts.anomaly_masks import focal_loss, perlin_masks
from benchmark.methods._parts.msssim import MsSsim
from benchmark.methods._parts.textures import Source
from benchmark.methods.draem import Draem, planted
from benchmark.methods.draem.augmenters import AUGMENTERS, Draws, augmented
from benchmark.methods.draem.networks import DraemNetworks

from ..helpers import noise

FAST: dict[str, Any] = {"textures": "drawn", "width": 4, "steps": 1, "batch": 4}
BY_NAME = {f.__name__: f for f in AUGMENTERS}
Slow = Callable[[NDArray[Any], Draws], NDArray[Any]]
"""From uint8 (H, W, 3) and the same draws to values in [0, 255]."""


@pytest.fixture(scope="module")
def fitted() -> tuple[Draem, Context]:
    place = Context.alone(geometry=Geometry(resize=32))
    return Draem(**FAST).fit(noise(4, side=32), place), place


def test_networks_have_the_official_sizes() -> None:
    with torch.device("meta"):
        networks = DraemNetworks()
        rebuilt, logits = networks(torch.empty(2, 3, 64, 96))
    assert rebuilt.shape == (2, 3, 64, 96) and logits.shape == (2, 2, 64, 96)
    counts = [
        sum(p.numel() for p in network.parameters())
        for network in (networks.reconstruct, networks.discriminate)
    ]
    assert counts == [69_048_579, 28_374_146], "97.42 million, as others count the official code"


def test_defects_are_textures_under_perlin_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.methods.draem.augmented", lambda textures, _: textures)
    pixels = torch.rand(12, 3, 64, 64)
    source = Source(None, Context.alone())
    odd, masks = planted(pixels, source, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    wanted = perlin_masks(12, (64, 64), generator)
    textures = source.draw(12, (64, 64), generator)
    beta = 0.8 * torch.rand(12, 1, 1, 1, generator=generator)
    assert torch.equal(masks, wanted) and 0 < int(masks.flatten(1).any(1).sum()) < 12
    slow = (1 - masks) * pixels + masks * ((1 - beta) * textures + beta * pixels)
    torch.testing.assert_close(odd, slow)
    assert float(beta.max()) > 0.5


def test_loss_has_three_terms_and_reaches_both_networks(fitted: tuple[Draem, Context]) -> None:
    detector, place = fitted
    detector.networks_.eval()
    pixels, odd = torch.rand(2, 2, 3, 32, 32)
    masks = (torch.rand(2, 1, 32, 32) > 0.7).float()
    loss = detector._loss(pixels, odd, masks, place)
    rebuilt = detector.networks_.reconstruct(odd)
    logits = detector.networks_.discriminate(torch.cat([rebuilt, odd], 1))
    similar = MsSsim((1.0,), 11, span=1.0)(rebuilt, pixels).mean()
    wanted = (rebuilt - pixels).square().mean() + 1 - similar + focal_loss(logits, masks)
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-4)
    (slope,) = torch.autograd.grad(focal_loss(logits, masks), rebuilt)
    assert float(slope.abs().sum()) > 0, "the mask's loss teaches the reconstruction, too"


def test_score_is_the_largest_mean_of_21_by_21_pixels(fitted: tuple[Draem, Context]) -> None:
    detector, place = fitted
    batch = noise(2, seed=1, side=32).batch([0, 1])
    prediction = detector.predict(batch, place)
    assert prediction.maps is not None
    for b in range(2):
        padded = F.pad(prediction.maps[b], (10, 10, 10, 10)).double()
        slow = max(float(padded[y : y + 21, x : x + 21].mean()) for y, x in np.ndindex(32, 32))
        assert float(prediction.scores[b]) == pytest.approx(slow, rel=1e-4)
    assert detector.facts()["textures"] == {"origin": "drawn"}


def picture(image: NDArray[Any]) -> Image.Image:
    return Image.fromarray(image)


def slow_gamma(image: NDArray[Any], draws: Draws) -> NDArray[Any]:
    return np.asarray(255 * (image / 255) ** draws.between(0.5, 2, 3))


def slow_brightness(image: NDArray[Any], draws: Draws) -> NDArray[Any]:
    factor, shift = draws.between(0.8, 1.2)[0], draws.between(-30 / 255, 30 / 255)[0]
    first = draws.below(2)
    out = np.empty(image.shape)
    for y, x in np.ndindex(*image.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*(image[y, x] / 255))
        v = (v + shift) * factor if first else v * factor + shift
        out[y, x] = colorsys.hsv_to_rgb(h, s, min(max(v, 0), 1))
    return 255 * out


def slow_sharpness(image: NDArray[Any], draws: Draws) -> NDArray[Any]:
    return np.asarray(ImageEnhance.Sharpness(picture(image)).enhance(draws.between(0, 2)[0]))


def slow_hue(image: NDArray[Any], draws: Draws) -> NDArray[Any]:
    turn, more = draws.between(-50 / 255, 50 / 255, 2)
    out = np.empty(image.shape)
    for y, x in np.ndindex(*image.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*(image[y, x] / 255))
        out[y, x] = colorsys.hsv_to_rgb((h + turn) % 1, min(max(s + more, 0), 1), v)
    return 255 * out


def slow_solarise(image: NDArray[Any], draws: Draws) -> NDArray[Any]:
    threshold, on = draws.between(32, 128)[0], draws.below(2)
    return np.where(image >= threshold, 255 - image, image) if on else image


def slow_posterise(image: NDArray[Any], draws: Draws) -> NDArray[Any]:
    return np.asarray(ImageOps.posterize(picture(image), 1 + draws.below(8)))


def slow_autocontrast(image: NDArray[Any], draws: Draws) -> NDArray[Any]:
    cut = 100 * draws.between(0, 0.2)[0]
    return np.asarray(ImageOps.autocontrast(picture(image), cut))


def slow_equalise(image: NDArray[Any], draws: Draws) -> NDArray[Any]:
    return np.asarray(ImageOps.equalize(picture(image)))


def slow_rotate(image: NDArray[Any], draws: Draws) -> NDArray[Any]:
    turned = picture(image).rotate(draws.between(-45, 45)[0], Image.Resampling.BILINEAR)
    return np.asarray(turned)


SLOW: dict[str, tuple[Slow, float]] = {  # allowed difference of most pixels, of 255
    "gamma": (slow_gamma, 0.01),
    "brightness": (slow_brightness, 1.0),
    "sharpness": (slow_sharpness, 1.5),
    "hue_and_saturation": (slow_hue, 1.0),
    "solarise": (slow_solarise, 0.01),
    "posterise": (slow_posterise, 0.01),
    "invert": (lambda image, _: 255 - image, 0.01),
    "autocontrast": (slow_autocontrast, 2.5),
    "equalise": (slow_equalise, 1.5),
    "rotate": (slow_rotate, 1.5),  # black corners are cut half a pixel apart
}


@pytest.mark.parametrize("name", SLOW)
def test_augmenter_does_what_its_source_does(name: str) -> None:
    assert set(SLOW) == set(BY_NAME)
    slow, allowed = SLOW[name]
    rng = np.random.default_rng(3)
    coarse = picture(rng.integers(20, 230, (6, 6, 3), np.uint8))
    image = np.asarray(coarse.resize((32, 32), Image.Resampling.BICUBIC))
    texture = torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255
    moved = 0.0
    for seed in range(4):
        fast = BY_NAME[name](texture, Draws(torch.Generator().manual_seed(seed)))
        wanted = slow(image, Draws(torch.Generator().manual_seed(seed))).astype(float)
        found = 255 * fast.clamp(0, 1).permute(1, 2, 0).double().numpy()
        gap = np.abs(found - wanted)[2:-2, 2:-2]  # borders are treated in other ways
        assert np.quantile(gap, 0.9) <= allowed, f"seed {seed}: {np.quantile(gap, 0.9)}"
        moved = max(moved, float(np.abs(wanted - image).mean()))
    assert moved > 1, "it changes something"


def test_three_different_augmenters_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    def noted(i: int) -> Callable[[Tensor, Draws], Tensor]:
        def change(texture: Tensor, _: Draws) -> Tensor:
            used.append(i)
            return texture

        return change

    monkeypatch.setattr(
        "benchmark.methods.draem.augmenters.AUGMENTERS", tuple(noted(i) for i in range(10))
    )
    augmented(torch.rand(50, 3, 4, 4), torch.Generator().manual_seed(0))
    triples = [tuple(used[i : i + 3]) for i in range(0, 150, 3)]
    assert all(len(set(triple)) == 3 for triple in triples)
    assert set(used) == set(range(10)) and any(t[0] > t[1] for t in triples)
