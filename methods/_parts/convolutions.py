"""Runs of 3 × 3 convolutions and upsampling, and the U-Net, as the networks of DSR and DRAEM stack them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def convolutions(norm: type[nn.Module], inside: int, *outside: int) -> list[nn.Module]:
    """Build 3 × 3 convolutions, each with a normalisation and a ReLU.

    Args:
        norm: made with a number of channels.
        inside, outside: channels before the first, and after each.
    """
    out: list[nn.Module] = []
    for channels in outside:
        conv = nn.Conv2d(inside, channels, 3, padding=1)
        out += [conv, norm(channels), nn.ReLU(inplace=True)]
        inside = channels
    return out


def doubled() -> nn.Module:
    """Build what doubles height and width, bilinearly with the corners aligned."""
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)


class UNet(nn.Module):
    """A U-Net to two logits per pixel, normal and anomalous: (B, channels, H, W) to (B, 2, H, W).

    Args:
        norm: after every convolution, made with a number of channels.
        channels: of the input.
        down: channels of the stages, the finest first; each halves the sides of the one before.
        up: channels after each doubling of the way back, as many as there are halvings.
    """

    def __init__(
        self, norm: type[nn.Module], channels: int, down: Sequence[int], up: Sequence[int]
    ) -> None:
        super().__init__()
        stages = zip((channels, *down[:-1]), down, strict=True)
        self.down = nn.ModuleList(nn.Sequential(*convolutions(norm, i, o, o)) for i, o in stages)
        self.pool = nn.MaxPool2d(2)
        rises = zip((down[-1], *up[:-1]), up, strict=True)
        self.up = nn.ModuleList(
            nn.Sequential(doubled(), *convolutions(norm, i, o)) for i, o in rises
        )
        merges = zip(down[-2::-1], up, strict=True)
        self.merge = nn.ModuleList(
            nn.Sequential(*convolutions(norm, skip + o, o, o)) for skip, o in merges
        )
        self.out = nn.Conv2d(up[-1], 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for i, stage in enumerate(self.down):
            x = stage(self.pool(x) if i else x)
            skips.append(x)
        for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
            x = merge(torch.cat([up(x), skip], 1))
        logits: Tensor = self.out(x)
        return logits
