"""Patch descriptors from frozen feature maps, and some of them drawn from a training set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import CLS, POOLED, Batch, Context, Images
from benchmark.errors import SettingsError

Describe = Callable[[Batch], Tensor]
"""Gives the descriptors of a batch (B, P, C); P and C are always the same."""


def check_maps(owner: str, layers: Sequence[int | str]) -> None:
    """Raises SettingsError unless there are layers, and all of them can be feature maps."""
    if not layers or {POOLED, CLS} & set(layers):
        raise SettingsError(
            f"{owner}: layers is {layers}; name at least one, and feature maps: {POOLED!r} and "
            f"{CLS!r} have no positions"
        )


def stacked(layers: Sequence[Tensor]) -> Tensor:
    """Descriptors (B, P, C) of the first layer's positions; the others are interpolated to them."""
    size = layers[0].shape[2:]
    grown = [
        layer
        if layer.shape[2:] == size
        else F.interpolate(layer, size=size, mode="bilinear", align_corners=False)
        for layer in layers
    ]
    return torch.cat(grown, 1).flatten(2).mT.contiguous()


def flattened(layers: Sequence[Tensor], width: int, middle: int | None = None) -> Tensor:
    """PatchCore's descriptors (B, P, width) of 3 × 3 patches, on the first layer's grid.

    The official code unfolds the patches of every layer, interpolates them to the grid, pools each
    layer's C × 9 numbers, channel by channel, along this axis to ``middle`` (``width`` unless told),
    and the layers' results, one after the other, to ``width``. All of it is linear: here the
    poolings are one convolution per layer, and what is interpolated is their result.
    """
    size = layers[0].shape[2:]
    out = layers[0].new_zeros(layers[0].shape[0], width, *size)
    weights = _pooling(tuple(layer.shape[1] for layer in layers), width, middle or width)
    for layer, (part, weight) in zip(layers, weights, strict=True):
        pooled = F.conv2d(layer, weight.to(layer.device), padding=1)
        out[:, part] += F.interpolate(pooled, size=size, mode="bilinear", align_corners=False)
    return out.flatten(2).mT.contiguous()


def picked(
    train: Images, context: Context, describe: Describe, places: Tensor, title: str
) -> Tensor:
    """Return the descriptors at some places of a training set, computed batch by batch.

    Args:
        places: int64 (M,), ascending; image i has the places from i × P on.
        title: shown as progress.

    Returns:
        (M, C) on the device of the descriptors.
    """
    first_image = describe(train.batch([0]))
    patches = first_image.shape[1]
    kept = first_image.new_zeros(len(places), first_image.shape[2])
    starts, last = range(0, len(train), 16), 0
    for start in context.progress.track(starts, title, len(starts)):
        images = range(start, min(start + 16, len(train)))
        first, last = torch.searchsorted(
            places, torch.tensor([start * patches, (images[-1] + 1) * patches])
        ).tolist()
        if first < last:
            rows = describe(train.batch(images)).flatten(0, 1)
            kept[first:last] = rows[(places[first:last] - start * patches).to(rows.device)]
    if last < len(places):  # a rehearsal ends the loop early: what was read stands in for the rest
        kept[last:] = kept[torch.arange(last, len(places)) % max(last, 1)]
    return kept


def drawn(train: Images, context: Context, describe: Describe, count: int) -> Tensor:
    """``count`` descriptors (or all, if fewer) of a training set, drawn without replacement."""
    total = len(train) * describe(train.batch([0])).shape[1]
    places = np.sort(context.rng("patches").choice(total, min(count, total), replace=False))
    return picked(train, context, describe, torch.from_numpy(places), "patches")


def top_mean(values: Tensor, share: float) -> Tensor:
    """Average the largest ``share`` of each row's values, at least one: (B, K) to (B,)."""
    count = max(1, int(values.shape[1] * share))
    return values.topk(count, dim=1).values.mean(1)


@lru_cache(maxsize=2)
def _pooling(widths: tuple[int, ...], width: int, middle: int) -> list[tuple[slice, Tensor]]:
    """Compute each layer's convolution in :func:`flattened`: which of the ``width`` numbers it adds
    to, and their weights (n, C, 3, 3)."""
    again = torch.split(_pooling_matrix(len(widths) * middle, width), middle, 1)
    out = []
    for second, channels in zip(again, widths, strict=True):
        weight = (second @ _pooling_matrix(channels * 9, middle)).view(width, channels, 3, 3)
        used = weight.flatten(1).any(1).nonzero().flatten()
        part = slice(int(used[0]), int(used[-1]) + 1)
        out.append((part, weight[part]))
    return out


def _pooling_matrix(length: int, width: int) -> Tensor:
    """Adaptive average pooling of ``length`` numbers to ``width`` as a matrix (width, length)."""
    out = torch.zeros(width, length)
    for i in range(width):
        window = slice(i * length // width, -(-(i + 1) * length // width))
        out[i, window] = 1 / (window.stop - window.start)
    return out
