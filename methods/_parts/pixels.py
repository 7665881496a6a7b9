"""Whole images as vectors of pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import Batch, Context, Geometry, Images

from .pca import reduction

NATIVE = Geometry(resize=None)
"""Images as they are, which the one-class data sets' papers use."""


def pixels(batch: Batch, side: int) -> Tensor:
    """Return the images as rows (B, D), averaged down to at most side × side pixels first."""
    images = batch.pixels
    if max(batch.size) > side:
        size = [min(length, side) for length in batch.size]
        images = F.interpolate(images, size=size, mode="area")
    return images.flatten(1)


def all_pixels(train: Images, side: int, context: Context) -> Tensor:
    """Return all training images as rows (N, D) on the context's device."""
    steps = context.progress.track(train.batches(64), "pixels", -(-len(train) // 64))
    return torch.cat([pixels(batch, side).to(context.device) for batch in steps])


def pixel_axes(rows: Tensor, variance: float | None) -> tuple[Tensor, Tensor]:
    """Mean (D,) and principal axes (K, D) that hold this share of the variance; None: no axes."""
    return reduction(rows, variance) if variance else (rows.mean(0), rows[:0])


def reduced(rows: Tensor, mean: Tensor, axes: Tensor) -> Tensor:
    """Rows (N, D), centred, along the axes if there are any: (N, K) or (N, D)."""
    centred = rows.to(mean.device) - mean
    return centred @ axes.T if len(axes) else centred
