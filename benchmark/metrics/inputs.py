"""What the metrics accept: arrays, torch tensors and lists of either, checked block by block.

A block is a stack of equally sized images of about a million pixels: small enough to stay in the
processor's cache between the steps that look at it, large enough that a call per block is cheap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import BenchError

BLOCK_PIXELS = 1 << 20

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]


class MetricInputError(BenchError, ValueError):
    """Maps, masks, scores or labels that no metric is defined for."""


@dataclass(frozen=True)
class Block:
    """Equally sized images as they came: maps and masks (B, H, W), one id for each.

    `checked` returns the block with maps of float32 or float64 and masks of bool.
    """

    maps: Any
    masks: Any
    ids: Sequence[str]

    def checked(self) -> Block:
        """Raises MetricInputError naming the image for anything that cannot be measured."""
        maps, masks = to_numpy(self.maps), to_numpy(self.masks)
        if maps.ndim != 3 or maps.shape != masks.shape or maps.size == 0:
            raise MetricInputError(
                f"image {self.ids[0]}: a map of shape {maps.shape[1:]} and a mask of shape "
                f"{masks.shape[1:]}; both must be (H, W) with at least one pixel."
            )
        scores = np.ascontiguousarray(as_floats(maps, f"image {self.ids[0]}"))
        for score, name in zip(scores, self.ids, strict=True):
            refuse_non_finite(score, f"image {name}")
        if masks.dtype != np.bool_:
            named = zip(masks, self.ids, strict=True)
            masks = np.stack([binary_mask(mask, f"image {name}") for mask, name in named])
        return Block(scores, masks, self.ids)


def blocks(maps: Any, masks: Any, ids: Sequence[str] | None) -> Iterator[Block]:
    """Yield blocks of (N, H, W) maps and masks, or of lists of (H, W) maps and masks, not yet
    checked.

    Raises MetricInputError for numbers of images and stacks of shapes that disagree.
    """
    count = len(maps)
    if len(masks) != count:
        raise MetricInputError(f"{count} maps but {len(masks)} masks; give one mask per map.")
    names: Sequence[str] = [str(i) for i in range(count)] if ids is None else ids
    if len(names) != count:
        raise MetricInputError(f"{count} maps but {len(names)} ids; give one id per map.")
    if isinstance(maps, list | tuple) or isinstance(masks, list | tuple):
        for i in range(count):
            yield Block(to_numpy(maps[i])[None], to_numpy(masks[i])[None], [names[i]])
        return
    shape, mask_shape = tuple(maps.shape), tuple(masks.shape)
    if len(shape) != 3 or mask_shape != shape:
        raise MetricInputError(
            f"maps of shape {shape} and masks of shape {mask_shape}; both must be (N, H, W). "
            "Add the axis of a single image with maps[None], drop a channel axis with maps[:, 0]."
        )
    step = max(1, BLOCK_PIXELS // max(1, shape[1] * shape[2]))
    for i in range(0, count, step):
        yield Block(maps[i : i + step], masks[i : i + step], names[i : i + step])


def to_numpy(data: Any) -> NDArray[Any]:
    """Turn an array or torch tensor into a NumPy array, without a copy where that is possible.

    Tensors are known by their methods, so that torch is never imported here. NumPy has no
    bfloat16; float32 holds each of its values exactly.
    """
    if hasattr(data, "detach"):
        data = data.detach().cpu()
        if str(data.dtype) == "torch.bfloat16":
            data = data.float()
        data = data.numpy()
    return np.asarray(data)


def as_floats(data: NDArray[Any], what: str) -> Floats:
    """Turn float scores into a type that sorts by value: float16 becomes float32, the rest
    stays."""
    if data.dtype.kind != "f" or data.dtype.itemsize > 8:
        raise MetricInputError(
            f"{what}: scores of type {data.dtype}; allowed are float16, bfloat16, float32 and "
            "float64. Convert them before measuring."
        )
    return data.astype(np.float64 if data.dtype.itemsize == 8 else np.float32, copy=False)


def as_scores(data: Any, what: str) -> Floats:
    """Turn scores of images into a flat array that sorts by value. Raises MetricInputError for
    another shape or type, NaN and infinities."""
    values = to_numpy(data)
    if values.ndim != 1:
        raise MetricInputError(f"{what} of shape {values.shape}; one score per image, (N,).")
    if not len(values):
        return np.zeros(0, dtype=np.float64)
    values = as_floats(values, what)
    refuse_non_finite(values, what)
    return values


def refuse_non_finite(scores: Floats, what: str) -> None:
    """Raise MetricInputError if any score is NaN or infinite."""
    # Minimum and maximum are NaN if any score is; reading twice is cheaper than a flag per score.
    if np.isfinite(scores.min()) and np.isfinite(scores.max()):
        return
    nan, infinite = int(np.isnan(scores).sum()), int(np.isinf(scores).sum())
    raise MetricInputError(
        f"{what}: {nan} NaN and {infinite} infinite scores among {scores.size}. Only finite "
        "scores can be ranked; look for an overflow or a division by zero in the detector."
    )


def binary_mask(mask: NDArray[Any], what: str) -> Bools:
    """Turn a mask of bool, 0/1 or 0/255 values into bool; anything else is an error."""
    if mask.dtype.kind not in "buif":
        raise MetricInputError(
            f"{what}: a mask of type {mask.dtype}; allowed are bool and numbers."
        )
    top = mask.max()
    marked: Bools = mask.view(np.bool_) if mask.dtype == np.uint8 and top <= 1 else mask != 0
    # A mask is binary where all that is not zero equals the largest value.
    if top in (0, 1, 255) and np.array_equal(mask == top, marked if top else ~marked):
        return marked
    found = [str(value) for value in np.unique(mask)]
    raise MetricInputError(
        f"{what}: the mask holds {', '.join(found[:5])}{', ...' if len(found) > 5 else ''}; "
        "allowed are bool, 0 and 1, or 0 and 255. Binarise it, and resize it with nearest."
    )
