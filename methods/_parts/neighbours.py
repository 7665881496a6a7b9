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
    extended = torch.cat([queries, queries.new_ones(queries.shape[0], 1)], 1)
    best = queries.new_full((queries.shape[0],), float("inf"))
    for gallery in galleries:
        gallery = gallery.to(device)
        for columns in blocks(len(gallery), block):
            part = gallery[columns].T
            if torch.compiler.is_compiling():  # how many queries there are is left open
                best = torch.minimum(best, (extended @ part).amin(1))
                continue
            for rows in blocks(len(queries), block):
                torch.minimum(best[rows], (extended[rows] @ part).amin(1), out=best[rows])
    return (best + queries.square().sum(1)).clamp_(min=0)


def pieces(rows: Tensor, size: int) -> list[Tensor]:
    """Split rows into pieces of ``size``; in one while a graph is traced, which leaves open how many
    rows there are."""
    return [rows] if torch.compiler.is_compiling() else list(torch.split(rows, size))


def blocks(count: int, size: int) -> list[slice]:
    """Consecutive slices of ``size`` that cover ``count`` rows."""
    return [slice(start, start + size) for start in range(0, count, size)]
