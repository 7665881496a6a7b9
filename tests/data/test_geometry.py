"""How images, masks and maps are brought to an input."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from benchmark import Geometry
from benchmark.errors import SettingsError
from benchmark.plugins.registry import Registry

SIZES = [(300, 400), (400, 300), (256, 256), (1024, 1000), (257, 511)]


@pytest.mark.parametrize("size", SIZES)
def test_paper_geometry_gives_torchvisions_pixels(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    got = Geometry(resize=256, crop=224).image(pixels)
    want = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(Image.fromarray(pixels))
    np.testing.assert_array_equal(got, np.asarray(want))


@pytest.mark.parametrize("size", SIZES)
def test_masks_stay_binary_and_where_the_image_is(size: tuple[int, int]) -> None:
    mask = np.zeros(size, bool)
    mask[size[0] // 2 - 40 : size[0] // 2 + 40, size[1] // 2 - 60 : size[1] // 2 + 20] = True
    geometry = Geometry(resize=256, crop=224)
    got = geometry.mask(mask)
    assert got.shape == (224, 224) and got.dtype == bool
    picture = geometry.image(np.repeat(mask[..., None] * np.uint8(255), 3, 2))[..., 0] > 127
    assert (got != picture).mean() < 0.01


def test_eval_crop_and_size_cut_maps_and_masks_alike() -> None:
    mask = np.zeros((512, 512), bool)
    mask[200:300, 200:300] = True
    crop = Geometry(resize=(256, 256), eval_crop=224)
    assert crop.mask(mask).shape == crop.map_window(np.zeros((256, 256))).shape == (224, 224)
    fine = Geometry(resize=(256, 256), eval_size=512)
    np.testing.assert_array_equal(fine.mask(mask), mask)
    assert fine.from_json(fine.as_json()) == fine
    with pytest.raises(SettingsError, match="larger than the resized image"):
        Geometry(resize=200, crop=224)


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES)
def test_without_antialias_the_samples_are_torchs(
    size: tuple[int, int], filter: Literal["bilinear", "bicubic"]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    got = Geometry(resize=100, antialias=False, filter=filter).image(pixels)
    resize = v2.Resize(100, v2.InterpolationMode(filter), antialias=False)
    want = resize(torch.from_numpy(pixels).permute(2, 0, 1).float()).round().clamp(0, 255)
    np.testing.assert_array_equal(got, want.permute(1, 2, 0).numpy())
    averaged = Geometry(resize=100, filter=filter).image(pixels)
    assert (got != averaged).mean() > 0.5


@pytest.mark.parametrize(
    ("geometry", "side", "scaled"),
    [
        (Geometry(resize=256, crop=224), 112, Geometry(resize=128, crop=112)),
        (
            Geometry(resize=(256, 256), antialias=False, eval_crop=224),
            128,
            Geometry(resize=(128, 128), antialias=False, eval_crop=112),
        ),
        (
            Geometry(resize=(300, 600), crop=200, filter="bicubic", eval_crop=100, eval_size=512),
            50,
            Geometry(resize=(75, 150), crop=50, filter="bicubic", eval_crop=25, eval_size=512),
        ),
        (Geometry(resize=256), 100, Geometry(resize=100)),
        (Geometry(resize=None), 64, Geometry(resize=(64, 64))),
    ],
)
def test_a_geometry_is_scaled_in_proportion(
    geometry: Geometry, side: int, scaled: Geometry
) -> None:
    assert geometry.scaled(side) == scaled


def test_every_published_geometry_shows_the_same_part_at_any_size() -> None:
    registry = Registry()
    for name in registry.names("method"):
        paper = registry.method(name)[0].paper
        for side in range(32, 300, 7):
            scaled = paper.scaled(side)
            pixels = np.zeros((2 * side, 2 * side, 3), np.uint8)
            assert scaled.image(pixels).shape == (side, side, 3), f"{name} at {side}"
            assert replace(scaled, resize=None, crop=None, eval_crop=None) == replace(
                paper, resize=None, crop=None, eval_crop=None
            ), f"{name} at {side}"
            wanted, found = (_shares(geometry) for geometry in (paper, scaled))
            assert found == pytest.approx(wanted, abs=1 / side), f"{name} at {side}"


def _shares(geometry: Geometry) -> tuple[float, float]:
    """What the detector sees of the resized image's side, and what is measured of that."""
    resized = geometry.resized(512, 512)[0]
    seen = geometry.crop or resized
    return seen / resized, (geometry.eval_crop or seen) / seen


def test_crops_of_an_image_of_any_size_cannot_be_scaled() -> None:
    with pytest.raises(SettingsError, match="own size cannot be scaled.*without --image-size"):
        Geometry(resize=None, crop=224).scaled(112)
