"""The residual networks of f-AnoGAN: generator, critic and encoder."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COARSEST = 4
"""Sides that images are halved to."""
MOST = 8
"""Channels grow to so many times the first width."""


class Block(nn.Module):
    """Pre-activated residual block (B, a, h, w) to (B, b, 2 h, 2 w) or (B, b, h / 2, w / 2).

    Args:
        a, b: channels.
        up: whether it doubles the sides; otherwise it halves them by averaging.
        layer_norm: whether values are normalised over each image, as in a critic, not the batch.
    """

    def __init__(self, a: int, b: int, *, up: bool, layer_norm: bool = False) -> None:
        super().__init__()
        self.up = up
        between = b if up else a
        self.shortcut = nn.Conv2d(a, b, 1)
        self.first_norm = _norm(a, layer_norm)
        self.first = nn.Conv2d(a, between, 3, padding=1, bias=False)
        self.second_norm = _norm(between, layer_norm)
        self.second = nn.Conv2d(between, b, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.first_norm(x))
        if self.up:  # a 1 × 1 convolution of repeated pixels repeats that of the pixels
            shortcut = _doubled(self.shortcut(x))
            inner = self.first(_doubled(inner))
        else:
            shortcut = self.shortcut(F.avg_pool2d(x, 2))
            inner = self.first(inner)
        inner = self.second(F.relu(self.second_norm(inner)))
        out: Tensor = shortcut + (inner if self.up else F.avg_pool2d(inner, 2))
        return out


class Generator(nn.Module):
    """Codes (B, code) to images (B, channels, side, side) in [-1, 1]."""

    def __init__(self, side: int, channels: int, width: int, code: int) -> None:
        super().__init__()
        count = (side // COARSEST).bit_length() - 1
        widths = [width * min(MOST, 2**i) for i in reversed(range(count))]
        self.start = nn.Linear(code, widths[0] * COARSEST**2)
        self.blocks = nn.Sequential(
            *(Block(a, b, up=True) for a, b in pairwise([widths[0], *widths]))
        )
        self.norm = nn.BatchNorm2d(width)
        self.last = nn.Conv2d(width, channels, 3, padding=1)
        initialise(self)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.blocks(self.start(codes).view(len(codes), -1, COARSEST, COARSEST))
        return torch.tanh(self.last(F.relu(self.norm(x))))


class Reader(nn.Module):
    """Images (B, channels, side, side) to ``outputs`` numbers each, (B, outputs), and to the features
    (B, c · 16) before them: the critic, with layer normalisation, and the encoder."""

    def __init__(
        self, side: int, channels: int, width: int, outputs: int, *, layer_norm: bool
    ) -> None:
        super().__init__()
        count = (side // COARSEST).bit_length() - 1
        widths = [width * min(MOST, 2**i) for i in range(count + 1)]
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.Sequential(
            *(Block(a, b, up=False, layer_norm=layer_norm) for a, b in pairwise(widths))
        )
        self.last = nn.Linear(widths[-1] * COARSEST**2, outputs)
        initialise(self)
        nn.init.xavier_uniform_(self.stem.weight)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.blocks(self.stem(images)).flatten(1)
        return self.last(features), features


def initialise(network: nn.Module) -> None:
    """Draw weights by the fans, wider for those that a rectifier precedes."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain = math.sqrt(2) if getattr(module, "kernel_size", None) == (3, 3) else 1.0
            nn.init.xavier_uniform_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _norm(channels: int, layer_norm: bool) -> nn.Module:
    """Normalise over the batch, or over all of an image with a gain and an offset per channel."""
    return nn.GroupNorm(1, channels) if layer_norm else nn.BatchNorm2d(channels)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
