"""Images whose sides a network can halve."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def fitting(pixels: Tensor, step: int, least: int | None = None) -> Tensor:
    """Resize images (B, C, H, W), if need be, to the next larger sides that suit.

    Args:
        pixels: the images; returned as they are where both sides suit.
        step: sides become multiples of it.
        least: the smallest side allowed, itself a multiple; one step unless told.
    """
    height, width = (max(-(-side // step) * step, least or step) for side in pixels.shape[2:])
    if (height, width) == tuple(pixels.shape[2:]):
        return pixels
    return F.interpolate(pixels, size=(height, width), mode="bilinear", align_corners=False)
