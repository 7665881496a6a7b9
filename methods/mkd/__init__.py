"""MKD: multiresolution knowledge distillation for anomaly detection (Salehi et al., CVPR 2021)."""

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
)
from benchmark.errors import DetectorError, SettingsError

from .._parts.distillation import cosine_gap
from .._parts.patches import check_maps
from .cloner import Cloner, guided

POOLS = ("features.9", "features.16", "features.23", "features.30")
"""The second to fifth pooling of VGG-16."""
SCORED = slice(1, None)
"""The finest layer is trained, but not scored."""
CLIPPED = 0.99
"""Quantile of an image's gradients that larger ones are cut to."""


class Mkd(Detector):
    """MKD: a thin network learns a pre-trained one's layers; gradients of the gap are the map.

    Paper: Salehi et al., "Multiresolution Knowledge Distillation for Anomaly Detection", CVPR 2021,
    arXiv 2011.11108, section 3. Loss of training: over four layers, 1 - the cosine of the flattened
    activations, plus ``weight`` times their mean squared difference. The score is the same over the
    last three layers. The map is its gradient by the image: absolute values, summed over channels,
    cut at their 99 % quantile and smoothed.

    As in the official code images are not normalised, and guided gradients are guided in the cloner
    alone. There every map is stretched from 0 to 1 before it is smoothed, so that normal images are
    as hot as others, and pixels are only measured in the others (``rescale``, which the published
    numbers need; by default maps of different images can be compared); and a morphological opening
    precedes the measurement at every threshold, which is left out here.

    Args:
        backbone: frozen teacher.
        layers: four of them, with strides of 4, 8, 16 and 32 pixels.
        weight: of the squared difference; published as 0.5 for MVTec AD, 0.01 for one-class data.
        gradient: ``guided`` lets only positive gradients pass the cloner's ReLUs, ``vanilla`` all.
        rescale: see above.
        epochs, batch, learning_rate: of Adam.
        sigma: of the Gaussian smoothing of maps, in input pixels.
        normalise: whether the teacher's and the cloner's images are normalised, which the code does
            for CIFAR-10 alone.

    ``mkd_one_class`` is the code's setting for MNIST and Fashion-MNIST (``--image-size 32``).
    """

    title = "MKD"
    citation = "Salehi et al. 2021"
    paper = Geometry(resize=(128, 128))
    smoke = {"backbone": "resnet18", "layers": (1, 2, 3, 4), "epochs": 8, "batch": 4}
    presets = {"mkd_one_class": {"weight": 0.01, "epochs": 51}}

    def __init__(
        self,
        *,
        backbone: str = "vgg16",
        layers: tuple[int | str, ...] = POOLS,
        weight: float = 0.5,
        gradient: Literal["guided", "vanilla"] = "guided",
        rescale: bool = False,
        epochs: int = 601,
        batch: int = 64,
        learning_rate: float = 1e-3,
        sigma: float = 4.0,
        normalise: bool = False,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.weight = weight
        self.gradient = gradient
        self.rescale = rescale
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.sigma = sigma
        self.normalise = normalise
        check_maps("mkd", layers)
        if len(layers) != 4:
            raise SettingsError(f"mkd: layers is {layers}; name four, finest first")
        if min(epochs, batch) < 1 or learning_rate <= 0 or weight < 0:
            raise SettingsError(
                f"mkd: epochs is {epochs}, batch {batch}, learning_rate {learning_rate}: all must "
                f"be positive; weight is {weight}: allowed is 0 or more"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, self.layers, normalise=self.normalise)]

    def build(self) -> None:
        self.cloner_ = Cloner(self.channels_)

    def fit(self, train: Images, context: Context) -> Self:
        first = train.batch([0])
        self.channels_ = [f.shape[1] for f in context.features(first, self.needs()[0])]
        with seeded(context, "cloner"):
            self.build()
        self.cloner_.to(context.device).train()
        training = Training(
            context,
            self.cloner_,
            torch.optim.Adam(self.cloner_.parameters(), self.learning_rate),
            title="cloner",
            images=len(train),
            batch=self.batch,
            epochs=self.epochs,
            remedy=f"lower the learning rate: --set mkd.learning_rate={self.learning_rate / 4:g}",
        )
        for indices in training:
            batch = train.batch(indices)
            teacher = context.features(batch, self.needs()[0])
            with context.autocast():
                found = self.cloner_(self._input(batch.pixels, context))
            training.learn(self._gaps(teacher, found).sum(1).mean())
        self.facts_ = training.facts()
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        if torch.compiler.is_exporting():
            raise DetectorError("its map is a gradient, for which a graph has no operator")
        cloner = self.cloner_.to(context.device).eval().requires_grad_(False)
        network = context.backbone(self.backbone)
        names = network.resolve(self.layers)
        with torch.enable_grad(), guided(cloner if self.gradient == "guided" else None):
            pixels = batch.pixels.to(context.device).clone().requires_grad_()
            teacher = network(pixels, names, normalise=self.normalise, gradients=True)
            found = cloner(self._input(pixels, context))
            scores = self._gaps(teacher, found)[:, SCORED].sum(1)
            # images of a batch are independent: the sum has each image's own gradient
            (gradients,) = torch.autograd.grad(scores.sum(), pixels)
        return Prediction(scores.detach(), self._maps(gradients))

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _maps(self, gradients: Tensor) -> Tensor:
        """Turn gradients (B, 3, H, W) into maps (B, H, W)."""
        steep = gradients.abs().sum(1)
        flat = steep.flatten(1)
        most = flat.quantile(CLIPPED, dim=1)[:, None, None]
        maps = torch.minimum(steep, most)
        if self.rescale:
            least = flat.amin(1)[:, None, None]
            maps = (maps - least) / (most - least).clamp(min=1e-12)
        return smooth(maps, self.sigma)

    def _input(self, pixels: Tensor, context: Context) -> Tensor:
        """Prepare images for the cloner as for the teacher."""
        pixels = pixels.to(context.device)
        if not self.normalise:
            return pixels
        teacher = context.backbone(self.backbone)
        mean, std = (pixels.new_tensor(v).view(1, 3, 1, 1) for v in (teacher.mean, teacher.std))
        return (pixels - mean) / std

    def _gaps(self, teacher: Sequence[Tensor], cloner: Sequence[Tensor]) -> Tensor:
        """Compare activations per image and layer: (B, 4)."""
        sides = [[tuple(f.shape[1:]) for f in layers] for layers in (teacher, cloner)]
        if sides[0] != sides[1]:
            raise DetectorError(
                f"mkd: the layers {self.layers} of {self.backbone} are {sides[0]}, the cloner's "
                f"{sides[1]}; layers with strides of 4, 8, 16 and 32 pixels are needed, and sides "
                "of images that are multiples of 32 (--image-size 128)"
            )
        return torch.stack(
            [
                cosine_gap(t.flatten(1), c.flatten(1))
                + self.weight * (t - c.float()).square().flatten(1).mean(1)
                for t, c in zip(teacher, cloner, strict=True)
            ],
            1,
        )
