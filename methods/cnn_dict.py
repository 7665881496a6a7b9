"""CNN feature dictionary: small patches against a few typical ones (Napoletano et al., 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import Batch, Context, Detector, FeatureSpec, Geometry, Images, Prediction
from benchmark.errors import SettingsError

from ._parts.pca import reduction
from .k_means import centres

TOGETHER = 64
"""Patches in one pass of the network."""


class CnnDict(Detector):
    """CNN feature dictionary: distance of every small patch to the words of a dictionary.

    Paper: Napoletano, Piccoli and Schettini, "Anomaly Detection in Nanofibrous Materials by
    CNN-Based Self-Similarity", Sensors 2018; Bergmann et al. use it as a baseline on MVTec AD. Each
    patch of 16 × 16 pixels, enlarged, goes through a network on its own; its descriptors are
    reduced to the principal components that hold 95 % of their variance, and the centres of their
    clusters are the dictionary. A patch's distance is the mean over the nearest words; a pixel's the
    mean over the patches that cover it; the score is the map's maximum.

    A network pass per patch makes this slow, thousands of passes per image; ``stride`` and ``size``
    trade accuracy for time. How many patches are drawn, how many words there are and over how many
    a distance is averaged is our choice: published accounts differ or do not say. The mean over half
    of the words was made for one texture: a patch in the middle of its own cluster is still far from
    the other words, so that of several kinds of patches the rarer one counts as anomalous.
    ``nearest=1`` does without.

    Args:
        backbone: frozen network.
        layer: of it that describes a patch; a feature map is averaged over space.
        patch: side of a patch, in input pixels.
        stride: distance between patches, at most ``patch``.
        size: side to which a patch is enlarged.
        samples: patches drawn from the training images.
        variance: share that is kept by a principal component analysis of their descriptors.
        words: clusters, at most one per drawn patch.
        nearest: words that a distance is averaged over.
    """

    title = "CNN-Dict"
    citation = "Napoletano et al. 2018"
    paper = Geometry(resize=(256, 256))
    smoke = {"layer": 2, "stride": 8, "size": 32, "samples": 100}

    def __init__(
        self,
        *,
        backbone: str = "resnet18",
        layer: int | str = "pooled",
        patch: int = 16,
        stride: int = 4,
        size: int = 224,
        samples: int = 5000,
        variance: float = 0.95,
        words: int = 10,
        nearest: int = 5,
    ) -> None:
        self.backbone = backbone
        self.layer = layer
        self.patch = patch
        self.stride = stride
        self.size = size
        self.samples = samples
        self.variance = variance
        self.words = words
        self.nearest = nearest
        if min(patch, size, samples, words, nearest) < 1 or not 1 <= stride <= patch:
            raise SettingsError(
                f"cnn_dict: patch is {patch}, size {size}, samples {samples}, words {words}, "
                f"nearest {nearest}: all must be positive; stride is {stride}: allowed is 1 to patch"
            )
        if not 0 < variance <= 1:
            raise SettingsError(
                f"cnn_dict: variance is {variance}; allowed is a share above 0 and up to 1"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, (self.layer,), read=False)]

    def fit(self, train: Images, context: Context) -> Self:
        count = self._cut(train.batch([0]).pixels).shape[0]
        total = len(train) * count
        places = np.sort(
            context.rng("patches").choice(total, min(self.samples, total), replace=False)
        )
        described = []
        for image in context.progress.track(range(len(train)), "dictionary", len(train)):
            mine = places[(places >= image * count) & (places < (image + 1) * count)]
            if len(mine):
                patches = self._cut(train.batch([image]).pixels)[mine - image * count]
                described.append(self._describe(patches, context))
        rows = torch.cat(described)
        self.mean_, self.axes_ = reduction(rows, self.variance)
        self.words_ = centres((rows - self.mean_) @ self.axes_.T, self.words, context).to(rows)
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        maps = torch.cat([self._map(image[None], context) for image in batch.pixels])
        return Prediction(maps.flatten(1).amax(1), maps)

    def _map(self, image: Tensor, context: Context) -> Tensor:
        """(1, H, W) of an image (1, 3, H, W)."""
        rows = self._describe(self._cut(image), context)
        rows = (rows - self.mean_.to(rows)) @ self.axes_.to(rows).T
        gaps = (rows[:, None] - self.words_.to(rows)).norm(dim=2)  # (L, words)
        near = gaps.topk(min(self.nearest, gaps.shape[1]), largest=False).values.mean(1)
        columns = near.expand(1, self.patch**2, -1)
        size = self._padded(image).shape[2:]
        total = F.fold(columns, size, self.patch, stride=self.stride)
        covered = F.fold(torch.ones_like(columns), size, self.patch, stride=self.stride)
        return (total / covered)[0, :, : image.shape[2], : image.shape[3]]

    def _padded(self, images: Tensor) -> Tensor:
        """Repeat the images' border until patches end with it."""
        below, right = (
            max(self.patch - s, (self.patch - s) % self.stride) for s in images.shape[2:]
        )
        return F.pad(images, (0, right, 0, below), mode="replicate")

    def _cut(self, images: Tensor) -> Tensor:
        """Cut all patches of images (B, 3, H, W), image by image and row by row: (B L, 3, p, p)."""
        columns = F.unfold(self._padded(images), self.patch, stride=self.stride)
        return columns.mT.reshape(-1, images.shape[1], self.patch, self.patch)

    def _describe(self, patches: Tensor, context: Context) -> Tensor:
        """Descriptors (L, C) of patches (L, 3, p, p)."""
        network = context.backbone(self.backbone)
        layers = network.resolve((self.layer,))
        parts = torch.split(patches, TOGETHER)
        out = torch.empty(0)
        for i, some in enumerate(context.progress.track(parts, "patches", len(parts))):
            enlarged = F.interpolate(some, size=(self.size, self.size), mode="bilinear")
            described = network(enlarged, layers)[0]
            rows = described.flatten(2).mean(2) if described.ndim == 4 else described
            if i == 0:  # whole, even if a rehearsal ends the loop early
                out = rows.new_zeros(len(patches), rows.shape[1])
            out[i * TOGETHER : i * TOGETHER + len(rows)] = rows
        return out
