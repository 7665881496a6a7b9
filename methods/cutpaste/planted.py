"""CutPaste's defects: a part of an image, recoloured, pasted elsewhere into the same image."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

AREA = (0.02, 0.15)
"""Of a pasted rectangle, as a share of the image."""
ASPECT = 0.3
"""Its narrower side over its longer one, at least."""
SCAR_WIDTH, SCAR_LENGTH = (2, 16), (10, 25)
"""Of a pasted scar, in pixels of a 256 × 256 image."""
SCAR_ANGLE = 45.0
"""Degrees that a scar is turned by, at most, either way."""
JITTER = 0.1
"""By which share brightness, contrast and saturation change, and by which share of the circle hue."""


class Cuts(NamedTuple):
    """Rectangles of images, one each, all float32 (B,).

    Attributes:
        height, width: in pixels.
        turn: in radians.
    """

    height: Tensor
    width: Tensor
    turn: Tensor


def rectangles(count: int, size: tuple[int, int], generator: torch.Generator) -> Cuts:
    """Draw rectangles of uniform area; the logarithm of their aspect is uniform."""
    area, aspect = torch.rand(2, count, generator=generator)
    area = (AREA[0] + (AREA[1] - AREA[0]) * area) * size[0] * size[1]
    aspect = ((2 * aspect - 1) * math.log(1 / ASPECT)).exp()
    height, width = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    return Cuts(height.clamp(1, size[0] - 1), width.clamp(1, size[1] - 1), torch.zeros(count))


def scars(count: int, unit: float, generator: torch.Generator) -> Cuts:
    """Draw thin rectangles at any angle up to 45 degrees.

    Args:
        count: how many.
        unit: pixels of these images per pixel of a 256 × 256 image.
        generator: on the CPU.
    """
    draws = torch.rand(3, count, generator=generator)
    length = unit * (SCAR_LENGTH[0] + (SCAR_LENGTH[1] - SCAR_LENGTH[0]) * draws[0])
    width = unit * (SCAR_WIDTH[0] + (SCAR_WIDTH[1] - SCAR_WIDTH[0]) * draws[1])
    turn = (2 * draws[2] - 1) * math.radians(SCAR_ANGLE)
    return Cuts(length.clamp(min=1), width.clamp(min=1), turn)


def pasted(pixels: Tensor, cuts: Cuts, generator: torch.Generator) -> Tensor:
    """Paste each image's cut, taken upright from one place, recoloured and turned, at another.

    Both places are uniform among those where the rectangle fits, as if it were not turned.

    Args:
        pixels: (B, 3, H, W) in [0, 1].
        cuts: one per image.
        generator: on the CPU.
    """
    count, _, height, width = pixels.shape
    sides = torch.stack([cuts.height, cuts.width])  # (2, B): along y and x
    room = torch.tensor([[height], [width]]) - sides
    starts = (torch.rand(2, 2, count, generator=generator) * (room.clamp(min=0) + 1)).floor()
    starts = torch.minimum(starts, room.clamp(min=0).floor())
    source, target = (starts + sides / 2).to(pixels.device)  # centres, each (2, B)
    sides, turn = sides.to(pixels.device), cuts.turn.to(pixels.device)[:, None, None]
    y = torch.arange(height, device=pixels.device)[None, :, None] + 0.5 - target[0][:, None, None]
    x = torch.arange(width, device=pixels.device)[None, None] + 0.5 - target[1][:, None, None]
    # every pixel's place within the upright cut, from its centre: (B, H, W)
    down, across = turn.cos() * y + turn.sin() * x, turn.cos() * x - turn.sin() * y
    inside = (2 * down.abs() <= sides[0][:, None, None]) & (
        2 * across.abs() <= sides[1][:, None, None]
    )
    places = torch.stack(
        [
            2 * (across + source[1][:, None, None]) / width - 1,
            2 * (down + source[0][:, None, None]) / height - 1,
        ],
        3,
    )
    cut = F.grid_sample(
        recoloured(pixels, generator), places, padding_mode="border", align_corners=False
    )
    return torch.where(inside[:, None], cut, pixels)


def recoloured(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image (B, 3, H, W) a little.

    All four are one linear map of the colours: hue turns about the grey axis, and contrast leaves
    the image's mean grey as it is.
    """
    draws = (2 * torch.rand(4, len(pixels), generator=generator) - 1) * JITTER
    bright, contrast, strength = (1 + draws[:3]).to(pixels.device).view(3, -1, 1, 1, 1)
    angle = (2 * math.pi * draws[3]).to(pixels.device).view(-1, 1, 1)
    # Rodrigues' rotation about (1, 1, 1), which keeps the mean of the channels
    eye, mean = torch.eye(3, device=pixels.device), pixels.new_full((3, 3), 1 / 3)
    cross = pixels.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turn = angle.cos() * eye + angle.sin() * cross + (1 - angle.cos()) * mean
    matrix = mean + strength[:, 0] * (turn - mean)
    colours = (matrix @ pixels.flatten(2)).view_as(pixels) * bright
    grey = colours.mean((1, 2, 3), keepdim=True)
    out: Tensor = (grey + contrast * (colours - grey)).clamp(0, 1)
    return out
