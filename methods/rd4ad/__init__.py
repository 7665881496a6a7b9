"""RD4AD: anomaly detection via reverse distillation from one-class embedding (Deng & Li, 2022)."""

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
    Training,
    seeded,
    smooth,
    upsample,
)
from benchmark.errors import DetectorError, SettingsError

from .._parts.distillation import cosine_gap
from .networks import MIRRORED, Mirror, ReverseDistillation


class Rd4ad(Detector):
    """RD4AD: a decoder rebuilds a frozen encoder's features from a one-class embedding of them.

    Paper: Deng and Li, "Anomaly Detection via Reverse Distillation from One-Class Embedding", CVPR
    2022, arXiv 2201.10703, section 3. Features of three resolutions are fused, squeezed into an
    embedding and decoded by the mirrored network. The map is the sum over the layers of 1 - cosine,
    upsampled (corners aligned, as in the official code) and smoothed; its maximum is the score.

    Paper and official code differ in the loss: the paper averages 1 - cosine over the positions
    (``loss="pixel"``), the code takes one cosine of the whole flattened layer (``"flat"``, the
    default: the published numbers come from it, and others measured worse ones with the paper's).
    The code returns the last epoch; so does this. The teacher's last stage and an unused
    convolution of the code's bottleneck are left out, and so is a last batch of a single image.

    Args:
        backbone: frozen encoder. The decoder mirrors ResNets; see ``networks.py``.
        layers: three consecutive resolutions, finest first.
        scored: which of them, counted from 1, make the map. All are trained. The paper found the
            second and third better for objects that are misplaced (transistor), the third alone
            better still.
        loss: see above.
        score: ``max`` of the map for small defects, ``sum`` of it for one-class data sets, where
            the whole image is anomalous.
        epochs, batch, learning_rate: of Adam with betas 0.5 and 0.999.
        sigma: of the Gaussian smoothing, in input pixels.
        normalise: whether the encoder's images are normalised.

    ``rd4ad_one_class`` is the code's setting for MNIST and Fashion-MNIST, images of 32 × 32 pixels
    (``--image-size 32``) in [0, 1]; CIFAR-10's are normalised there.
    """

    title = "RD4AD"
    citation = "Deng and Li 2022"
    version = "2"
    paper = Geometry(resize=(256, 256))
    smoke = {
        "backbone": "resnet18",
        "layers": (0, 1, 2),
        "epochs": 12,
        "batch": 4,
        "learning_rate": 2e-2,
    }
    presets = {"rd4ad_one_class": {"backbone": "resnet18", "score": "sum", "normalise": False}}

    def __init__(
        self,
        *,
        backbone: str = "wide_resnet50_2",
        layers: tuple[int | str, int | str, int | str] = (1, 2, 3),
        scored: tuple[int, ...] = (1, 2, 3),
        loss: Literal["flat", "pixel"] = "flat",
        score: Literal["max", "sum"] = "max",
        epochs: int = 200,
        batch: int = 16,
        learning_rate: float = 0.005,
        sigma: float = 4.0,
        normalise: bool = True,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.scored = scored
        self.loss = loss
        self.score = score
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.sigma = sigma
        self.normalise = normalise
        if not scored or len(set(scored)) < len(scored) or not set(scored) <= {1, 2, 3}:
            raise SettingsError(f"rd4ad: scored is {scored}; allowed are some of 1, 2 and 3, once")
        if min(epochs, batch) < 1 or learning_rate <= 0:
            raise SettingsError(
                f"rd4ad: epochs is {epochs}, batch {batch}, learning_rate {learning_rate}: all "
                "must be positive"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, self.layers, normalise=self.normalise, rereads=True)]

    def build(self) -> None:
        mirror = MIRRORED.get(self.backbone.partition(".")[0], Mirror())
        self.decoder_ = ReverseDistillation(self.channels_, mirror)

    def fit(self, train: Images, context: Context) -> Self:
        shapes = [f.shape for f in context.features(train.batch([0]), self.needs()[0])]
        self._check(shapes)
        self.channels_ = [shape[1] for shape in shapes]
        with seeded(context, "decoder"):
            self.build()
        self.decoder_.to(context.device).train()
        optimiser = torch.optim.Adam(
            self.decoder_.parameters(), self.learning_rate, betas=(0.5, 0.999)
        )
        training = Training(
            context,
            self.decoder_,
            optimiser,
            title="decoder",
            images=len(train),
            batch=self.batch,
            epochs=self.epochs,
            remedy=f"lower the learning rate: --set rd4ad.learning_rate={self.learning_rate / 4:g}",
        )
        for indices in training:
            teacher, student = self._features(train.batch(indices), context)
            if self.loss == "flat":
                teacher = [t.flatten(1) for t in teacher]
                student = [s.flatten(1) for s in student]
            gaps = [cosine_gap(t, s).mean() for t, s in zip(teacher, student, strict=True)]
            training.learn(torch.stack(gaps).sum())
        self.facts_ = training.facts()
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        self.decoder_.to(context.device).eval()
        with torch.no_grad():
            teacher, student = self._features(batch, context)
        gaps = [cosine_gap(teacher[i - 1], student[i - 1]) for i in self.scored]
        layers = [upsample(gap, batch.size, align_corners=True) for gap in gaps]
        maps = smooth(torch.stack(layers).sum(0), self.sigma)
        values = maps.flatten(1)
        return Prediction(values.sum(1) if self.score == "sum" else values.amax(1), maps)

    def facts(self) -> dict[str, Any]:
        return {"mirrored": self.backbone.partition(".")[0] in MIRRORED, **self.facts_}

    def _features(self, batch: Batch, context: Context) -> tuple[list[Tensor], list[Tensor]]:
        """Return the encoder's features, and what the decoder makes of them: (B, C, h, w) per
        layer."""
        teacher = context.features(batch, self.needs()[0])
        with context.autocast():
            student: list[Tensor] = self.decoder_(teacher)
        return teacher, student

    def _check(self, shapes: Sequence[torch.Size]) -> None:
        """Check that each layer has half the sides of the one before, rounded up."""
        sides = [tuple(shape[2:]) for shape in shapes]
        halves = [tuple(-(-side // 2) for side in finer) for finer in sides[:-1]]
        if any(len(shape) != 4 for shape in shapes) or halves != sides[1:]:
            raise DetectorError(
                f"rd4ad: the layers {self.layers} of {self.backbone} have the sides {sides}; each "
                "must have half the sides of the layer before it (rounded up), as 1, 2, 3 have in "
                "a ResNet"
            )
