"""Principal components that hold a share of the variance."""

from __future__ import annotations

import torch
from torch import Tensor


class Scatter:
    """Mean and covariance of rows that come in parts, in float64.

    Moments are taken around the mean of the first part: large means would cancel otherwise.
    """

    def __init__(self) -> None:
        self.count = 0

    def add(self, rows: Tensor) -> None:
        """Take in rows (n, C)."""
        if self.count == 0:
            self.shift = rows.double().mean(0)
            self.total = torch.zeros_like(self.shift)
            self.moment = self.shift.new_zeros(rows.shape[1], rows.shape[1])
        for part in torch.split(rows, 4096):
            centred = part.double() - self.shift
            self.total += centred.sum(0)
            torch.addmm(self.moment, centred.T, centred, out=self.moment)
        self.count += len(rows)

    def mean(self) -> Tensor:
        """(C,), float64."""
        return self.shift + self.total / self.count

    def covariance(self) -> Tensor:
        """(C, C), float64, divided by the number of rows."""
        mean = self.total / self.count
        return self.moment / self.count - mean[:, None] * mean


def principal_axes(covariance: Tensor, share: float) -> Tensor:
    """Find the fewest axes that hold at least this share of variance: orthonormal rows (K, C)."""
    variances, axes = torch.linalg.eigh(covariance)
    largest: Tensor = axes.T.flip(0)[: _enough(variances.flip(0), share)]
    return largest


def reduction(rows: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Mean (C,) and principal axes (K, C) of rows (N, C), float32; K is at most N.

    With fewer rows than columns the products of the rows are decomposed, not the covariance.
    """
    if len(rows) > rows.shape[1]:
        scatter = Scatter()
        scatter.add(rows)
        mean, axes = scatter.mean(), principal_axes(scatter.covariance(), share)
        return mean.float(), axes.float()
    mean = rows.mean(0)
    centred = (rows - mean).double()
    variances, vectors = torch.linalg.eigh(centred @ centred.T)
    count = _enough(variances.flip(0), share)
    axes = vectors.T.flip(0)[:count] @ centred
    return mean, (axes / axes.norm(dim=1, keepdim=True).clamp_min(1e-12)).float()


def _enough(variances: Tensor, share: float) -> int:
    """Count the variances, largest first, that sum up to a share; those that vanish don't count."""
    variances = variances.clamp(min=0)
    some = int((variances > 1e-12 * variances[0]).sum())
    below = variances.cumsum(0) < share * variances.sum()
    return max(1, min(some, int(below.sum()) + 1))
