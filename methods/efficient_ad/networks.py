"""EfficientAD-S: the patch description network of teacher and student, and the auto-encoder."""

from __future__ import annotations

import itertools

from torch import nn

WIDTH = 384
"""Numbers that describe a patch."""
HALVINGS = 5
"""Of the auto-encoder, before its bottleneck."""
LEAST = 64
"""Sides of images, smallest."""
DROPPED = 0.2
"""Share of the auto-encoder's numbers that a training step leaves out, after each growth but one."""


def patch_network(width: int, *, padded: bool = False) -> nn.Sequential:
    """Build the small patch description network: a number set per patch of 33 × 33 pixels.

    Args:
        width: numbers per patch; 384 for a teacher, twice that for a student.
        padded: whether borders are padded: 256 × 256 pixels then give 64 × 64 patches, else 56 × 56.

    Returns:
        a network from normalised images (B, 3, H, W) to (B, width, h, w).
    """
    pad = int(padded)
    return nn.Sequential(
        nn.Conv2d(3, 128, 4, padding=3 * pad),
        nn.ReLU(inplace=True),
        nn.AvgPool2d(2, padding=pad),
        nn.Conv2d(128, 256, 4, padding=3 * pad),
        nn.ReLU(inplace=True),
        nn.AvgPool2d(2, padding=pad),
        nn.Conv2d(256, 256, 3, padding=pad),
        nn.ReLU(inplace=True),
        nn.Conv2d(256, width, 4),
    )


def auto_encoder(size: tuple[int, int]) -> nn.Sequential:
    """Build the auto-encoder for images of one size, both sides at least 64.

    Published for 256 × 256 pixels: a bottleneck of one place, then 3, 8, 15, 32, 63, 127 and 56
    places a side; other sizes in proportion.

    Returns:
        a network from normalised images (B, 3, H, W) to (B, 384, h, w), the grid of the patch
        description network without padding.
    """
    channels = (3, 32, 32, 64, 64, 64)
    layers: list[nn.Module] = []
    for inside, outside in itertools.pairwise(channels):
        layers += [nn.Conv2d(inside, outside, 4, 2, 1), nn.ReLU(inplace=True)]
    bottom = tuple(side >> HALVINGS for side in size)
    layers.append(nn.Conv2d(64, 64, (bottom[0], bottom[1])))
    for growth in range(6, 0, -1):  # to a 64th of the image's side, a 32nd, …, a half
        less = 0 if growth in (5, 3) else 1
        grown = [max((side >> growth) - less, 1) for side in size]
        layers += [
            nn.Upsample((grown[0], grown[1]), mode="bilinear"),
            nn.Conv2d(64, 64, 4, padding=2),
            nn.ReLU(inplace=True),
            nn.Dropout(DROPPED),
        ]
    height, width = (patches(side) for side in size)
    return nn.Sequential(
        *layers,
        nn.Upsample((height, width), mode="bilinear"),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, WIDTH, 3, padding=1),
    )


def patches(side: int) -> int:
    """Count the places along a side of the patch description network without padding.

    >>> patches(256)
    56
    """
    return ((side - 3) // 2 - 3) // 2 - 2 - 3
