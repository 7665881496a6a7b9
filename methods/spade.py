"""SPADE: sub-image anomaly detection with deep pyramid correspondences (Cohen & Hoshen, 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

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

from ._parts.neighbours import nearest_squared


class Spade(Detector):
    """SPADE: nearest neighbours of images, then of pixels among the neighbours' features.

    Paper: Cohen and Hoshen, "Sub-Image Anomaly Detection with Deep Pyramid Correspondences", arXiv
    2005.02357, sections 3.1 to 3.4. The image score is the mean distance of the image's descriptor
    to its K nearest training images; a pixel's score the distance of its feature to the nearest of
    all pixel features of these K images (kappa = 1, any position).

    Where text and public code differ: the paper concatenates the pyramid's layers
    (``pyramid="concat"``), the code averages one distance map per layer (``"mean"``, the default,
    which its authors found slightly better); K is 50 in the paper, 5 in the third-party code. That
    code also drops most gallery features of the coarse layers; here all are searched. The distance
    is Euclidean; the paper may mean its square for the image score (``squared=True``).

    Args:
        backbone: frozen network.
        layers: the pyramid, finest first.
        descriptor: the layer that describes the whole image; a feature map is averaged over space.
        k: images retrieved; at most as many as there are.
        pyramid: see above.
        squared: square the distances of the image score.
        sigma: of the Gaussian smoothing of maps, in input pixels.
    """

    title = "SPADE"
    draws = False
    citation = "Cohen and Hoshen 2020"
    paper = Geometry(resize=256, crop=224)
    smoke = {"backbone": "resnet18", "k": 5}

    def __init__(
        self,
        *,
        backbone: str = "wide_resnet50_2",
        layers: tuple[int | str, ...] = (1, 2, 3),
        descriptor: int | str = "pooled",
        k: int = 50,
        pyramid: Literal["mean", "concat"] = "mean",
        squared: bool = False,
        sigma: float = 4.0,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.descriptor = descriptor
        self.k = k
        self.pyramid = pyramid
        self.squared = squared
        self.sigma = sigma
        if k < 1:
            raise SettingsError(f"spade: k is {k}; at least one neighbour is needed")

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, (self.descriptor, *self.layers))]

    def fit(self, train: Images, context: Context) -> Self:
        steps = context.progress.track(train.batches(16), "gallery", -(-len(train) // 16))
        start = 0
        for batch in steps:
            descriptors, pyramid = self._read(batch, context)
            pixels = [level.flatten(2).mT for level in pyramid]  # (B, P, C)
            if start == 0:  # filled in place: a list and a concatenation would need it all twice
                self.descriptors_ = descriptors.new_empty(len(train), descriptors.shape[1])
                self.galleries_ = [
                    p.new_empty(len(train), p.shape[1], p.shape[2] + 1) for p in pixels
                ]
                # centred: distances stay the same, and |g|² - 2qg cancels less
                self.centres_ = [p.mean((0, 1)) for p in pixels]
            stop = start + len(batch)
            self.descriptors_[start:stop] = descriptors
            for p, centre, gallery in zip(pixels, self.centres_, self.galleries_, strict=True):
                centred = p - centre
                torch.mul(centred, -2, out=gallery[start:stop, :, :-1])
                gallery[start:stop, :, -1] = centred.square().sum(2)
            start = stop
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        descriptors, pyramid = self._read(batch, context)
        squared, neighbours = self._retrieve(descriptors)
        scores = (squared if self.squared else squared.sqrt()).mean(1)
        if not context.wants_maps:
            return Prediction(scores)
        maps = torch.zeros(descriptors.shape[0], *batch.size, device=descriptors.device)
        for level, centre, gallery in zip(pyramid, self.centres_, self.galleries_, strict=True):
            queries = level.flatten(2).mT - centre.to(level.device)
            nearest = torch.stack(
                [
                    nearest_squared(q, (gallery[i] for i in found))
                    for q, found in zip(queries, neighbours, strict=True)
                ]
            )
            grid = nearest.sqrt().reshape(-1, *level.shape[2:])
            maps += upsample(grid, batch.size) / len(pyramid)
        return Prediction(scores, smooth(maps, self.sigma))

    def _read(self, batch: Batch, context: Context) -> tuple[Tensor, list[Tensor]]:
        """Read image descriptors (B, D) and the pyramid's levels, each (B, C, h, w)."""
        first, *pyramid = context.features(batch, self.needs()[0])
        descriptors = first.flatten(2).mean(2) if first.ndim == 4 else first
        if self.pyramid == "concat":
            size = pyramid[0].shape[2:]
            same = [upsample_features(level, size) for level in pyramid]
            pyramid = [torch.cat(same, 1)]
        return descriptors, pyramid

    def _retrieve(self, descriptors: Tensor) -> tuple[Tensor, Tensor | list[list[int]]]:
        """Find the K nearest training images: squared distances (B, K) to them, and which they
        are."""
        import faiss

        count = min(self.k, len(self.descriptors_))
        if torch.compiler.is_compiling():  # a graph cannot hold another library's search
            gaps = (descriptors[:, None] - self.descriptors_.to(descriptors)).square().sum(2)
            near = gaps.topk(count, largest=False)
            return near.values, near.indices
        index = faiss.IndexFlatL2(self.descriptors_.shape[1])
        index.add(self.descriptors_.cpu().numpy())
        found = index.search(descriptors.cpu().numpy(), count)
        return torch.from_numpy(found[0]).clamp_(min=0), found[1].tolist()


def upsample_features(features: Tensor, size: torch.Size) -> Tensor:
    """Interpolate a level (B, C, h, w) bilinearly to the finest level's grid."""
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)
