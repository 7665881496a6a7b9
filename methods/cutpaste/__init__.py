"""CutPaste: self-supervised learning for anomaly detection and localisation (Li et al., 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F

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
)
from benchmark.errors import SettingsError

from .._parts.crops import grid_crops, random_crops
from .._parts.gaussian import fit_gaussian, mahalanobis
from .networks import Classifier, Encoder, spread
from .planted import pasted, recoloured, rectangles, scars

HEAD = (512, 128)
"""Widths of the classifier's head."""
MOMENTUM = 0.9
EPOCH_STEPS = 256
CHUNK = 512
"""Patches that pass the network at once."""


class Cutpaste(Detector):
    """CutPaste: a network learns to see pasted parts; a Gaussian of its features is normality.

    Paper: Li, Sohn, Yoon and Pfister, "CutPaste: Self-Supervised Learning for Anomaly Detection and
    Localization", CVPR 2021, arXiv 2104.04015. Training images stand beside copies with a rectangle
    or a scar of themselves pasted elsewhere; a ResNet-18, from scratch, learns to tell the kinds
    apart. The score is the Mahalanobis distance of the normalised pooled features from a Gaussian of
    the training images' (covariance shrunk by Ledoit and Wolf).

    There is no official code. Readings: the head has layers of 512 and 128, as in the well-known
    port; a step draws ``batch`` images, which stand in it once per kind; images are recoloured, not
    shifted, before parts are cut; parts come from the same image; jitter is one linear map of the
    colours. Patches' Gaussian is fitted to half-overlapping ones, and pixels get the mean of the
    patches that show them, weighted by a Gaussian.

    ``cutpaste_patch`` is the paper's localisation: the network learns and scores patches of a
    quarter of the image's side. ``cutpaste_control`` is no CutPaste: the pre-trained backbone,
    untouched, under the same Gaussian. What the training adds is the difference from that.

    Args:
        variant: kinds besides normal: ``both``, rectangles and scars apart (the paper's 3-way), or
            one of them.
        backbone: the network's architecture.
        pretrained: whether training starts from pre-trained weights.
        epochs: of 256 steps each; 0 leaves the network as it is.
        batch: images of a step.
        learning_rate, weight_decay: of stochastic gradient descent; the rate falls with a cosine.
        patch: side of patches as a share of the image's shorter side; None scores whole images.
        stride: between patches that are scored, in pixels.
        steps: ends the training earlier than its epochs do; None does not.
    """

    title = "CutPaste"
    citation = "Li et al. 2021"
    paper = Geometry(resize=(256, 256))
    smoke = {"batch": 4, "steps": 4}
    presets = {
        "cutpaste_patch": {"patch": 0.25},
        "cutpaste_control": {"pretrained": True, "epochs": 0},
    }

    def __init__(
        self,
        *,
        variant: Literal["both", "rectangle", "scar"] = "both",
        backbone: str = "resnet18",
        pretrained: bool = False,
        epochs: int = 256,
        batch: int = 32,
        learning_rate: float = 0.03,
        weight_decay: float = 3e-5,
        patch: float | None = None,
        stride: int = 4,
        steps: int | None = None,
    ) -> None:
        self.variant = variant
        self.backbone = backbone
        self.pretrained = pretrained
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patch = patch
        self.stride = stride
        self.steps = steps
        self.draws = epochs > 0 or not pretrained
        numbers = (batch, stride, 1 if steps is None else steps)
        if epochs < 0 or min(numbers) < 1 or learning_rate <= 0:
            raise SettingsError(
                f"cutpaste: epochs is {epochs}: allowed is 0 or more; batch {batch}, stride "
                f"{stride}, steps {steps}, learning_rate {learning_rate}: all must be positive"
            )
        if patch is not None and not 0 < patch < 1:
            raise SettingsError(
                f"cutpaste: patch is {patch}; allowed is a share of the image's side below 1, or "
                "None for whole images"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, (POOLED,))] if self.pretrained else []

    def build(self) -> None:
        self.encoder_ = Encoder(self.backbone).to(memory_format=torch.channels_last)

    def fit(self, train: Images, context: Context) -> Self:
        with seeded(context, "encoder"):
            self.build()
        if self.pretrained:
            weights = context.backbone(self.backbone).tensors()
            own = self.encoder_.model.state_dict().keys()
            self.encoder_.model.load_state_dict({k: v for k, v in weights.items() if k in own})
        self.encoder_.to(context.device)
        self.facts_ = self._train(train, context) if self.epochs else {"steps": 0}
        self.encoder_.eval()
        # half-overlapping patches are enough for a Gaussian
        stride = max(self._side(train.batch([0]).pixels) // 2, 1)
        batches = context.progress.track(train.batches(16), "density", -(-len(train) // 16))
        rows = [self._describe(batch.pixels, stride, context)[0].flatten(0, 1) for batch in batches]
        self.mean_, self.whitener_, shrinkage = fit_gaussian(torch.cat(rows))
        self.facts_ |= {"shrinkage": shrinkage}
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        self.encoder_.to(context.device).eval()
        rows, grid = self._describe(batch.pixels, self.stride, context)
        distances = mahalanobis(rows.flatten(0, 1), self.mean_, self.whitener_)
        patches = distances.view(len(batch), -1)
        if not self.patch:
            return Prediction(patches[:, 0])
        maps = spread(patches.view(-1, *grid), batch.size, self._side(batch.pixels), self.stride)
        return Prediction(patches.amax(1), maps)

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _side(self, pixels: Tensor) -> int:
        """Return the side of a patch in pixels; of the image where there are none."""
        return max(round((self.patch or 1) * min(pixels.shape[2:])), 1)

    def _train(self, train: Images, context: Context) -> dict[str, Any]:
        """Teach the encoder to tell how images were made. Returns what was run."""
        kinds = 3 if self.variant == "both" else 2
        with seeded(context, "head"):
            classifier = Classifier(self.encoder_, kinds, HEAD).to(context.device).train()
        training = Training(
            context,
            classifier,
            torch.optim.SGD(
                classifier.parameters(),
                self.learning_rate,
                momentum=MOMENTUM,
                weight_decay=self.weight_decay,
            ),
            title="classifier",
            images=max(EPOCH_STEPS * self.batch, len(train)),
            batch=self.batch,
            epochs=self.epochs,
            steps=self.steps,
            remedy="lower the learning rate: --set "
            f"cutpaste.learning_rate={self.learning_rate / 4:g}",
        )
        for indices in training:
            for group in training.optimiser.param_groups:
                share = training.done / training.steps
                group["lr"] = self.learning_rate * (1 + math.cos(math.pi * share)) / 2
            generator = context.generator(f"parts {training.done}")
            batch = train.batch([i % len(train) for i in indices])
            pixels = self._kinds(batch.pixels.to(context.device), generator)
            labels = torch.arange(kinds, device=pixels.device).repeat_interleave(len(batch))
            with context.autocast():
                logits = classifier(pixels.contiguous(memory_format=torch.channels_last))
            training.learn(F.cross_entropy(logits.float(), labels))
        return training.facts()

    def _kinds(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Put images, then the same with each kind of pasted part, into one batch."""
        unit = min(pixels.shape[2:]) / 256
        if self.patch:
            pixels = random_crops(pixels, self._side(pixels), generator)
        pixels = recoloured(pixels, generator)
        count, size = len(pixels), (pixels.shape[2], pixels.shape[3])
        out = [pixels]
        if self.variant != "scar":
            out.append(pasted(pixels, rectangles(count, size, generator), generator))
        if self.variant != "rectangle":
            out.append(pasted(pixels, scars(count, unit, generator), generator))
        return torch.cat(out)

    @torch.no_grad()
    def _describe(
        self, pixels: Tensor, stride: int, context: Context
    ) -> tuple[Tensor, tuple[int, int]]:
        """Normalised features (B, P, C) of patches or of the image, and their grid."""
        pixels = pixels.to(context.device)
        crops, grid = pixels, (1, 1)
        if self.patch:
            side = self._side(pixels)
            crops = grid_crops(pixels, side, stride)
            grid = ((pixels.shape[2] - side) // stride + 1, (pixels.shape[3] - side) // stride + 1)
        rows = []
        with context.autocast():
            for image in torch.split(crops, CHUNK):
                shaped = image.contiguous(memory_format=torch.channels_last)
                rows.append(F.normalize(self.encoder_(shaped).float(), dim=1))
        found = torch.cat(rows)
        return found.view(len(pixels), -1, found.shape[1]), grid
