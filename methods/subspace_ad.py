"""SubspaceAD: distance from the subspace of normal patches (Lendering et al., CVPR 2026)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor

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

from ._parts.patches import check_maps, stacked, top_mean
from ._parts.pca import Scatter, principal_axes


class SubspaceAd(Detector):
    """SubspaceAD: squared distance of patch features from their principal subspace.

    Paper: Lendering, Akdag and Bondarev, "SubspaceAD: Training-Free Few-Shot Anomaly Detection via
    Subspace Modeling", CVPR 2026, arXiv 2602.23013. Patch features of several layers are averaged; the principal components that hold 99 % of their
    variance on normal images span the subspace. The map is the squared length of what the subspace
    leaves over; the score the mean of the map's highest 1 %.

    With convolutional features, whose layers have several widths, ``combine="concat"`` puts them
    side by side on the first layer's grid; this is the classic feature reconstruction error. The
    published setting is a vision transformer with one to four images and their rotated copies;
    copies are not made here. The code's 3-tap smoothing has about the spread of ``sigma``.

    Args:
        backbone: frozen network.
        layers: resolutions or modules, finest first.
        combine: ``mean`` needs layers of one shape; ``concat`` takes any.
        variance: share that the subspace holds.
        top: share of a map's pixels whose mean is the score.
        sigma: of the Gaussian smoothing of maps, in input pixels.
    """

    title = "SubspaceAD"
    citation = "Lendering et al. 2026"
    paper = Geometry(resize=(672, 672))
    draws = False
    smoke = {"backbone": "resnet18", "layers": (2, 3), "combine": "concat", "variance": 0.9}

    def __init__(
        self,
        *,
        backbone: str = "vit_giant_patch14_reg4_dinov2",
        layers: tuple[int | str, ...] = (22, 23, 24, 25, 26, 27, 28),
        combine: Literal["mean", "concat"] = "mean",
        variance: float = 0.99,
        top: float = 0.01,
        sigma: float = 0.8,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.combine = combine
        self.variance = variance
        self.top = top
        self.sigma = sigma
        check_maps("subspace_ad", layers)
        if not 0 < variance < 1 or not 0 < top <= 1:
            raise SettingsError(
                f"subspace_ad: variance is {variance}: allowed is a share between 0 and 1; top is "
                f"{top}: allowed is a share above 0 and up to 1"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, self.layers)]

    def fit(self, train: Images, context: Context) -> Self:
        scatter = Scatter()
        for batch in context.progress.track(train.batches(16), "covariance", -(-len(train) // 16)):
            scatter.add(self._describe(batch, context)[0].flatten(0, 1))
        self.mean_ = scatter.mean().float()
        self.axes_ = principal_axes(scatter.covariance(), self.variance).float()  # (K, C)
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        patches, grid = self._describe(batch, context)
        centred = patches - self.mean_.to(patches.device)
        axes = self.axes_.to(patches.device)
        left = (centred - centred @ axes.T @ axes).square().sum(2)
        maps = smooth(upsample(left.view(-1, *grid), batch.size), self.sigma)
        return Prediction(top_mean(maps.flatten(1), self.top), maps)

    def facts(self) -> dict[str, Any]:
        return {"dimensions": list(self.axes_.shape)}

    def _describe(self, batch: Batch, context: Context) -> tuple[Tensor, torch.Size]:
        """Descriptors (B, P, C) and their grid."""
        layers = context.features(batch, self.needs()[0])
        if self.combine == "concat":
            return stacked(layers), layers[0].shape[2:]
        shapes = {tuple(layer.shape[1:]) for layer in layers}
        if len(shapes) > 1:
            raise SettingsError(
                f"subspace_ad: the layers {self.layers} of {self.backbone} have the shapes "
                f"{sorted(shapes)} (channels, height, width), which cannot be averaged; set "
                "subspace_ad.combine=concat"
            )
        return stacked([torch.stack(layers).mean(0)]), layers[0].shape[2:]
