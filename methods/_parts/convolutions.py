"""Runs of 3 × 3 convolutions and upsampling, as the networks of DSR and DRAEM stack them."""

from __future__ import annotations

from torch import nn


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
