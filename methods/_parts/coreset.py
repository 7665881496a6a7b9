"""Greedy choice of points that cover all points: the k-centre problem's 2-approximation."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.detector.context import Progress

from .neighbours import blocks

CANDIDATES = 4096
"""Points that are looked at in a step on the CPU."""


def farthest_first(points: Tensor, count: int, starts: Tensor, progress: Progress) -> Tensor:
    """Choose points one by one, each the farthest from those chosen so far.

    Before the first choice the distance of a point is its mean distance to the points ``starts``,
    and it never grows. A step is one product of a matrix with the point chosen last.

    On the CPU that product would read all points from memory, thousands of times. A distance only
    shrinks, so the farthest of a few candidates is the farthest of all until it falls below the
    distance that the best other point had; only then all points learn of the new choices, in one
    matrix product for many of them. The choice is the same.

    Args:
        points: float32 (N, D); centred in place.
        count: how many are chosen, at most N.
        starts: int64 (S,), positions.
        progress: shows the time left.

    Returns:
        int64 (count,), distinct positions in the order of their choice. Needs memory for N × D and
        some blocks, never for N × count.
    """
    few = len(points) if points.is_cuda else min(CANDIDATES, len(points))
    points -= points.mean(0)  # distances cancel less
    norms = points.square().sum(1)
    far = torch.stack([(points - points[s]).norm(dim=1) for s in starts.tolist()]).mean(0).square_()
    # a rehearsal ends the loop early, and the first points stand in for the rest
    chosen = torch.arange(count, device=points.device)
    told, bound, top, place = 0, 0.0, -1.0, 0
    for step in progress.track(range(count), "coreset", count):
        if top < bound or step == 0:
            _approach(far, points, norms, chosen[told:step])
            told = step
            values, candidates = far.topk(min(few + 1, len(far)))
            bound = float(values[few]) if few < len(far) else -float("inf")
            near, candidates = values[:few].clone(), candidates[:few]
            some, some_norms = points[candidates], norms[candidates]
            distances = torch.empty_like(near)
            place = 0
        chosen[step] = candidates[place]
        torch.addmv(some_norms, some, some[place], alpha=-2, out=distances)
        torch.minimum(near, distances.add_(some_norms[place]), out=near)
        near[place] = -float("inf")
        value, index = near.max(0)
        top, place = float(value), int(index)
    return chosen


def _approach(far: Tensor, points: Tensor, norms: Tensor, chosen: Tensor) -> None:
    """Lower each point's squared distance, in place, to that of the nearest newly chosen point."""
    if len(chosen) == 0:
        return
    for some in torch.split(chosen, 1024):
        centres, offsets = points[some].T, norms[some]
        for rows in blocks(len(points), 1 << 12):
            distances = torch.addmm(offsets, points[rows], centres, alpha=-2).amin(1)
            torch.minimum(far[rows], distances.add_(norms[rows]), out=far[rows])
    far[chosen] = -float("inf")
