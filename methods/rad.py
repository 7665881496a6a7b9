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
from benchmark.errors import DetectorError, SettingsError

from ._parts.patches import check_maps, top_mean


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
        if torch.compiler.is_exporting():  # a trace of the default k takes many minutes
            raise DetectorError(
                f"a graph would hold the comparisons with all {self.k} images that are chosen for "
                "each image one by one"
            )
        descriptors, levels = self._describe(batch, context)
        similar = descriptors @ self.descriptors_.to(descriptors.device).T
        chosen = similar.topk(min(self.k, similar.shape[1]), dim=1).indices
        maps = torch.zeros(descriptors.shape[0], *batch.size, device=descriptors.device)
        for level, gallery in zip(levels, self.galleries_, strict=True):
            grid = torch.stack(
                [
                    1 - nearby_cosine(query, gallery, images.tolist(), self.radius)
                    for query, images in zip(level, chosen, strict=True)
                ]
            )
            maps += upsample(grid, batch.size) / len(levels)
        maps = smooth(maps, self.sigma)
        return Prediction(top_mean(maps.flatten(1), self.top), maps)

    def _describe(self, batch: Batch, context: Context) -> tuple[Tensor, list[Tensor]]:
        """Image descriptors (B, D) and levels (B, C, h, w), all of length one per position."""
        first, *levels = context.features(batch, self.needs()[0])
        descriptors = first.flatten(2).mean(2) if first.ndim == 4 else first
        return F.normalize(descriptors, dim=1), [F.normalize(level, dim=1) for level in levels]


def nearby_cosine(query: Tensor, gallery: Tensor, images: Sequence[int], radius: int) -> Tensor:
    """Find the largest cosine of each position with positions near it in some images: (h, w).

    Args:
        query: (C, h, w), of length one.
        gallery: (N, C, h, w), of length one.
        images: positions in the gallery.
        radius: positions further away than this, in either direction, are left out.
    """
    height, width = query.shape[1:]
    best = query.new_full((height, width), -1.0)
    for image in images:
        normal = gallery[image].to(query.device)
        for down in range(-radius, radius + 1):
            for right in range(-radius, radius + 1):
                here, there = _overlap(height, down), _overlap(height, -down)
                side, beside = _overlap(width, right), _overlap(width, -right)
                cosine = (query[:, here, side] * normal[:, there, beside]).sum(0)
                torch.maximum(best[here, side], cosine, out=best[here, side])
    return best


def _overlap(size: int, shift: int) -> slice:
    """Return the positions p of 0 … size - 1 for which p + shift is one as well."""
    return slice(max(0, -shift), max(0, size - max(0, shift)))
