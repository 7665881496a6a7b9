"""Patch descriptors from frozen feature maps, and some of them drawn from a training set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.detector.base import Batch, Images
from benchmark.detector.context import Context
from benchmark.errors import SettingsError
from benchmark.features.backbones import POOLED

Describe = Callable[[Batch], Tensor]
"""Gives the descriptors of a batch (B, P, C); P and C are always the same."""


def check_maps(owner: str, layers: Sequence[int | str]) -> None:
    """Raises SettingsError unless there are layers, and all of them can be feature maps."""
    if not layers or POOLED in layers:
        raise SettingsError(
            f"{owner}: layers is {layers}; name at least one, and feature maps: {POOLED!r} has no "
            "positions"
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


def picked(
    train: Images, context: Context, describe: Describe, places: Tensor, title: str
) -> Tensor:
    """The descriptors at some places of a training set, computed batch by batch.

    Args:
        places: int64 (M,), ascending; image i has the places from i × P on.
        title: shown as progress.

    Returns:
        (M, C) on the device of the descriptors.
    """
    patches = describe(train.batch([0])).shape[1]
    starts = range(0, len(train), 16)
    kept: list[Tensor] = []
    for start in context.progress.track(starts, title, len(starts)):
        images = range(start, min(start + 16, len(train)))
        first, last = torch.searchsorted(
            places, torch.tensor([start * patches, (images[-1] + 1) * patches])
        ).tolist()
        if first < last or not kept:
            rows = describe(train.batch(images)).flatten(0, 1)
            kept.append(rows[(places[first:last] - start * patches).to(rows.device)])
    return torch.cat(kept)


def drawn(train: Images, context: Context, describe: Describe, count: int) -> Tensor:
    """``count`` descriptors (or all, if fewer) of a training set, drawn without replacement."""
    total = len(train) * describe(train.batch([0])).shape[1]
    places = np.sort(context.rng("patches").choice(total, min(count, total), replace=False))
    return picked(train, context, describe, torch.from_numpy(places), "patches")


def top_mean(values: Tensor, share: float) -> Tensor:
    """The mean of the largest ``share`` of each row's values, at least of one: (B, K) to (B,)."""
    count = max(1, int(values.shape[1] * share))
    return values.topk(count, dim=1).values.mean(1)
