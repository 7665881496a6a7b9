"""Exact nearest neighbours among many descriptors, without a matrix of all distances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

BLOCK = 512
"""Rows of queries and of a gallery that are compared at once on a processor: their distances, a
megabyte, stay in a core's cache between the product and the minimum."""


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
        float32 (Q,). The distances are never all held. On a processor every core takes blocks of
        queries through all galleries by itself: to share each small product among the cores, they
        would wait for each other thousands of times an image.
    """
    device = queries.device
    device = queries.device
    size = BLOCK if device.type == "cpu" else 1 << 15
    near = [gallery.to(device) for gallery in galleries]
    extended = torch.cat([queries, queries.new_ones(queries.shape[0], 1)], 1)

    def least(rows: Tensor) -> Tensor:
        best = rows.new_full((rows.shape[0],), float("inf"))
        for gallery in near:
            for columns in blocks(len(gallery), size):
                best = torch.minimum(best, (rows @ gallery[columns].T).amin(1))
        return best

    if torch.compiler.is_compiling():  # how many queries there are is left open
        best = least(extended)
    else:
        cores = torch.get_num_threads() if device.type == "cpu" else 1
        parts = torch.split(extended, max(1, min(size, -(-len(queries) // cores))))
        best = torch.cat(_each_on_a_core(least, parts, cores))
    return (best + queries.square().sum(1)).clamp_(min=0)


def pieces(rows: Tensor, size: int) -> list[Tensor]:
    """Split rows into pieces of ``size``; in one while a graph is traced, which leaves open how many
    rows there are."""
    return [rows] if torch.compiler.is_compiling() else list(torch.split(rows, size))


def _each_on_a_core(
    work: Callable[[Tensor], Tensor], parts: Sequence[Tensor], cores: int
) -> list[Tensor]:
    """Work on parts at the same time, each with a single thread of torch."""
    if min(cores, len(parts)) < 2:
        return [work(part) for part in parts]
    # the number of threads is each thread's own, but the last one that was set is what new threads
    # begin with
    with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = list(pool.map(torch.no_grad()(work), parts))
    torch.set_num_threads(cores)
    return found


def blocks(count: int, size: int) -> list[slice]:
    """Consecutive slices of ``size`` that cover ``count`` rows."""
    return [slice(start, start + size) for start in range(0, count, size)]
