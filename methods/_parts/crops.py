"""Crops of images: cut out on a grid or at random, and maps of crops laid back over each other."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.errors import DetectorError


def cut(pixels: Tensor, sides: tuple[int, int], stride: int) -> Tensor:
    """Return a view of all windows: (B, C, H, W) to (B, C, rows, columns, h, w)."""
    return pixels.unfold(2, sides[0], stride).unfold(3, sides[1], stride)


def grid_crops(pixels: Tensor, side: int, stride: int) -> Tensor:
    """Cut all square windows out: (B, C, H, W) to (B · windows, C, side, side), image by image and
    row by row, as :func:`fold` wants them."""
    windows = cut(pixels, (side, side), stride).permute(0, 2, 3, 1, 4, 5)
    return windows.reshape(-1, pixels.shape[1], side, side)


def check_grid(owner: str, size: tuple[int, int], side: int, stride: int) -> None:
    """Raise DetectorError unless square windows of ``side`` at ``stride`` cover an image (H, W)."""
    if any(length < side or (length - side) % stride for length in size):
        raise DetectorError(
            f"{owner}: images are {size[0]} × {size[1]}; crops of {side} pixels at every {stride}th "
            f"cover images whose sides are {side}, {side + stride}, {side + 2 * stride} and so on: "
            "choose such a size with --image-size"
        )


def random_crops(pixels: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Cut one random window per image: (B, C, H, W) to (B, C, side, side)."""
    height, width = pixels.shape[2:]
    tops = torch.randint(height - side + 1, (len(pixels),), generator=generator).tolist()
    lefts = torch.randint(width - side + 1, (len(pixels),), generator=generator).tolist()
    return torch.stack(
        [
            image[:, top : top + side, left : left + side]
            for image, top, left in zip(pixels, tops, lefts, strict=True)
        ]
    )


def fold(
    maps: Tensor, images: int, size: tuple[int, int], stride: int, *, average: bool = True
) -> Tensor:
    """Lay maps of windows over each other.

    Args:
        maps: (images · windows, h, w), windows row by row.
        images: how many.
        size: (H, W) of an image.
        stride: between windows.
        average: divided by how many windows show a pixel, or not.

    Returns:
        (images, H, W).
    """
    sides = (maps.shape[1], maps.shape[2])
    columns = maps.reshape(images, -1, sides[0] * sides[1]).mT
    total = F.fold(columns, size, sides, stride=stride)[:, 0]
    if not average:
        return total
    return total / F.fold(torch.ones_like(columns[:1]), size, sides, stride=stride)[:, 0]
