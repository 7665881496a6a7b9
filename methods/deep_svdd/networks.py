"""The LeNets of Deep SVDD and the auto-encoders that they are pre-trained in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GREY, COLOURED = (8, 4), (32, 64, 128)
"""Channels of the convolutions of MNIST's network, and of CIFAR-10's."""
KERNEL, GRID = 5, 4
EPS = 1e-4
"""Of batch normalisation."""
LAST = torch.channels_last
"""Layout of images and kernels: so few channels take a CPU twice as long in the default one."""


class LeNet(nn.Module):
    """Convolutions of 5 × 5, each normalised, rectified and pooled by 2, then a linear layer.

    Nothing has a bias and batch normalisation no gain and offset: with them, a network could give
    the centre for any image.

    Args:
        size: (H, W) of images.
        channels: of images; 1 is MNIST's network, 3 CIFAR-10's.
    """

    def __init__(self, size: tuple[int, int], channels: int) -> None:
        super().__init__()
        widths = GREY if channels == 1 else COLOURED
        self.length = 32 if channels == 1 else 128
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, KERNEL, padding=KERNEL // 2, bias=False)
            for a, b in zip((channels, *widths), widths, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b, EPS, affine=False) for b in widths)
        places = (size[0] >> len(widths)) * (size[1] >> len(widths))
        self.head = nn.Linear(widths[-1] * places, self.length, bias=False)
        if channels > 1:
            _xavier(self.convs)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to (B, length)."""
        x = images.to(memory_format=LAST)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.max_pool2d(F.leaky_relu(norm(conv(x))), 2)
        out: Tensor = self.head(x.flatten(1))
        return out


class LeNetAutoEncoder(nn.Module):
    """A LeNet and the decoder that it is pre-trained with.

    The code becomes 4 × 4 positions, which are doubled and convolved up to the image's size. After
    every convolution but the first, what passes half, quarter and so on of that size is cut off
    around the centre, as MNIST's 16 × 16 are to 14 × 14.

    Args:
        size: (H, W) of images, at most 32 × 32.
        channels: of images.
    """

    def __init__(self, size: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.size = size
        self.encoder = LeNet(size, channels)
        widths = (4, 8) if channels == 1 else (128, 64, 32)
        # CIFAR-10's network normalises the code, and convolves before the first doubling
        self.code_norm = None if channels == 1 else nn.BatchNorm1d(128, EPS, affine=False)
        first = self.encoder.length // GRID**2
        self.convs = nn.ModuleList(
            nn.ConvTranspose2d(a, b, KERNEL, padding=KERNEL // 2, bias=False)
            for a, b in zip((first, *widths), (*widths, channels), strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b, EPS, affine=False) for b in widths)
        if channels > 1:
            _xavier(self.convs)
        self.to(memory_format=LAST)

    def forward(self, images: Tensor) -> Tensor:
        """Rebuild images (B, C, H, W), values in [0, 1]."""
        x = self.encoder(images)
        x = x if self.code_norm is None else self.code_norm(x)
        x = F.leaky_relu(x.view(len(x), -1, GRID, GRID))
        for i, conv in enumerate(self.convs):
            if self.code_norm is None or i:
                x = F.interpolate(x, scale_factor=2.0)
            x = conv(x)
            if i:
                left = len(self.convs) - 1 - i  # doublings still to come
                x = _central(x, [-(-side // 2**left) for side in self.size])
            if i < len(self.norms):
                x = F.leaky_relu(self.norms[i](x))
        return torch.sigmoid(x)


def _central(x: Tensor, size: Sequence[int]) -> Tensor:
    """Cut (B, C, H, W) down to the central (H, W) given, where it is larger."""
    for axis, length in zip((2, 3), size, strict=True):
        excess = max(x.shape[axis] - length, 0)
        x = x.narrow(axis, excess // 2, x.shape[axis] - excess)
    return x


def _xavier(convs: nn.ModuleList) -> None:
    """Initialise as the official CIFAR-10 auto-encoder does."""
    for conv in convs:
        nn.init.xavier_uniform_(conv.weight, nn.init.calculate_gain("leaky_relu"))  # type: ignore[arg-type]
