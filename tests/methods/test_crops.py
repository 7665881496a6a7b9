"""Crops of images, on a grid and at random, and maps folded back."""

from __future__ import annotations

import pytest
import torch

from benchmark.errors import DetectorError
from benchmark.methods._parts.crops import check_grid, fold, grid_crops, random_crops


def test_crops_are_windows_of_their_images() -> None:
    pixels = torch.arange(2 * 3 * 16 * 16).float().view(2, 3, 16, 16)
    crops = random_crops(pixels, 8, torch.Generator().manual_seed(0))
    assert crops.shape == (2, 3, 8, 8)
    for image, crop in zip(pixels, crops, strict=True):
        windows = image[0].unfold(0, 8, 1).unfold(1, 8, 1).reshape(-1, 64)
        assert (windows == crop[0].flatten()).all(1).any()


def test_a_fold_of_the_images_own_crops_is_the_image() -> None:
    pixels = torch.rand(2, 1, 16, 20)
    crops = grid_crops(pixels, 8, 4)
    assert torch.equal(crops[4 + 1], pixels[0, :, 4:12, 4:12])  # 3 rows of 4 crops
    back = fold(crops[:, 0], 2, (16, 20), 4)
    torch.testing.assert_close(back, pixels[:, 0])


def test_a_fold_averages_the_crops_that_show_a_pixel() -> None:
    maps = torch.rand(2 * 9, 8, 8)
    want, seen = torch.zeros(2, 16, 16), torch.zeros(16, 16)
    for i, one in enumerate(maps):
        row, column = divmod(i % 9, 3)
        want[i // 9, 4 * row : 4 * row + 8, 4 * column : 4 * column + 8] += one
        seen[4 * row : 4 * row + 8, 4 * column : 4 * column + 8] += 0.5
    torch.testing.assert_close(fold(maps, 2, (16, 16), 4), want / seen)
    torch.testing.assert_close(fold(maps, 2, (16, 16), 4, average=False), want)


def test_crops_that_leave_a_border_uncovered_are_refused() -> None:
    check_grid("some", (256, 160), 128, 32)
    with pytest.raises(DetectorError, match="some: images are 250 × 256; .* --image-size"):
        check_grid("some", (250, 256), 128, 32)
