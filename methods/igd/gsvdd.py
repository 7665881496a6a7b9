"""What keeps IGD's codes of normal images together: the Gaussian SVDD and, to compare, Deep SVDD."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .networks import LATENT

PUSHED = 0.1
"""Deep SVDD's code keeps every coordinate of the centre at least this far from zero."""
NU = 0.1
"""Share of the training codes outside of the soft boundary."""


class Gsvdd(nn.Module):
    """Gaussian SVDD: 1 - exp(-‖z - μ‖² / σ²) (equations 3 and 7), with μ and σ² by estimation.

    The E-step sets μ to the mean of the codes of all training images and σ² to κ times the mean
    squared distance from it, but not below ``floor``. The M-step is the training in between.

    Args:
        latent: length of a code.
        kappa: κ.
        floor: least σ².
    """

    centre: Tensor
    variance: Tensor

    def __init__(self, latent: int, *, kappa: float = 0.5, floor: float = 1.0) -> None:
        super().__init__()
        self.kappa, self.floor = kappa, floor
        self.register_buffer("centre", torch.zeros(latent))
        self.register_buffer("variance", torch.tensor(floor))

    def forward(self, codes: Tensor) -> Tensor:
        """(B, latent) to (B,) in [0, 1], higher is more anomalous."""
        return 1 - torch.exp(-self.distances(codes) / self.variance)

    def loss(self, codes: Tensor) -> Tensor:
        """Compute what training minimises the mean of: the score itself (equation 7), (B,)."""
        score: Tensor = self(codes)
        return score

    def distances(self, codes: Tensor) -> Tensor:
        """‖z - μ‖², (B,)."""
        return (codes.float() - self.centre).square().sum(1)

    @torch.no_grad()
    def e_step(self, batches: Sequence[Tensor]) -> None:
        """Estimate μ, then σ² around it.

        Args:
            batches: the codes of all training images, (B, latent) each.
        """
        self.centre.copy_(_mean(batches))
        distances = torch.cat([self.distances(codes) for codes in batches])
        self.variance.copy_((self.kappa * distances.mean()).clamp(min=self.floor))


class PublishedGsvdd(Gsvdd):
    """The official code's E-step: κ = 1; σ² around the μ of before (except at first), averaged over batches
    after the lower bound was applied to each of them; coordinates of μ pushed away from zero."""

    estimated: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__(latent, kappa=1.0, floor=1.0)
        self.register_buffer("estimated", torch.zeros(()))

    @torch.no_grad()
    def e_step(self, batches: Sequence[Tensor]) -> None:
        mean = pushed(_mean(batches))
        self.centre.copy_(torch.where(self.estimated == 0, mean, self.centre))
        per_batch = torch.stack([self.distances(codes).mean() for codes in batches])
        self.variance.copy_((self.kappa * per_batch).clamp(min=self.floor).mean())
        self.centre.copy_(mean)
        self.estimated.fill_(1)


class SoftBoundary(nn.Module):
    """Soft-boundary Deep SVDD (Ruff et al. 2018), which Table 5 compares with: a fixed centre, and a
    radius that leaves the share ν = 0.1 of the training codes outside.

    Args:
        latent: length of a code.
    """

    centre: Tensor
    squared_radius: Tensor
    estimated: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(latent))
        self.register_buffer("squared_radius", torch.zeros(()))
        self.register_buffer("estimated", torch.zeros(()))

    def forward(self, codes: Tensor) -> Tensor:
        """Compute the score ‖z - c‖² - R², (B,)."""
        return self.distances(codes) - self.squared_radius

    def loss(self, codes: Tensor) -> Tensor:
        """R² + max(0, ‖z - c‖² - R²) / ν, per code."""
        beyond = self.distances(codes) - self.squared_radius
        return self.squared_radius + beyond.clamp(min=0) / NU

    def distances(self, codes: Tensor) -> Tensor:
        """‖z - c‖², (B,)."""
        return (codes.float() - self.centre).square().sum(1)

    @torch.no_grad()
    def e_step(self, batches: Sequence[Tensor]) -> None:
        """Estimate the centre at the first call, the radius at every one."""
        mean = pushed(_mean(batches))
        self.centre.copy_(torch.where(self.estimated == 0, mean, self.centre))
        distances = torch.cat([self.distances(codes) for codes in batches])
        # by sorting: torch.quantile refuses more than 16 million values
        place = min(int((1 - NU) * len(distances)), len(distances) - 1)
        self.squared_radius.copy_(distances.sort().values[place])
        self.estimated.fill_(1)


def pushed(centre: Tensor) -> Tensor:
    """Coordinates nearer to zero than 0.1 moved to ±0.1.

    >>> pushed(torch.tensor([0.05, -0.05, 0.0, 2.0])).tolist()[2:]
    [0.10000000149011612, 2.0]
    """
    away = torch.where(centre < 0, -PUSHED, PUSHED).to(centre)
    return torch.where(centre.abs() < PUSHED, away, centre)


def _mean(batches: Sequence[Tensor]) -> Tensor:
    count = sum(len(codes) for codes in batches)
    total = torch.stack([codes.double().sum(0) for codes in batches]).sum(0)
    return (total / count).float()


def descriptor(
    kind: str, published: bool, kappa: float, floor: float
) -> Gsvdd | SoftBoundary | None:
    """Make a descriptor of this kind (``gsvdd``, ``soft_boundary`` or ``none``)."""
    if kind == "none":
        return None
    if kind == "soft_boundary":
        return SoftBoundary(LATENT)
    return PublishedGsvdd(LATENT) if published else Gsvdd(LATENT, kappa=kappa, floor=floor)
