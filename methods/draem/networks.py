"""DRAEM's two networks."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from .._parts.convolutions import convolutions, doubled

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


class Discriminative(nn.Module):
    """A U-Net with five halvings: both images, (B, 6, H, W), to two logits per pixel.

    Args:
        width: channels of the finest stage.
    """

    def __init__(self, width: int = WIDTH // 2) -> None:
        super().__init__()
        widths = [width * m for m in (1, 2, 4, 8, 8, 8)]
        pairs = zip([6, *widths[:-1]], widths, strict=True)
        self.down = nn.ModuleList(nn.Sequential(*_convs(i, o, o)) for i, o in pairs)
        self.pool = nn.MaxPool2d(2)
        # the channels that come up; finer stages are merged into half of what the skip has
        above, grown = widths[-1], [8 * width, 4 * width, 2 * width, width, width]
        self.up, self.merge = nn.ModuleList(), nn.ModuleList()
        for skip, out in zip(widths[-2::-1], grown, strict=True):
            self.up.append(nn.Sequential(doubled(), *_convs(above, out)))
            self.merge.append(nn.Sequential(*_convs(out + skip, out, out)))
            above = out
        self.out = nn.Conv2d(width, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for i, stage in enumerate(self.down):
            x = stage(self.pool(x) if i else x)
            skips.append(x)
        for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
            x = merge(torch.cat([up(x), skip], 1))
        logits: Tensor = self.out(x)
        return logits


class DraemNetworks(nn.Module):
    """Both networks; weights start from N(0, 0.02), scales of batch norms from N(1, 0.02)."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.reconstruct = Reconstructive(width)
        self.discriminate = Discriminative(width // 2)
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
