"""What a method asks of a frozen backbone."""

from __future__ import annotations

from dataclasses import dataclass

POOLED = "pooled"
"""Layer name of what feeds a network's classifier, (B, C): the global average of a convolutional
network, the class token or the mean of the others in a transformer, as its authors pool it."""

CLS = "cls"
"""Layer name of a transformer's class token after the final normalisation, (B, C)."""


@dataclass(frozen=True)
class FeatureSpec:
    """Frozen features that a method reads.

    Attributes:
        backbone: a model name (:mod:`benchmark.features.backbones`).
        layers: indices of resolutions (of blocks in a vision transformer) or module names;
            ``"pooled"`` and ``"cls"`` describe the whole image.
        flips: whether features of mirrored images will be read too.
        normalise: whether the network sees images with its own mean and deviation; otherwise they
            stay in [0, 1].
        rereads: whether ``fit`` reads the training images' features more than once, so that they
            are worth keeping.
        read: whether the run passes its images through the network once for all methods; False for
            a method that uses the network itself (``Context.backbone``) and reads no features.
    """

    backbone: str
    layers: tuple[int | str, ...]
    flips: bool = False
    normalise: bool = True
    rereads: bool = False
    read: bool = True
