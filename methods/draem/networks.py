"""DRAEM's two networks."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from .._parts.convolutions import UNet, convolutions, doubled

WIDTH = 128
"""Channels of the reconstructive network's finest stage, as published."""
DEPTH = 32
"""Sides of images must be multiples of this."""


_convs = partial(convolutions, nn.BatchNorm2d)


class Reconstructive(nn.Sequential):
    """An auto-encoder without skips, four halvings: images (B, 3, H, W) to images.

    Args:
        width: channels of the finest stage.
    """

    def __init__(self, width: int = WIDTH) -> None:
        w = width
        super().__init__(
            *_convs(3, w, w),
            nn.MaxPool2d(2),
            *_convs(w, 2 * w, 2 * w),
            nn.MaxPool2d(2),
            *_convs(2 * w, 4 * w, 4 * w),
            nn.MaxPool2d(2),
            *_convs(4 * w, 8 * w, 8 * w),
            nn.MaxPool2d(2),
            *_convs(8 * w, 8 * w, 8 * w),
            doubled(),
            *_convs(8 * w, 8 * w, 8 * w, 4 * w),
            doubled(),
            *_convs(4 * w, 4 * w, 4 * w, 2 * w),
            doubled(),
            *_convs(2 * w, 2 * w, 2 * w, w),
            doubled(),
            *_convs(w, w, w, w),
            nn.Conv2d(w, 3, 3, padding=1),
        )


class DraemNetworks(nn.Module):
    """An auto-encoder, and a U-Net with five halvings that compares what it gives with the image.

    Weights start from N(0, 0.02), scales of batch norms from N(1, 0.02).
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.reconstruct = Reconstructive(width)
        w = width // 2
        self.discriminate = UNet(
            nn.BatchNorm2d, 6, (w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w), (8 * w, 4 * w, 2 * w, w, w)
        )
        self.apply(_start)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) to their reconstruction and the logits (B, 2, H, W)."""
        rebuilt = self.reconstruct(pixels)
        return rebuilt, self.discriminate(torch.cat([rebuilt, pixels], 1))


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
