"""The networks of IGD: encoder of patches, decoders and critics of both scales.

Layers as in the official code (https://github.com/tianyu0207/IGD), which the paper's section 4.2
summarises: pre-activated residual blocks. Sides are those of a 32 × 32 or 256 × 256 input; other
inputs change only the coarsest grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .resampling_conv import DoublingConv, HalvingConv

LATENT = 128
"""Length of a code."""
CHANNELS = 512
"""Of the coarsest grid that a decoder starts from and a critic ends with."""
LOCAL_STEP, GLOBAL_STEP = 8, 64
"""Pixels of the input per cell of that grid."""


class Up(nn.Module):
    """Residual block that doubles the resolution: (B, a, h, w) to (B, b, 2 h, 2 w)."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(a, b, 1)
        self.first_norm = nn.BatchNorm2d(a)
        self.first = DoublingConv(a, b, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(b)
        self.second = nn.Conv2d(b, b, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        # a 1 × 1 convolution of repeated pixels repeats that of the pixels
        shortcut = F.interpolate(self.shortcut(x), scale_factor=2.0, mode="nearest")
        x = self.first(F.relu(self.first_norm(x)))
        out: Tensor = shortcut + self.second(F.relu(self.second_norm(x)))
        return out


class Down(nn.Module):
    """Residual block that halves the resolution: (B, a, 2 h, 2 w) to (B, b, h, w).

    Args:
        a, b: channels.
        sides: (2 h, 2 w) for layer normalisation over all of an image, as critics have; None for
            batch normalisation.
    """

    def __init__(self, a: int, b: int, sides: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(a, b, 1)
        self.first_norm = _norm(a, sides)
        self.first = nn.Conv2d(a, a, 3, padding=1, bias=False)
        self.second_norm = _norm(a, sides)
        self.second = HalvingConv(a, b, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(F.avg_pool2d(x, 2))
        x = self.first(F.relu(self.first_norm(x)))
        out: Tensor = shortcut + self.second(F.relu(self.second_norm(x)))
        return out


class ImageNorm(nn.LayerNorm):
    """Layer normalisation over channels and places of an image, with a gain and an offset each.

    Parameters are (H, W, C), the order in memory of the channels-last layout, which is kept.
    """

    def __init__(self, channels: int, sides: tuple[int, int]) -> None:
        super().__init__((*sides, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PatchEncoder(nn.Module):
    """The local encoder's body: normalised (B, 3, 32, 32) to (B, width).

    Args:
        width: of the teacher's descriptor that it imitates.
    """

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        self.width = width
        self.stem = nn.Conv2d(3, 64, 3, padding=1)
        self.blocks = nn.Sequential(Down(64, 128), Down(128, 256), Down(256, CHANNELS))
        self.head = nn.Linear(CHANNELS * 4 * 4, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        out: Tensor = self.head(x.flatten(1))
        return out


class Decoder(nn.Module):
    """Codes (B, 128) to normalised images (B, 3, H, W); no activation at the end.

    Args:
        scale: ``local`` (sides are multiples of 8) or ``global`` (of 64).
        sides: (H, W).
    """

    def __init__(self, scale: str, sides: tuple[int, int]) -> None:
        super().__init__()
        step = GLOBAL_STEP if scale == "global" else LOCAL_STEP
        self.grid = (sides[0] // step, sides[1] // step)
        self.start = nn.Linear(LATENT, CHANNELS * self.grid[0] * self.grid[1])
        blocks: list[nn.Module] = [Up(512, 256), Up(256, 128), Up(128, 64)]
        if scale == "global":
            blocks = [DoublingConv(512, 512, 3, padding=1), Up(512, 512), *blocks]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(64)
        self.last = (
            DoublingConv(64, 3, 5, padding=2)
            if scale == "global"
            else nn.Conv2d(64, 3, 3, padding=1)
        )

    def forward(self, codes: Tensor) -> Tensor:
        x = self.start(codes).view(-1, CHANNELS, *self.grid)
        x = self.blocks(x.contiguous(memory_format=torch.channels_last))
        out: Tensor = self.last(F.relu(self.norm(x)))
        return out


class Critic(nn.Module):
    """Normalised images (B, 3, H, W) to an estimate of the share of interpolation, (B,).

    Args:
        scale, sides: as of :class:`Decoder`.
        sigmoid: whether the estimate passes through one.
    """

    def __init__(self, scale: str, sides: tuple[int, int], *, sigmoid: bool = False) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        height, width = sides
        widths: Sequence[int] = (64, 128, 256, 512)
        last: nn.Module = nn.Identity()
        if scale == "global":
            self.stem = nn.Conv2d(3, 64, 5, stride=2, padding=2)
            height, width = height // 2, width // 2
            widths = (*widths, 512)
            last = nn.Conv2d(512, CHANNELS, 3, stride=2, padding=1)
        else:
            self.stem = nn.Conv2d(3, 64, 3, padding=1)
        blocks: list[nn.Module] = []
        for a, b in pairwise(widths):
            blocks.append(Down(a, b, (height, width)))
            height, width = height // 2, width // 2
        self.blocks = nn.Sequential(*blocks, last)
        step = GLOBAL_STEP if scale == "global" else LOCAL_STEP
        self.head = nn.Linear(CHANNELS * (sides[0] // step) * (sides[1] // step), 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        out: Tensor = self.head(x.flatten(1))[:, 0].float()
        return torch.sigmoid(out) if self.sigmoid else out


def _norm(channels: int, sides: tuple[int, int] | None) -> nn.Module:
    return nn.BatchNorm2d(channels) if sides is None else ImageNorm(channels, sides)
