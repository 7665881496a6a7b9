"""What the metrics accept: arrays, torch tensors and lists of either, checked block by block.

A block is a stack of equally sized images of about a million pixels: small enough to stay in the
processor's cache between the steps that look at it, large enough that a call per block is cheap.
"""

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
    """Equally sized images: maps (B, H, W) float32 or float64, masks (B, H, W) bool."""

    maps: Floats
    masks: Bools
    ids: Sequence[str]


def to_numpy(data: Any) -> NDArray[Any]:
    """An array or torch tensor as a NumPy array, without a copy where that is possible.

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
    """Float scores in a type that sorts by value: float16 becomes float32, the rest stays."""
    if data.dtype.kind != "f" or data.dtype.itemsize > 8:
        raise MetricInputError(
            f"{what}: scores of type {data.dtype}; allowed are float16, bfloat16, float32 and "
            "float64. Convert them before measuring."
        )
    wide = np.float64 if data.dtype.itemsize == 8 else np.float32
    return data.astype(wide, copy=False)


def refuse_non_finite(scores: Floats, what: str) -> None:
    """Raise MetricInputError if any score is NaN or infinite."""
    # The extremes pass NaN on, and reading twice is cheaper than writing one flag per score.
    if np.isfinite(scores.min()) and np.isfinite(scores.max()):
        return
    nan, infinite = int(np.isnan(scores).sum()), int(np.isinf(scores).sum())
    raise MetricInputError(
        f"{what}: {nan} NaN and {infinite} infinite scores among {scores.size}. Only finite "
        "scores can be ranked; look for an overflow or a division by zero in the detector."
    )


def binary_mask(mask: NDArray[Any], what: str) -> Bools:
    """A mask of bool, 0/1 or 0/255 values as bool; anything else is an error."""
    if mask.dtype == np.bool_:
        return mask
    if mask.dtype.kind in "uif":
        marked = mask.astype(np.bool_)
        top = mask.max()
        if top in (0, 1, 255) and np.count_nonzero(mask == top) == marked.sum() + (top == 0) * (
            mask.size - marked.sum()
        ):
            return marked
        found = ", ".join(str(value) for value in np.unique(mask)[:6])
        raise MetricInputError(
            f"{what}: the mask holds the values {found}{', ...' if len(found) > 5 else ''}; "
            "allowed are bool, 0 and 1, or 0 and 255. Binarise it after resizing with nearest."
        )
    raise MetricInputError(f"{what}: a mask of type {mask.dtype}; allowed are bool and numbers.")


def blocks(maps: Any, masks: Any, ids: Sequence[str] | None) -> Iterator[Block]:
    """Checked blocks of (N, H, W) maps and masks, or of lists of (H, W) maps and masks.

    Raises MetricInputError for shapes that disagree, score types other than floats, NaN,
    infinities, and masks that are not binary, each naming the image.
    """
    count = len(maps)
    if len(masks) != count:
        raise MetricInputError(f"{count} maps but {len(masks)} masks; give one mask per map.")
    names: Sequence[str] = [str(i) for i in range(count)] if ids is None else ids
    if len(names) != count:
        raise MetricInputError(f"{count} maps but {len(names)} ids; give one id per map.")
    ragged = isinstance(maps, list | tuple) or isinstance(masks, list | tuple)
    if not ragged:
        shape, mask_shape = tuple(maps.shape), tuple(masks.shape)
        if len(shape) != 3 or mask_shape != shape:
            raise MetricInputError(
                f"maps of shape {shape} and masks of shape {mask_shape}; both must be (N, H, W). "
                "Drop a channel axis with maps[:, 0]."
            )
    step = 1 if ragged else max(1, BLOCK_PIXELS // max(1, maps.shape[1] * maps.shape[2]))
    for begin in range(0, count, step):
        end = min(begin + step, count)
        if ragged:
            piece, mark = to_numpy(maps[begin])[None], to_numpy(masks[begin])[None]
        else:
            piece, mark = to_numpy(maps[begin:end]), to_numpy(masks[begin:end])
        yield checked_block(piece, mark, names[begin:end])


def checked_block(maps: NDArray[Any], masks: NDArray[Any], ids: Sequence[str]) -> Block:
    """One block from equally sized images, or MetricInputError naming the offending image."""
    if maps.ndim != 3 or maps.shape != masks.shape or maps.size == 0:
        raise MetricInputError(
            f"image {ids[0]}: a map of shape {maps.shape[1:]} and a mask of shape "
            f"{masks.shape[1:]}; both must be (H, W) with at least one pixel."
        )
    scores = np.ascontiguousarray(as_floats(maps, f"image {ids[0]}"))
    for score, name in zip(scores, ids, strict=True):
        refuse_non_finite(score, f"image {name}")
    if masks.dtype != np.bool_:
        named = zip(masks, ids, strict=True)
        masks = np.stack([binary_mask(mask, f"image {name}") for mask, name in named])
    return Block(scores, masks, ids)
