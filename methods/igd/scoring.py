"""IGD's scores (equation 11) and maps (equation 12), per scale and together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .model import ScaleModel

LUMA = (0.2989, 0.5870, 0.1140)
PUBLISHED_RECONSTRUCTION = {"local": 0.9, "global": 0.1}
"""Share of the reconstruction in the official code's score; the rest is the descriptor's."""


@dataclass(frozen=True)
class Evidence:
    """What a model says of B windows.

    Attributes:
        scores: (B,).
        maps: (B, h, w), higher is more anomalous.
    """

    scores: Tensor
    maps: Tensor


def by_equations(
    model: ScaleModel, x: Tensor, rebuilt: Tensor, codes: Tensor, xi: float
) -> Evidence:
    """Equations 11 and 12: ξ · reconstruction + (1 - ξ) · description, per window and per pixel.

    Without a descriptor the reconstruction alone.
    """
    rho, limit = model.plan.rho, model.similarity.pixel_range
    x, rebuilt = x.float(), rebuilt.float()
    xi = 1.0 if model.descriptor is None else xi
    described = (1 - xi) * model.describe(codes)
    unlike = 1 - model.similarity.pixelwise(x, rebuilt)
    per_pixel = (rho * (x - rebuilt).abs() / limit + (1 - rho) * unlike).mean(1)
    scores = xi * model.reconstruction(x, rebuilt) + described
    return Evidence(scores, xi * per_pixel + described[:, None, None])


def by_public_code(
    model: ScaleModel, x: Tensor, rebuilt: Tensor, codes: Tensor, alone: bool
) -> Evidence:
    """The official inference scripts.

    Args:
        alone: whether this is the only scale; its two terms then count the same.
    """
    rho, limit = model.plan.rho, model.similarity.pixel_range
    x, rebuilt = x.float(), rebuilt.float()
    gap = x - rebuilt
    # the local script forgets the absolute value
    error = gap.flatten(1).mean(1) if model.scale == "local" else gap.abs().flatten(1).mean(1)
    built = rho * error / limit + (1 - rho) * (1 - model.similar(x, rebuilt))
    share = 0.5 if alone else PUBLISHED_RECONSTRUCTION[model.scale]
    share = 1.0 if model.descriptor is None else share
    scores = share * built + (1 - share) * model.describe(codes)
    maps = F.relu((1 - rho) * model.similarity.stacked_gap(x, rebuilt) + rho * gap.abs() / limit)
    luma = maps.new_tensor(LUMA).view(1, 3, 1, 1)
    return Evidence(scores, (maps * luma).sum(1))


def fold(maps: Tensor, images: int, size: tuple[int, int], stride: int, *, average: bool) -> Tensor:
    """Maps of windows laid over each other.

    Args:
        maps: (images · windows, h, w), windows row by row.
        images: how many.
        size: (H, W) of an image.
        stride: between windows.
        average: divided by how many windows show a pixel (4 inside, 1 in the corners), or not.

    Returns:
        (images, H, W).
    """
    sides = (maps.shape[1], maps.shape[2])
    columns = maps.reshape(images, -1, sides[0] * sides[1]).mT
    total = F.fold(columns, size, sides, stride=stride)[:, 0]
    if not average:
        return total
    return total / F.fold(torch.ones_like(columns[:1]), size, sides, stride=stride)[:, 0]
