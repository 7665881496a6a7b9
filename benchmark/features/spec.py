"""What a method asks of a frozen backbone."""

from __future__ import annotations

from dataclasses import dataclass

POOLED = "pooled"
"""Layer name of the global average pool that feeds a network's classifier: (B, C)."""


@dataclass(frozen=True)
class FeatureSpec:
    """Frozen features that a method reads.

    Attributes:
        backbone: a model name (:mod:`benchmark.features.backbones`).
        layers: indices of resolutions or module names; ``"pooled"`` is the global average pool.
        flips: whether features of mirrored images will be read too.
    """

    backbone: str
    layers: tuple[int | str, ...]
    flips: bool = False
