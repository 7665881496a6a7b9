"""Upsampling and smoothing of anomaly maps, on the maps' own device."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def upsample(maps: Tensor, size: tuple[int, int], *, align_corners: bool = False) -> Tensor:
    """Interpolate maps (B, h, w) bilinearly to (B, H, W), float32.

    >>> upsample(torch.zeros(2, 7, 7), (28, 28)).shape
    torch.Size([2, 28, 28])
    """
    out = F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=align_corners)
    return out[:, 0]


def smooth(maps: Tensor, sigma: float) -> Tensor:
    """Smooth maps (B, H, W) with a Gaussian, as ``scipy.ndimage.gaussian_filter`` does with its
    defaults (kernel cut at 4 sigma, border mirrored with the edge pixel repeated).

    Computed as two products with a banded matrix that already holds the border rule: one call for a
    whole batch, on any device, with SciPy itself as the source of the weights.
    """
    if sigma <= 0:
        return maps
    rows = _smoothing_matrix(maps.shape[1], sigma).to(maps)
    columns = _smoothing_matrix(maps.shape[2], sigma).to(maps)
    return rows @ maps @ columns.T


@lru_cache(maxsize=16)
def _smoothing_matrix(side: int, sigma: float) -> Tensor:
    from scipy.ndimage import gaussian_filter1d

    return torch.from_numpy(gaussian_filter1d(np.eye(side), sigma, axis=0))
