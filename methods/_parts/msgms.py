"""Multi-scale gradient magnitude similarity: where the edges of two images differ.

Xue et al., "Gradient Magnitude Similarity Deviation", 2014, on several scales as in RIAD (Zavrtanik,
Kristan and Skočaj, Pattern Recognition 2021, section 3.2).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import upsample

SCALES = 4
FLAT = 0.0026
"""Keeps the similarity of two flat places at 1; for values in [0, 1]."""


def gradients(images: Tensor) -> Tensor:
    """Compute how steep images (B, C, H, W) are, (B, 1, H, W): channels averaged, a 3 × 3 median
    against noise, Prewitt's operator. Borders repeat their edge, so that they are no edges."""
    # the median of nine is the fifth largest; exported graphs know topk alone
    grey = _windows(images.mean(1, keepdim=True)).topk(5, dim=1).values[:, 4:]
    rows = _windows(grey).view(len(grey), 3, 3, *grey.shape[2:])  # (B, 3, 3, H, W)
    down = (rows[:, 2] - rows[:, 0]).mean(1)
    across = (rows[:, :, 2] - rows[:, :, 0]).mean(1)
    # the root has no slope at 0
    return torch.sqrt(down.square() + across.square() + 1e-12)[:, None]


def similarities(x: Tensor, y: Tensor, scales: int = SCALES) -> list[Tensor]:
    """Compare the gradients of images (B, C, H, W) in [0, 1].

    Returns:
        per scale, finest first, (B, h, w): 1 where the gradients are equally strong, towards 0 the
        more they differ. A scale has half the sides of the one before.
    """
    out = []
    for scale in range(scales):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        a, b = gradients(x), gradients(y)
        out.append(((2 * a * b + FLAT) / (a.square() + b.square() + FLAT))[:, 0])
    return out


def msgms_loss(x: Tensor, y: Tensor, scales: int = SCALES) -> Tensor:
    """Average 1 - similarity over pixels, then over scales; a scalar."""
    return torch.stack([(1 - s).mean() for s in similarities(x, y, scales)]).mean()


def msgms_map(x: Tensor, y: Tensor, scales: int = SCALES) -> Tensor:
    """Average 1 - similarity over scales at every pixel, (B, H, W); coarser ones interpolated."""
    size = (x.shape[2], x.shape[3])
    return torch.stack([1 - upsample(s, size) for s in similarities(x, y, scales)]).mean(0)


def _windows(images: Tensor) -> Tensor:
    """The 3 × 3 neighbours of every pixel: (B, 1, H, W) to (B, 9, H, W), row by row."""
    height, width = images.shape[2:]
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")[:, 0]
    shifts = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return torch.stack(shifts, 1)
