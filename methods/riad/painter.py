"""RIAD's network, and which parts of an image it is not shown."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

SETS = 3
"""Parts of an image that are painted anew one after the other."""


class Painter(nn.Module):
    """A U-Net with four halvings by strided convolutions; images in [-1, 1] in and out.

    Args:
        width: channels of the finest stage.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        self.down = nn.ModuleList(
            nn.Sequential(*_conv(i, o, 4 if n else 3), *_conv(o, o))
            for n, (i, o) in enumerate(zip([3, *widths[:-1]], widths, strict=True))
        )
        ups = list(zip(widths[:0:-1], widths[-2::-1], strict=True))  # from coarse to fine
        self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 4, 2, 1) for i, o in ups)
        self.merge = nn.ModuleList(nn.Sequential(*_conv(2 * o, o), *_conv(o, o)) for _, o in ups)
        self.out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for stage in self.down:
            x = stage(x)
            skips.append(x)
        for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
            x = merge(torch.cat([up(x), skip], 1))
        out: Tensor = self.out(x)
        return out.tanh()


def shared_out(shape: torch.Size, side: int, generator: torch.Generator) -> Tensor:
    """Share the squares of images out among three sets of equal size, at random.

    Args:
        shape: of the images, (B, C, H, W).
        side: of a square.
        generator: on the CPU.

    Returns:
        int64 (B, 1, H, W), the set of every pixel.
    """
    rows, columns = shape[2] // side, shape[3] // side
    draws = torch.rand(shape[0], rows * columns, generator=generator)
    sets = draws.argsort(1).view(-1, 1, rows, columns) % SETS
    return sets.repeat_interleave(side, 2).repeat_interleave(side, 3)


@lru_cache(maxsize=16)
def fixed_sets(height: int, width: int, side: int) -> Tensor:
    """Share the squares of any image of this size out, always alike: int64 (1, 1, H, W)."""
    generator = torch.Generator().manual_seed(side)
    return shared_out(torch.Size((1, 3, height, width)), side, generator)


def _conv(inside: int, outside: int, kernel: int = 3) -> list[nn.Module]:
    conv = nn.Conv2d(inside, outside, kernel, 2 if kernel == 4 else 1, 1)
    return [conv, nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
