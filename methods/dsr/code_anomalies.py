"""Anomalies in a quantised image: codes replaced by others that are near, but not too near."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .vqvae import Quantiser, as_rows

SKIPPED = 0.05
"""Share of all codes, the nearest ones, that never replace: they look alike."""
RANKED = 512
"""Rows of distances sorted at a time."""


def neighbour_table(codes: Tensor) -> Tensor:
    """Sort, for every code, all codes by distance, itself first: int16 (K, K), 33 MB for 4096.

    Raises:
        ValueError: more codes than int16 can number.
    """
    count = codes.shape[0]
    if count > torch.iinfo(torch.int16).max:
        raise ValueError(f"{count} codes; a table of int16 numbers at most 32767")
    return torch.cat([by_distance(part, codes).short() for part in torch.split(codes, RANKED)])


def by_distance(features: Tensor, codes: Tensor) -> Tensor:
    """Sort codes from nearest to farthest, int64 (N, K), for features (N, D)."""
    half = codes.square().sum(1) / 2
    with torch.autocast(codes.device.type, enabled=False):
        return torch.addmm(half, features.float(), codes.T, alpha=-1).argsort(dim=1, stable=True)


def random_ranks(
    strength: Tensor, size: tuple[int, int], codes: int, generator: torch.Generator
) -> Tensor:
    """Draw which neighbour replaces a code: int64 (B, h, w) on the CPU, uniform from the first that
    is not skipped up to ``strength`` (B,), a share of all codes; a rank of 0 is the nearest code.
    """
    skipped = int(SKIPPED * codes)
    end = (strength * codes).long().add(1).clamp(skipped + 1, max(codes - 1, skipped + 1))
    draws = torch.rand(len(strength), *size, generator=generator, dtype=torch.float64)
    return skipped + (draws * (end - skipped)[:, None, None]).long()


@torch.no_grad()
def replaced(
    features: Tensor,
    nearest: Tensor,
    quantiser: Quantiser,
    strength: Tensor,
    generator: torch.Generator,
    table: Tensor | None,
) -> Tensor:
    """Choose other codes for all features, (B, D, h, w) float32.

    Args:
        features: (B, D, h, w), not quantised.
        nearest: int64 (B, h, w), their nearest codes.
        quantiser: holds the codes.
        strength: (B,) on the CPU, how far the replacing codes reach, as a share of all codes.
        generator: draws a rank per position.
        table: of :func:`neighbour_table`. Ranks then count the neighbours of the feature's nearest
            code, an approximation that costs one look-up. None ranks all codes by their distance
            to the feature itself, as published: a sort of K distances per position.
    """
    size = (nearest.shape[1], nearest.shape[2])
    ranks = random_ranks(strength, size, quantiser.codes.shape[0], generator)
    ranks = ranks.to(nearest.device, non_blocking=True)
    if table is not None:
        return quantiser.look_up(table[nearest, ranks].long())
    rows = as_rows(features)
    flat = ranks.flatten()[:, None]
    found = [
        by_distance(part, quantiser.codes).gather(1, rank)[:, 0]
        for part, rank in zip(torch.split(rows, RANKED), torch.split(flat, RANKED), strict=True)
    ]
    return quantiser.look_up(torch.cat(found).view(ranks.shape))


def on_grid(masks: Tensor, stride: int) -> Tensor:
    """Bring masks (B, 1, H, W) to a level's grid: a position is anomalous if any of its pixels
    is."""
    return F.max_pool2d(masks, stride)
