"""EfficientAD: accurate visual anomaly detection at millisecond latencies (Batzner et al., 2024)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as V

from benchmark import (
    Asset,
    Batch,
    Context,
    Detector,
    Geometry,
    Images,
    Prediction,
    Training,
    seeded,
    split_off,
    upsample,
)
from benchmark.errors import DetectorError, SettingsError

from .._parts.distillation import ImageNetInput, Moments
from .._parts.textures import Photographs, Source
from .networks import LEAST, WIDTH, auto_encoder, patch_network
from .teacher import EfficientAdTeacher, partly_grey

HARD = 0.999
"""Quantile of the distances from which on the student learns."""
GREY = 0.3
"""Share of the photographs that the student sees without colours."""
QUANTILES = (0.9, 0.995)
"""Of the maps of held-out normal images, which become 0 and 0.1."""
BORDER = 4
"""Places of zeros that are put around a map, for what the patch network loses at the borders."""
LATE, LATE_RATE = 0.95, 0.1
"""The training goes on at a tenth of its learning rate after this share of its steps."""


class EfficientAd(Detector):
    """EfficientAD-S: a student of a fast patch network, and of an auto-encoder of whole images.

    Paper: Batzner, Heckler and König, "EfficientAD: Accurate Visual Anomaly Detection at
    Millisecond-Level Latencies", WACV 2024, arXiv 2303.14535, algorithms 1 and 2; details as in the
    well-known port, since there is no official code. The student learns where it is worst, and to
    say nothing about photographs of other things; the auto-encoder learns the teacher's patches, and
    the student's other half the auto-encoder's. One image in ten is held out to scale both maps,
    whose mean is the map; its maximum is the score.

    The teacher is an asset (``bench pretrain efficientad-teacher``); the published numbers belong to
    WideResNet-101 distilled on ImageNet. The photographs are one, too (``bench pretrain
    photographs``). Records say which. A photograph is shown whole, at the images' size; the port
    shows the central half of twice the size.

    Args:
        teacher: ``distilled``, the asset, or ``random``: an untrained one, for trying things out.
        photographs: the ``asset``, or ``none``: the student learns nothing about other things.
        steps: of Adam, one image each; a tenth of the rate in the last 5 %.
        learning_rate, weight_decay: of Adam.
    """

    title = "EfficientAD-S"
    citation = "Batzner et al. 2024"
    paper = Geometry(resize=(256, 256))
    smoke = {"teacher": "random", "photographs": "none", "steps": 6, "learning_rate": 1e-3}

    def __init__(
        self,
        *,
        teacher: Literal["distilled", "random"] = "distilled",
        photographs: Literal["asset", "none"] = "asset",
        steps: int = 70_000,
        learning_rate: float = 1e-4,
        weight_decay: float = 1e-5,
    ) -> None:
        self.teacher = teacher
        self.photographs = photographs
        self.steps = steps
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        if steps < 1 or learning_rate <= 0:
            raise SettingsError(
                f"efficient_ad: steps is {steps}, learning_rate {learning_rate}: both must be "
                "positive"
            )

    def assets(self) -> Sequence[type[Asset]]:
        teacher: list[type[Asset]] = [EfficientAdTeacher] if self.teacher == "distilled" else []
        return [*teacher, *([Photographs] if self.photographs == "asset" else [])]

    def build(self) -> None:
        self.teacher_ = patch_network(WIDTH).eval().requires_grad_(False)
        size = self.size_
        self.networks_ = Networks((size[0], size[1]))
        for module in (self.teacher_, self.networks_):
            module.to(memory_format=torch.channels_last)

    def fit(self, train: Images, context: Context) -> Self:
        self.size_ = list(train.batch([0]).size)
        if min(self.size_) < LEAST:
            raise DetectorError(
                f"efficient_ad: images of {self.size_[0]}×{self.size_[1]} pixels are too small for "
                f"its networks; at least {LEAST} a side (--image-size 256)"
            )
        with seeded(context, "networks"):
            self.build()
        self.facts_: dict[str, Any] = {"teacher": "random"}
        if self.teacher == "distilled":
            asset = context.asset(EfficientAdTeacher)
            self.teacher_.load_state_dict(asset.state.tensors)
            self.facts_ = {"teacher": {"sha256": asset.sha256, **asset.info.get("backbones", {})}}
        self._place(context)
        self.networks_.train()
        taught, held = split_off(context, len(train), 0.1)
        self.scale_ = self._scale(train, taught, context)
        source = Source(Photographs, context) if self.photographs == "asset" else None
        self.facts_ |= {"photographs": source.facts if source else "none"}
        self.facts_ |= self._train(train, taught, source, context)
        self.networks_.eval()
        maps = [self._maps(train.batch([i]), context) for i in held]
        both = [torch.cat([m.local for m in maps]), torch.cat([m.whole for m in maps])]
        self.limits_ = torch.tensor([[_quantile(m, q) for q in QUANTILES] for m in both])
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        self._place(context)
        self.networks_.eval()
        found = self._maps(batch, context)
        limits = self.limits_.to(found.local)
        local, whole = (
            0.1 * (values - low) / (high - low).clamp(min=1e-12)
            for values, (low, high) in zip(found, limits, strict=True)
        )
        padded = F.pad((local + whole) / 2, (BORDER,) * 4)
        maps = upsample(padded, batch.size)
        parts = {"local": local.flatten(1).amax(1), "global": whole.flatten(1).amax(1)}
        return Prediction(maps.flatten(1).amax(1), maps, parts)

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _train(
        self, train: Images, taught: list[int], source: Source | None, context: Context
    ) -> dict[str, Any]:
        """Train student and auto-encoder. Returns what was run."""
        training = Training(
            context,
            self.networks_,
            torch.optim.Adam(
                self.networks_.parameters(), self.learning_rate, weight_decay=self.weight_decay
            ),
            title="student",
            images=len(taught),
            batch=1,
            epochs=self.steps,
            steps=self.steps,
            remedy=f"lower the learning rate: --set efficient_ad.learning_rate="
            f"{self.learning_rate / 4:g}",
        )
        for indices in training:
            late = training.done >= int(LATE * training.steps)
            for group in training.optimiser.param_groups:
                group["lr"] = self.learning_rate * (LATE_RATE if late else 1)
            generator = context.generator(f"step {training.done}")
            pixels = train.batch([taught[i] for i in indices]).pixels.to(context.device)
            other = None
            if source:
                other = source.draw(1, (pixels.shape[2], pixels.shape[3]), generator)
                other = partly_grey(other, GREY, generator)
            with seeded(context, f"dropout {training.done}"), context.autocast():
                loss = self._loss(pixels, jittered(pixels, generator), other)
            training.learn(loss)
        return training.facts()

    def _loss(self, pixels: Tensor, changed: Tensor, other: Tensor | None) -> Tensor:
        """Algorithm 1: four terms, from an image, the same in other colours, and a photograph."""
        normal, networks = ImageNetInput().to(pixels.device), self.networks_
        with torch.no_grad():
            wanted, whole = (self._taught(normal(x)) for x in (pixels, changed))
        student = networks.student(normal(pixels))[:, :WIDTH].float()
        loss = hardest((wanted - student).square())
        if other is not None:
            loss = loss + networks.student(normal(other))[:, :WIDTH].float().square().mean()
        rebuilt = networks.auto_encoder(normal(changed)).float()
        imitated = networks.student(normal(changed))[:, WIDTH:].float()
        return loss + F.mse_loss(rebuilt, whole) + F.mse_loss(imitated, rebuilt)

    def _taught(self, normal: Tensor) -> Tensor:
        """Compute the teacher's standardised descriptors, (B, 384, h, w)."""
        mean, std = self.scale_.to(normal.device)[:, :, None, None]
        taught: Tensor = (self.teacher_(normal).float() - mean) / std
        return taught

    @torch.no_grad()
    def _scale(self, train: Images, taught: list[int], context: Context) -> Tensor:
        """Measure mean and deviation of the teacher's descriptors: (2, 384)."""
        normal, moments = ImageNetInput().to(context.device), Moments()
        starts = range(0, len(taught), 8)
        for start in context.progress.track(starts, "descriptor statistics", len(starts)):
            pixels = train.batch(taught[start : start + 8]).pixels.to(context.device)
            moments.add(self.teacher_(normal(pixels)))
        return moments.mean_and_std()

    @torch.no_grad()
    def _maps(self, batch: Batch, context: Context) -> Maps:
        normal = ImageNetInput().to(context.device)(batch.pixels)
        with context.autocast():
            student = self.networks_.student(normal).float()
            rebuilt = self.networks_.auto_encoder(normal).float()
            taught = self._taught(normal)
        local = (taught - student[:, :WIDTH]).square().mean(1)
        return Maps(local, (rebuilt - student[:, WIDTH:]).square().mean(1))

    def _place(self, context: Context) -> None:
        for module in (self.teacher_, self.networks_):
            module.to(context.device)


class Maps(NamedTuple):
    """Distances of student and teacher, of student and auto-encoder: (B, h, w) each."""

    local: Tensor
    whole: Tensor


class Networks(nn.Module):
    """What is trained, for images of one size."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.student = patch_network(2 * WIDTH)
        self.auto_encoder = auto_encoder(size)


def hardest(distances: Tensor) -> Tensor:
    """Average the distances that are not below their 99.9 % quantile."""
    flat = distances.flatten()
    # the quantile lies between two distances where it is interpolated
    count = len(flat) - math.ceil(HARD * (len(flat) - 1))
    return flat.topk(count).values.mean()


def jittered(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast or saturation, one of them, by up to a fifth."""
    change = (V.adjust_brightness, V.adjust_contrast, V.adjust_saturation)[
        int(torch.randint(3, (), generator=generator))
    ]
    changed: Tensor = change(pixels, 0.8 + 0.4 * float(torch.rand((), generator=generator)))
    return changed


def _quantile(maps: Tensor, share: float) -> float:
    """Take an interpolated quantile of any number of values."""
    return float(np.quantile(maps.cpu().numpy(), share))
