"""What DSR trains per category."""

from __future__ import annotations

from functools import partial

from torch import nn

from .._parts.convolutions import UNet, convolutions, doubled
from .vqvae import WIDTH, image_decoder

DEPTH = 4
"""Grids of the lower level are halved twice: sides of images must be multiples of 8 times this."""


_convs = partial(convolutions, nn.InstanceNorm2d)


class SubspaceRestriction(nn.Sequential):
    """Features of one level, (B, D, h, w), to what they would be on a normal image.

    A U-Net without skips, so that nothing bypasses what it has learned of normal images; sides are
    multiples of 4.

    Args:
        base: half of the channels of the first stage.
        channels: D, of the general model's codes.
    """

    def __init__(self, base: int = 64, channels: int = WIDTH) -> None:
        width = 2 * base
        super().__init__(
            *_convs(channels, width, width),
            nn.MaxPool2d(2),
            *_convs(width, 2 * width, 2 * width),
            nn.MaxPool2d(2),
            *_convs(2 * width, 4 * width, 4 * width),
            doubled(),
            *_convs(4 * width, 2 * width, 2 * width, 2 * width),
            doubled(),
            *_convs(2 * width, width, width, width),
            nn.Conv2d(width, channels, 3, padding=1),
        )


class ObjectDecoder(nn.Sequential):
    """The codes of both levels, (B, 2 D, h, w), to an image of the category, (B, 3, 4 h, 4 w).

    Args:
        base: channels of the bottleneck, a sixteenth of the widest stage's.
        channels: D, of the general model's codes.
    """

    def __init__(self, base: int = 64, channels: int = WIDTH) -> None:
        wide = 4 * base
        super().__init__(
            *_convs(2 * channels, wide, 2 * wide),
            nn.MaxPool2d(2),
            *_convs(2 * wide, 2 * wide, 4 * wide),
            nn.MaxPool2d(2),
            nn.Conv2d(4 * wide, base, 1),
            nn.ConvTranspose2d(base, base, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(base, base, 4, 2, 1),
            nn.ReLU(),
            image_decoder(base, 2 * base),
        )
        self.apply(_small_weights)


class MaskNet(UNet):
    """A U-Net with three halvings to two logits per pixel: (B, channels, H, W) to (B, 2, H, W).

    Sides are multiples of 8.

    Args:
        channels: 6 for the anomaly detection module (both reconstructions) and 8 for the
            upsampling module (and the former's mask).
        base: channels of the finest stage.
        small_weights: starts convolutions from N(0, 0.02) as published for the former.
    """

    def __init__(self, channels: int, base: int = 64, *, small_weights: bool = False) -> None:
        down = (base, 2 * base, 4 * base, 4 * base)
        super().__init__(nn.InstanceNorm2d, channels, down, down[-2::-1])
        if small_weights:
            self.apply(_small_weights)


class DsrNetworks(nn.Module):
    """The networks of the first training of a category; ``base`` is the published 64 or thinner."""

    def __init__(self, base: int = 64, channels: int = WIDTH) -> None:
        super().__init__()
        self.lo = SubspaceRestriction(base, channels)
        self.hi = SubspaceRestriction(base, channels)
        self.decoder = ObjectDecoder(base, channels)
        self.detector = MaskNet(6, base, small_weights=True)


def _small_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
