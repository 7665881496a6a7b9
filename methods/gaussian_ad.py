"""Gaussian AD: normal data's distribution in pre-trained features (Rippel et al., ICPR 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from benchmark import Batch, Context, Detector, FeatureSpec, Geometry, Images, Prediction
from benchmark.errors import SettingsError

from ._parts.gaussian import fit_gaussian, mahalanobis

EFFICIENTNET = ("bn1", *(f"blocks.{i}" for i in range(7)), "bn2")
"""The nine levels of an EfficientNet, in timm's names: stem, seven stages, last convolution."""


class GaussianAd(Detector):
    """Gaussian AD: one Gaussian over whole images' features for each level of a network.

    Paper: Rippel, Mertens and Merhof, "Modeling the Distribution of Normal Data in Pre-Trained Deep
    Features for Anomaly Detection", ICPR 2020, arXiv 2005.14140. Feature maps of all levels of an
    EfficientNet-B4 are averaged over space; each level gets a multivariate Gaussian whose covariance
    is shrunk (Ledoit and Wolf); the score is the sum of the Mahalanobis distances. There is no map.

    Other tables call it MAD. The paper's classification networks have nine levels; other backbones
    need ``layers`` of their own, such as ``[0, 1, 2, 3, 4]`` for a ResNet.

    Args:
        backbone: frozen network.
        layers: its levels.
    """

    title = "Gaussian AD"
    citation = "Rippel et al. 2020"
    paper = Geometry(resize=(380, 380))
    draws = False
    smoke = {"backbone": "resnet18", "layers": (1, 2, 3)}

    def __init__(
        self,
        *,
        backbone: str = "efficientnet_b4",
        layers: tuple[int | str, ...] = EFFICIENTNET,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        if not layers:
            raise SettingsError("gaussian_ad: layers is empty; name at least one level")

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, self.layers)]

    def fit(self, train: Images, context: Context) -> Self:
        steps = context.progress.track(train.batches(16), "levels", -(-len(train) // 16))
        levels = zip(*(self._describe(batch, context) for batch in steps), strict=True)
        fitted = [fit_gaussian(torch.cat(level)) for level in levels]
        self.means_, self.whiteners_ = [f[0] for f in fitted], [f[1] for f in fitted]
        self.shrinkage_ = [f[2] for f in fitted]
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        levels = zip(self._describe(batch, context), self.means_, self.whiteners_, strict=True)
        return Prediction(torch.stack([mahalanobis(*level) for level in levels]).sum(0))

    def facts(self) -> dict[str, Any]:
        return {"shrinkage": self.shrinkage_}

    def _describe(self, batch: Batch, context: Context) -> list[Tensor]:
        """Return one (B, C) per level."""
        layers = context.features(batch, self.needs()[0])
        return [layer.flatten(2).mean(2) if layer.ndim == 4 else layer for layer in layers]
