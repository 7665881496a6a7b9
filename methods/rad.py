"""RAD: retrieval-based anomaly detection without training (arXiv 2601.22763), any backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import (
    Batch,
    Context,
    Detector,
    FeatureSpec,
    Geometry,
    Images,
    Prediction,
    smooth,
    upsample,
)
from benchmark.errors import SettingsError

from ._parts.patches import check_maps, top_mean

TRACED = 2**22
"""Values of retrieved images, 16 MB for each query, that one step of an exported graph compares: fewer
steps than with one image at a time, which is the fastest here, since it stays in the cache."""


class Rad(Detector):
    """RAD: cosine distance to the patches around the same place of similar images.

    Paper: arXiv 2601.22763; details follow its reimplementation in a public library. The k most
    similar training images are retrieved
    by a descriptor of the whole image. In every layer a patch is compared with the patches of these
    images that lie at most ``radius`` positions away; the layers' distances are averaged. The score
    is the mean of the map's highest 1 %.

    The published backbone is a vision transformer with its class token; with a convolutional one
    the descriptor is an average over space, and each layer has a grid of its own.

    Args:
        backbone: frozen network.
        layers: resolutions or modules, finest first.
        descriptor: the layer that describes the whole image; a feature map is averaged over space.
        k: images retrieved; at most as many as there are.
        radius: of the neighbourhood, in positions of a layer's grid.
        top: share of a map's pixels whose mean is the score.
        sigma: of the Gaussian smoothing of maps, in input pixels.
    """

    title = "RAD"
    citation = "arXiv 2601.22763"
    paper = Geometry(resize=(448, 448))
    draws = False
    smoke = {"backbone": "resnet18", "layers": (1, 2), "k": 8}

    def __init__(
        self,
        *,
        backbone: str = "vit_base_patch16_dinov3",
        layers: tuple[int | str, ...] = (3, 6, 9, 11),
        descriptor: int | str = "pooled",
        k: int = 150,
        radius: int = 1,
        top: float = 0.01,
        sigma: float = 1.0,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.descriptor = descriptor
        self.k = k
        self.radius = radius
        self.top = top
        self.sigma = sigma
        check_maps("rad", layers)
        if k < 1 or radius < 0 or not 0 < top <= 1:
            raise SettingsError(
                f"rad: k is {k}: at least one image is needed; radius is {radius}: allowed is 0 or "
                f"more; top is {top}: allowed is a share above 0 and up to 1"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, (self.descriptor, *self.layers))]

    def fit(self, train: Images, context: Context) -> Self:
        steps = context.progress.track(train.batches(16), "gallery", -(-len(train) // 16))
        start = 0
        for batch in steps:
            descriptors, levels = self._describe(batch, context)
            if start == 0:
                self.descriptors_ = descriptors.new_empty(len(train), descriptors.shape[1])
                self.galleries_ = [f.new_empty(len(train), *f.shape[1:]) for f in levels]
            self.descriptors_[start : start + len(batch)] = descriptors
            for gallery, level in zip(self.galleries_, levels, strict=True):
                gallery[start : start + len(batch)] = level
            start += len(batch)
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        descriptors, levels = self._describe(batch, context)
        similar = descriptors @ self.descriptors_.to(descriptors.device).T
        chosen = similar.topk(min(self.k, similar.shape[1]), dim=1).indices
        maps = torch.zeros(descriptors.shape[0], *batch.size, device=descriptors.device)
        for level, gallery in zip(levels, self.galleries_, strict=True):
            distances = 1 - nearby_cosine(level, gallery, chosen, self.radius)
            maps += upsample(distances, batch.size) / len(levels)
        maps = smooth(maps, self.sigma)
        return Prediction(top_mean(maps.flatten(1), self.top), maps)

    def _describe(self, batch: Batch, context: Context) -> tuple[Tensor, list[Tensor]]:
        """Image descriptors (B, D) and levels (B, C, h, w), all of length one per position."""
        first, *levels = context.features(batch, self.needs()[0])
        descriptors = first.flatten(2).mean(2) if first.ndim == 4 else first
        return F.normalize(descriptors, dim=1), [F.normalize(level, dim=1) for level in levels]


def nearby_cosine(queries: Tensor, gallery: Tensor, chosen: Tensor, radius: int) -> Tensor:
    """Find the largest cosine of each position with positions near it in some images: (B, h, w).

    Args:
        queries: (B, C, h, w), of length one per position.
        gallery: (N, C, h, w), likewise.
        chosen: int64 (B, k), positions in the gallery.
        radius: positions further away than this, in either direction, are left out.
    """
    height, width = queries.shape[2:]
    together = TRACED // gallery[0].numel() if torch.compiler.is_exporting() else 1
    best = queries.new_full((), -1.0)
    for images in torch.split(chosen, max(1, together), dim=1):
        normal = gallery[images.to(gallery.device)].to(queries.device)
        for down in range(-radius, radius + 1):
            for right in range(-radius, radius + 1):
                rows, columns = _overlap(height, down), _overlap(width, right)
                there, beside = _overlap(height, -down), _overlap(width, -right)
                cosines = (queries[:, None, :, rows, columns] * normal[..., there, beside]).sum(2)
                outside = (columns.start, width - columns.stop, rows.start, height - rows.stop)
                best = torch.maximum(best, F.pad(cosines.amax(1), outside, value=-1.0))
    return best


def _overlap(size: int, shift: int) -> slice:
    """Return the positions p of 0 … size - 1 for which p + shift is one as well."""
    return slice(max(0, -shift), max(0, size - max(0, shift)))
