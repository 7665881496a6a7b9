"""What student-teacher methods share: input, distance of features, statistics of descriptors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.features.networks import IMAGENET_MEAN, IMAGENET_STD


class ImageNetInput(nn.Module):
    """RGB in [0, 1] to the mean and spread that ImageNet networks expect, as a first layer."""

    def __init__(self) -> None:
        super().__init__()
        # constants, not state: left out of what is saved
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        return (pixels.to(mean.device, non_blocking=True) - mean) / std


def cosine_gap(a: Tensor, b: Tensor) -> Tensor:
    """1 - cosine over axis 1: (B, C, h, w) to (B, h, w), or (B, C) to (B,); float32, in [0, 2].

    Half the squared distance of the normalised vectors, which is the same number but does not
    cancel where they are nearly equal.

    >>> cosine_gap(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
    tensor([1.])
    """
    difference = F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)
    return difference.square().sum(1) / 2


class Moments:
    """Running mean and standard deviation per channel, in float64 on the values' device."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def add(self, values: Tensor) -> None:
        """``values``: (B, C, h, w)."""
        flat = values.double().transpose(0, 1).flatten(1)  # (C, B h w)
        self.count += flat.shape[1]
        self.total = self.total + flat.sum(1)
        self.squares = self.squares + flat.square().sum(1)

    def mean_and_std(self) -> Tensor:
        """float32 (2, C); a channel that never changes gets a spread that is tiny, not zero."""
        mean = torch.as_tensor(self.total) / self.count
        variance = torch.as_tensor(self.squares) / self.count - mean.square()
        return torch.stack([mean, variance.clamp(min=1e-12).sqrt()]).float()
