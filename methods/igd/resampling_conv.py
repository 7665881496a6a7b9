"""Convolutions beside a change of resolution, each as one strided convolution.

Repeating every pixel 2 × 2 times and then convolving with k × k is a transposed convolution with
(k + 1) × (k + 1) and stride 2; convolving with k × k and then averaging 2 × 2 is a convolution with
(k + 1) × (k + 1) and stride 2. Both have the k × k parameters and the values of the two-step way,
with 2.25 times fewer multiplications for k = 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DoublingConv(nn.Conv2d):
    """Nearest-neighbour upsampling by 2, then this convolution (odd kernel, sides kept)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C', 2 h, 2 w)."""
        spread = widened(self.weight.flip(2, 3)).transpose(0, 1)
        spread = spread.contiguous(memory_format=torch.channels_last)
        padding = self.kernel_size[0] // 2
        return F.conv_transpose2d(x, spread, self.bias, stride=2, padding=padding)


class HalvingConv(nn.Conv2d):
    """This convolution (odd kernel, sides kept), then the mean of every 2 × 2 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 2 h, 2 w) to (B, C', h, w)."""
        spread = (widened(self.weight) / 4).contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, spread, self.bias, stride=2, padding=self.kernel_size[0] // 2)


def widened(weight: Tensor) -> Tensor:
    """Convolve kernels (O, I, k, k) fully with a 2 × 2 block of ones: (O, I, k+1, k+1).

    >>> widened(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))[0, 0].tolist()
    [[1.0, 3.0, 2.0], [4.0, 10.0, 6.0], [3.0, 7.0, 4.0]]
    """
    side = weight.shape[2]
    # one matrix product: adding four shifted copies, and their gradient, takes several times longer
    ones = torch.eye(side + 1, side, device=weight.device, dtype=weight.dtype)
    line = ones + ones.roll(1, 0)  # (k+1, k)
    both = torch.einsum("ai,bj->ijab", line, line).reshape(side * side, -1)
    return (weight.flatten(2) @ both).view(*weight.shape[:2], side + 1, side + 1)
