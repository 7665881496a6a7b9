"""Synthetic anomalies: Perlin noise, masks from it, what is done under them, the loss of a mask.

A whole batch at a time on any device. Random numbers come from the CPU generator given, few per
image, so that every device draws the same; the arithmetic per pixel runs where it is asked for.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def perlin_noise(
    count: int,
    size: tuple[int, int],
    generator: torch.Generator,
    *,
    octaves: int = 6,
    device: torch.device | None = None,
) -> Tensor:
    """Perlin noise, float32 (B, H, W), between about -1 and 1.

    Per image and axis the number of cells is 2^k, k uniform from 0 to ``octaves`` - 1, as DRAEM and
    DSR draw it. Every lattice point has a unit gradient of uniform direction.
    """
    cells = 2 ** torch.randint(octaves, (2, count, 1), generator=generator)  # y and x
    points = 2 ** (octaves - 1) + 1
    angles = 2 * math.pi * torch.rand(count, points, points, generator=generator)
    angles, cells = (x.to(device, non_blocking=True) for x in (angles, cells))
    (top, y), (left, x) = (
        _lattice(side, number) for side, number in zip(size, cells, strict=True)
    )  # each (B, side)
    image = torch.arange(count, device=device)[:, None, None]
    across, down = angles.sin(), angles.cos()  # a gradient's components along x and y

    def corner(below: int, right: int) -> Tensor:
        at = (image, top[:, :, None] + below, left[:, None] + right)
        return down[at] * (y[:, :, None] - below) + across[at] * (x[:, None] - right)

    fade_y, fade_x = _fade(y)[:, :, None], _fade(x)[:, None]
    upper = torch.lerp(corner(0, 0), corner(0, 1), fade_x)
    lower = torch.lerp(corner(1, 0), corner(1, 1), fade_x)
    return math.sqrt(2) * torch.lerp(upper, lower, fade_y)


def perlin_masks(
    count: int,
    size: tuple[int, int],
    generator: torch.Generator,
    *,
    threshold: float = 0.5,
    empty: float = 0.5,
    octaves: int = 6,
    device: torch.device | None = None,
) -> Tensor:
    """Masks of synthetic anomalies, float32 (B, 1, H, W) of zeros and ones.

    Noise, turned by up to 90 degrees either way, above the threshold.

    Args:
        count, size, generator, octaves, device: as for :func:`perlin_noise`.
        threshold: noise above it is anomalous.
        empty: share of the masks that are emptied, for images that stay normal.
    """
    noise = perlin_noise(count, size, generator, octaves=octaves, device=device)
    noise = rotated(noise[:, None], 90.0, generator)
    kept = torch.rand(count, 1, 1, 1, generator=generator) >= empty
    return ((noise > threshold) & kept.to(noise.device, non_blocking=True)).float()


def rotated(
    images: Tensor, degrees: float, generator: torch.Generator, *, share: float = 1.0
) -> Tensor:
    """Turn images (B, C, H, W) about their centres by angles uniform up to ``degrees`` either
    way, bilinear, black outside; ``share`` of them, the others as they are."""
    count, _, height, width = images.shape
    angles = (2 * torch.rand(count, generator=generator) - 1) * math.radians(degrees)
    turned = torch.rand(count, 1, 1, 1, generator=generator) < share
    cos, sin, none = angles.cos(), angles.sin(), torch.zeros(count)
    # sampling places are given in halves of the image's sides, which an angle must not squeeze
    rows = [cos, -sin * height / width, none, sin * width / height, cos, none]
    transform = torch.stack(rows, 1).view(count, 2, 3).to(images.device, non_blocking=True)
    grid = F.affine_grid(transform, list(images.shape), align_corners=False)
    out = F.grid_sample(images.float(), grid, mode="bilinear", align_corners=False)
    return torch.where(turned.to(images.device, non_blocking=True), out, images)


def smudged(
    images: Tensor, masks: Tensor, generator: torch.Generator, *, most_seen: float = 0.8
) -> Tensor:
    """Blend one flat colour into each image under the mask.

    Args:
        images: (B, 3, H, W) in [0, 1].
        masks: (B, 1, H, W) of zeros and ones.
        generator: draws the colours and how much of the image shows through.
        most_seen: the latter is uniform from 0 to this.
    """
    colour = torch.rand(len(images), 3, 1, 1, generator=generator).to(
        images.device, non_blocking=True
    )
    seen = most_seen * torch.rand(len(images), 1, 1, 1, generator=generator).to(
        images.device, non_blocking=True
    )
    return torch.lerp(images, colour, masks * (1 - seen))


def focal_loss(logits: Tensor, masks: Tensor, *, smooth: float = 1e-5) -> Tensor:
    """Compute the focal loss with gamma 2 and no class weights, averaged over pixels.

    Args:
        logits: (B, 2, H, W), normal and anomalous.
        masks: (B, 1, H, W) of zeros and ones.
        smooth: labels are that far from 0 and 1, and the logarithm's argument from 0.
    """
    anomalous = logits.float().softmax(1)[:, 1:]
    right = torch.where(masks > 0.5, anomalous, 1 - anomalous)
    right = (1 - smooth) * right + smooth * (1 - right) + smooth
    return -((1 - right).square() * right.log()).mean()


def _lattice(side: int, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Cell and place in it, [0, 1), of every pixel: (B, side) each, from (B, 1) cells per side."""
    place = torch.arange(side, device=cells.device) * cells  # in units of 1 / side, exactly
    return place // side, (place % side) / side


def _fade(t: Tensor) -> Tensor:
    """Perlin's quintic: flat at the ends, so that cells join smoothly."""
    return t**3 * (t * (6 * t - 15) + 10)
