"""SimpleNet: a simple network for image anomaly detection and localisation (Liu et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

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
from benchmark.errors import SettingsError

from ._parts.patches import check_maps, flattened

ADAPTOR_RATE = 0.5
"""The adaptor's learning rate over the discriminator's."""


class Simplenet(Detector):
    """SimpleNet: a discriminator tells normal patch descriptors from the same with noise.

    Paper: Liu et al., "SimpleNet: A Simple Network for Image Anomaly Detection and Localization",
    CVPR 2023, arXiv 2303.15140, section 3; settings as in the official code. PatchCore's descriptors
    pass a linear adaptor; Gaussian noise makes anomalous ones of them; a discriminator with one
    hidden layer learns to be above the margin for the former and below its negative for the latter.
    A patch's score is the negative output, an image's the highest of its patches; maps are upsampled
    and smoothed.

    The official code measures on the test images after every fourth of the ``epochs`` and reports
    the best; its published numbers are those of that epoch. This is the last epoch, which is lower
    and noisier. The code's minimum-maximum scaling of all maps by all test images changes no rank
    and is left out.

    Args:
        backbone: frozen network.
        layers: resolutions or modules, finest first.
        width: of the descriptors.
        hidden: width of the discriminator's hidden layer.
        epochs: passes over the training images, published as 40 times 4.
        batch: images of a step.
        learning_rate, weight_decay: of the discriminator's Adam; the adaptor's AdamW has half the
            rate and the usual decay of 0.01.
        noise: standard deviation of what is added to descriptors.
        margin: of the loss.
        sigma: of the Gaussian smoothing of maps, in input pixels.
    """

    title = "SimpleNet"
    citation = "Liu et al. 2023"
    paper = Geometry(resize=329, crop=288)
    smoke = {
        "backbone": "resnet18",
        "width": 32,
        "hidden": 256,
        "noise": 0.1,
        "epochs": 120,
        "learning_rate": 0.01,
    }

    def __init__(
        self,
        *,
        backbone: str = "wide_resnet50_2",
        layers: tuple[int | str, ...] = (2, 3),
        width: int = 1536,
        hidden: int = 1024,
        epochs: int = 160,
        batch: int = 8,
        learning_rate: float = 2e-4,
        weight_decay: float = 1e-5,
        noise: float = 0.015,
        margin: float = 0.5,
        sigma: float = 4.0,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.width = width
        self.hidden = hidden
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.noise = noise
        self.margin = margin
        self.sigma = sigma
        check_maps("simplenet", layers)
        if min(width, hidden, epochs, batch) < 1 or min(learning_rate, noise) <= 0:
            raise SettingsError(
                f"simplenet: width is {width}, hidden {hidden}, epochs {epochs}, batch {batch}, "
                f"learning_rate {learning_rate}, noise {noise}: all must be positive"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, self.layers)]

    def build(self) -> None:
        self.heads_ = Heads(self.width, self.hidden)

    def fit(self, train: Images, context: Context) -> Self:
        with seeded(context, "heads"):
            self.build()
        heads = self.heads_.to(context.device).train()
        rate = self.learning_rate
        training = Training(
            context,
            heads,
            torch.optim.Adam(heads.discriminate.parameters(), rate, weight_decay=self.weight_decay),
            others=[torch.optim.AdamW(heads.adapt.parameters(), ADAPTOR_RATE * rate)],
            title="discriminator",
            images=len(train),
            batch=self.batch,
            epochs=self.epochs,
            remedy=f"lower the learning rate: --set simplenet.learning_rate={rate / 4:g}",
        )
        for indices in training:
            rows = self._describe(train.batch(indices), context)[0].flatten(0, 1)
            generator = context.generator(f"noise {training.done}")
            noise = torch.randn(rows.shape, generator=generator).to(rows.device)
            with context.autocast():
                normal = heads.adapt(rows)
                outputs = heads.discriminate(torch.cat([normal, normal + self.noise * noise]))
            true, false = torch.chunk(outputs[:, 0].float(), 2)
            training.learn(margin_loss(true, false, self.margin))
        self.facts_ = {"epoch_reported": "last", **training.facts()}
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        heads = self.heads_.to(context.device).eval()
        rows, grid = self._describe(batch, context)
        with torch.no_grad(), context.autocast():
            outputs = heads.discriminate(heads.adapt(rows.flatten(0, 1)))
        values = -outputs.float().view(len(batch), -1)
        maps = upsample(values.view(len(batch), *grid), batch.size)
        return Prediction(values.amax(1), smooth(maps, self.sigma))

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _describe(self, batch: Batch, context: Context) -> tuple[Tensor, torch.Size]:
        """Patch descriptors (B, P, C) and their grid."""
        layers = context.features(batch, self.needs()[0])
        return flattened(layers, self.width), layers[0].shape[2:]


class Heads(nn.Module):
    """What is trained: a linear adaptor, and a discriminator with one hidden layer."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.adapt = nn.Linear(width, width)
        self.discriminate = nn.Sequential(
            nn.Linear(width, hidden),
            nn.BatchNorm1d(hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, 1, bias=False),
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)


def margin_loss(normal: Tensor, odd: Tensor, margin: float) -> Tensor:
    """Average how far outputs are below the margin, and above its negative for odd ones."""
    return (margin - normal).clamp(min=0).mean() + (odd + margin).clamp(min=0).mean()
