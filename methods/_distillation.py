"""What student-teacher methods share: the networks' input and the distance of their features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.backbones import IMAGENET_MEAN, IMAGENET_STD


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
