"""AnomalyDINO: patch-based few-shot anomaly detection (Damm et al., WACV 2025), any backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

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

from ._parts.neighbours import nearest_squared, searchable
from ._parts.patches import check_maps, picked, stacked, top_mean


class AnomalyDino(Detector):
    """AnomalyDINO: cosine distance to the nearest of all reference patches.

    Paper: Damm et al., "AnomalyDINO: Boosting Patch-Based Few-Shot Anomaly Detection with DINOv2",
    WACV 2025, arXiv 2405.14529, section 3. Every patch of the reference images is kept, with length
    one. The score is the mean of the largest 1 % of an image's patch distances; the map is
    upsampled and smoothed.

    Left out: rotated copies of the reference images, and the foreground mask, which the paper
    applies to categories chosen by hand. The paper keeps the aspect ratio; images here are square.

    Args:
        backbone: frozen network.
        layers: resolutions or modules, finest first; several are put side by side.
        top: share of the patches whose mean distance is the score.
        sigma: of the Gaussian smoothing of maps, in input pixels.
    """

    title = "AnomalyDINO"
    citation = "Damm et al. 2025"
    paper = Geometry(resize=(448, 448))
    draws = False
    smoke = {"backbone": "resnet18", "layers": (1,)}

    def __init__(
        self,
        *,
        backbone: str = "vit_small_patch14_dinov2",
        layers: tuple[int | str, ...] = ("norm",),
        top: float = 0.01,
        sigma: float = 4.0,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.top = top
        self.sigma = sigma
        check_maps("anomaly_dino", layers)
        if not 0 < top <= 1:
            raise SettingsError(
                f"anomaly_dino: top is {top}; allowed is a share above 0 and up to 1"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, self.layers)]

    def fit(self, train: Images, context: Context) -> Self:
        def describe(batch: Batch) -> Tensor:
            return self._describe(batch, context)[0]

        total = len(train) * describe(train.batch([0])).shape[1]
        bank = picked(train, context, describe, torch.arange(total), "memory bank")
        self.bank_ = searchable(bank)
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        queries, grid = self._describe(batch, context)
        # of vectors of length one, half the squared distance is 1 - cosine
        distances = nearest_squared(queries.flatten(0, 1), [self.bank_]).view(queries.shape[:2]) / 2
        maps = smooth(upsample(distances.view(-1, *grid), batch.size), self.sigma)
        return Prediction(top_mean(distances, self.top), maps)

    def facts(self) -> dict[str, Any]:
        return {"memory_bank": len(self.bank_)}

    def _describe(self, batch: Batch, context: Context) -> tuple[Tensor, torch.Size]:
        """Descriptors of length one (B, P, C) and their grid."""
        layers = context.features(batch, self.needs()[0])
        return F.normalize(stacked(layers), dim=2), layers[0].shape[2:]
