"""STFPM: student-teacher feature pyramid matching (Wang et al., BMVC 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from benchmark import (
    POOLED,
    Batch,
    Context,
    Detector,
    FeatureSpec,
    Geometry,
    Images,
    Prediction,
    Training,
    seeded,
    split_off,
    upsample,
)
from benchmark.errors import SettingsError
from benchmark.features.networks import layer_names, untrained

from ._parts.distillation import ImageNetInput, cosine_gap


class Stfpm(Detector):
    """STFPM: a student learns a pre-trained network's feature pyramid on normal images.

    Paper: Wang et al., "Student-Teacher Feature Pyramid Matching for Anomaly Detection", BMVC 2021,
    arXiv 2103.04257, section 3. The student has the teacher's architecture and starts from random
    weights. At every position of every layer both feature vectors are normalised; the loss is their
    squared distance, averaged over positions and images and summed over layers. The map is the
    product of the layers' distance maps, the score its maximum. One image in five of the training
    images is not trained on: the epoch whose mean map on those is lowest is kept.

    As in the official code and unlike the paper's formulas, distances have no factor 1/2; with the
    mean over images this fixes what the learning rate of 0.4 means. Implementations that sum over
    the batch train with a rate 16 times as large, and diverge. Here a loss that is not finite stops
    the training with an error, and the record counts the epochs whose mean loss was above the
    first's.

    Args:
        backbone: frozen teacher and architecture of the student.
        layers: resolutions or modules that are matched, finest first.
        epochs, batch, learning_rate, momentum, weight_decay: of stochastic gradient descent, with a
            constant learning rate.
        validation: fraction of the training images that choose the epoch.
    """

    title = "STFPM"
    citation = "Wang et al. 2021"
    paper = Geometry(resize=(256, 256))
    smoke = {"epochs": 16, "batch": 4}

    def __init__(
        self,
        *,
        backbone: str = "resnet18",
        layers: tuple[int | str, ...] = (1, 2, 3),
        epochs: int = 100,
        batch: int = 32,
        learning_rate: float = 0.4,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        validation: float = 0.2,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.validation = validation
        if not layers or POOLED in layers:
            raise SettingsError(f"stfpm: layers is {layers}; name at least one, and feature maps")
        if min(epochs, batch) < 1 or learning_rate <= 0 or not 0 < validation < 1:
            raise SettingsError(
                f"stfpm: epochs is {epochs}, batch {batch}, learning_rate {learning_rate}: all "
                f"must be positive; validation is {validation}: allowed is between 0 and 1"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, self.layers, rereads=True)]

    def build(self) -> None:
        student = _Student(self.backbone, self.layers)
        # the layout that convolutions run fastest in
        self.student_ = student.to(memory_format=torch.channels_last)

    def fit(self, train: Images, context: Context) -> Self:
        with seeded(context, "student"):
            self.build()
        self.student_.to(context.device).train()
        optimiser = torch.optim.SGD(
            self.student_.parameters(),
            self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        taught, held = split_off(context, len(train), self.validation)
        training = Training(
            context,
            self.student_,
            optimiser,
            title="student",
            images=len(taught),
            batch=self.batch,
            epochs=self.epochs,
            remedy=f"lower the learning rate: --set stfpm.learning_rate={self.learning_rate / 4:g}",
        )
        for indices in training:
            batch = train.batch([taught[i] for i in indices])
            gaps = self._gaps(batch, context)
            training.learn(torch.stack([gap.mean() for gap in gaps]).sum())
            if training.epoch_ends:
                training.offer(self._error(train, held, context))
        training.take_best()
        self.facts_ = {"trained_on": len(taught), "held_out": len(held), **training.facts()}
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        self.student_.to(context.device).eval()
        with torch.no_grad():
            maps = upsample(self._map(batch, context), batch.size)
        return Prediction(maps.flatten(1).amax(1), maps)

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _gaps(self, batch: Batch, context: Context) -> list[Tensor]:
        """Compute per layer the squared distance of the normalised features, (B, h, w)."""
        teacher = context.features(batch, self.needs()[0])
        with context.autocast():
            student = self.student_(batch.pixels)
        return [2 * cosine_gap(t, s) for t, s in zip(teacher, student, strict=True)]

    def _map(self, batch: Batch, context: Context) -> Tensor:
        """Multiply the layers' distances on the finest layer's grid, (B, h, w)."""
        gaps = self._gaps(batch, context)
        size = (gaps[0].shape[1], gaps[0].shape[2])
        product = gaps[0]
        for gap in gaps[1:]:
            product = product * upsample(gap, size)
        return product

    @torch.no_grad()
    def _error(self, train: Images, held: list[int], context: Context) -> Tensor:
        """Average the maps of the held-out normal images."""
        self.student_.eval()
        parts = [held[i : i + self.batch] for i in range(0, len(held), self.batch)]
        sums = [self._map(train.batch(part), context).mean((1, 2)).sum() for part in parts]
        self.student_.train()
        return torch.stack(sums).sum() / len(held)


class _Student(nn.Module):
    """The backbone's architecture up to its last matched layer, with fresh parameters."""

    def __init__(self, backbone: str, layers: tuple[int | str, ...]) -> None:
        from torchvision.models.feature_extraction import create_feature_extractor

        super().__init__()
        model = untrained(backbone)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                # timm starts residual branches at zero; the paper's torchvision networks at one
                nn.init.ones_(module.weight)
            if hasattr(module, "inplace"):  # would overwrite a layer that is to be matched
                setattr(module, "inplace", False)  # noqa: B010 - typed as a submodule
        self.names = layer_names(model, backbone, layers)
        self.input = ImageNetInput()
        try:
            self.model = create_feature_extractor(model, return_nodes=list(self.names))
        except Exception as error:  # tracing meets anything that a network's code can do
            raise SettingsError(
                f"stfpm: {backbone} cannot be cut after its layers {', '.join(self.names)} "
                f"({type(error).__name__}); its student needs a convolutional network such as "
                "resnet18"
            ) from error

    def forward(self, pixels: Tensor) -> list[Tensor]:
        found = self.model(self.input(pixels))
        return [found[name] for name in self.names]
