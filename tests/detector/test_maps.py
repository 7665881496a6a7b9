"""Upsampling and smoothing of maps."""

from __future__ import annotations

import torch

from benchmark import upsample


def test_upsampling_keeps_constants() -> None:
    maps = torch.full((2, 7, 5), 3.0)
    assert torch.equal(upsample(maps, (28, 20)), torch.full((2, 28, 20), 3.0))
