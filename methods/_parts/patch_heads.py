"""What the shallow methods on patch descriptors share: the descriptors, their reduction, the map."""

from __future__ import annotations

from abc import abstractmethod
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
    seeded,
    smooth,
    upsample,
)
from benchmark.errors import SettingsError

from ..uninformed_students.networks import LAYERS, patch_networks
from ..uninformed_students.teacher import UsTeacher, teacher_weights
from .distillation import ImageNetInput
from .patches import check_maps, drawn, stacked
from .pca import reduction

STRIDE = 4
"""Every such pixel is described by a teacher."""


class PatchHead(Detector):
    """A model of some patch descriptors; subclasses say which, and how far others are from it.

    Args:
        owner: the method's name.
        backbone, layers: of the descriptors, finest layer first; the others are interpolated.
        field: receptive field of the teacher of Uninformed Students that describes patches instead
            of the backbone, or None.
        teacher: ``distilled``, the asset, or ``random``: an untrained one, for trying things out.
        samples: descriptors drawn from the training images.
        variance: share that is kept by a principal component analysis of them.
        sigma: of the Gaussian smoothing of maps, in input pixels.
    """

    citation = "Bergmann et al. 2020"
    paper = Geometry(resize=(256, 256))

    def __init__(
        self,
        owner: str,
        backbone: str,
        layers: tuple[int | str, ...],
        field: int | None,
        teacher: Literal["distilled", "random"],
        samples: int,
        variance: float,
        sigma: float,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.field = field
        self.teacher = teacher
        self.samples = samples
        self.variance = variance
        self.sigma = sigma
        check_maps(owner, layers)
        if field is not None and field not in LAYERS:
            raise SettingsError(
                f"{owner}: field is {field}; allowed are {sorted(LAYERS)}, the receptive fields "
                "of the teachers there are, or None"
            )
        if samples < 1 or not 0 < variance <= 1:
            raise SettingsError(
                f"{owner}: samples is {samples}: at least one is needed; variance is {variance}: "
                "allowed is a share above 0 and up to 1"
            )

    @abstractmethod
    def learn(self, rows: Tensor, context: Context) -> None:
        """Model normal descriptors (n, C), reduced and centred."""

    @abstractmethod
    def distance(self, rows: Tensor) -> Tensor:
        """Measure how far descriptors (n, C) are from the normal ones: (n,)."""

    def needs(self) -> Sequence[FeatureSpec]:
        return [] if self.field else [FeatureSpec(self.backbone, self.layers)]

    def assets(self) -> Sequence[type[UsTeacher]]:
        return [UsTeacher] if self.field and self.teacher == "distilled" else []

    def build(self) -> None:
        if self.field:
            self.teacher_ = patch_networks([self.field])[0].eval().requires_grad_(False)

    def fit(self, train: Images, context: Context) -> Self:
        with seeded(context, "teacher"):
            self.build()
        if self.field and self.teacher == "distilled":
            self.teacher_.load_state_dict(teacher_weights(context, [self.field])[0])
        rows = drawn(train, context, lambda b: self._describe(b, context)[0], self.samples)
        self.mean_, self.axes_ = reduction(rows, self.variance)
        self.learn(self._reduced(rows), context)
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        patches, grid = self._describe(batch, context)
        distances = self.distance(self._reduced(patches.flatten(0, 1)))
        maps = smooth(upsample(distances.view(-1, *grid), batch.size), self.sigma)
        return Prediction(maps.flatten(1).amax(1), maps)

    def facts(self) -> dict[str, Any]:
        return {"dimensions": list(self.axes_.shape)}

    def _reduced(self, rows: Tensor) -> Tensor:
        return (rows - self.mean_.to(rows.device)) @ self.axes_.to(rows.device).T

    def _describe(self, batch: Batch, context: Context) -> tuple[Tensor, torch.Size]:
        """Descriptors (B, P, C) and their grid."""
        if self.field:
            with torch.no_grad():
                network: Any = self.teacher_.to(context.device)
                dense = network.dense(ImageNetInput().to(context.device)(batch.pixels), STRIDE)
            return stacked([dense]), dense.shape[2:]
        layers = context.features(batch, self.needs()[0])
        return stacked(layers), layers[0].shape[2:]
