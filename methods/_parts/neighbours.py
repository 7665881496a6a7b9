"""Exact nearest neighbours among many descriptors, without a matrix of all distances."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def searchable(rows: Tensor) -> Tensor:
    """Descriptors (G, C) as rows [-2 g, |g|²] (G, C + 1), the form that is searched.

    Centre them first, and the queries alike: distances stay the same and cancel less.
    """
    return torch.cat([-2 * rows, rows.square().sum(1, keepdim=True)], 1)


def nearest_squared(queries: Tensor, galleries: Iterable[Tensor]) -> Tensor:
    """Squared distance of each query to the nearest descriptor of all galleries.

    Args:
        queries: float32 (Q, C).
        galleries: float32 (G, C + 1) each, see :func:`searchable`: one matrix product with [q, 1]
            gives |g|² - 2 q·g. They may lie on another device than the queries.

    Returns:
        float32 (Q,). The distances are never all held: blocks of a few megabytes stay in the
        processor's cache between the product and the minimum.
    """
    device = queries.device
    block = 1024 if device.type == "cpu" else 1 << 15
    extended = torch.cat([queries, queries.new_ones(len(queries), 1)], 1)
    best = queries.new_full((len(queries),), float("inf"))
    for gallery in galleries:
        gallery = gallery.to(device)
        for rows in blocks(len(queries), block):
            for columns in blocks(len(gallery), block):
                distances = extended[rows] @ gallery[columns].T
                torch.minimum(best[rows], distances.amin(1), out=best[rows])
    return (best + queries.square().sum(1)).clamp_(min=0)


def blocks(count: int, size: int) -> list[slice]:
    """Consecutive slices of ``size`` that cover ``count`` rows."""
    return [slice(start, start + size) for start in range(0, count, size)]
