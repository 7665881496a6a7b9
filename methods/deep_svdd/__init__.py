"""Deep SVDD: a network maps normal images near a centre (Ruff et al., ICML 2018)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import (
    Batch,
    Context,
    Detector,
    Images,
    Prediction,
    Stages,
    Training,
    seeded,
)
from benchmark.errors import DetectorError, SettingsError

from .._parts.autoencoders import as_channels, channels_of
from .._parts.pixels import NATIVE
from .networks import LeNet, LeNetAutoEncoder

WARM_UP = 10
"""Epochs before the radius of the soft boundary is first set."""
NEAREST_ZERO = 0.1
"""A number of the centre nearer to zero is moved here: zero could be met by weights of zero."""
COLLAPSED = 1e-6
"""Share of the codes' spread before training below which they are the same for all images."""
SCHEDULE = {1: (150, 50, 0.5e-3), 3: (350, 250, 0.5e-6)}
"""By channels: epochs of pre-training, the one after which its rate falls, its weight decay."""


class DeepSvdd(Detector):
    """Deep SVDD: squared distance of an image's code from a centre that normal codes are pulled to.

    Paper: Ruff et al., "Deep One-Class Classification", ICML 2018, sections 3 and 4.2; schedule and
    networks of the official code (https://github.com/lukasruff/Deep-SVDD-PyTorch): the network of
    MNIST for grey images, that of CIFAR-10 for others. An auto-encoder is trained first; the centre
    is the mean code of its encoder and stays fixed. ``deep_svdd_soft_boundary`` lets the share ν of the
    training images lie outside of a sphere, whose radius follows the last batch.

    Every image has its mean subtracted and is divided by its mean absolute value; then all are scaled
    by the lowest and highest value of the training images. The official code has these two numbers as
    constants per class; here they are measured. No map.

    A network that gives all training images the same code, which training can end in, is an error;
    the record keeps the codes' spread before and after.

    Args:
        objective: ``one_class`` or ``soft_boundary``.
        nu: share of the training images outside of the soft boundary.
        pretrain_epochs: None is 150 for grey images and 350 for others; 0 is no pre-training.
        epochs, batch, learning_rate, weight_decay: of Adam; the rate falls to a tenth after
            ``milestone`` epochs, in pre-training after 50 (grey images) or 250.
        steps: ends both trainings earlier than their epochs do.
        side: larger images are averaged down to side × side pixels, at most 32.
    """

    title = "Deep SVDD"
    citation = "Ruff et al. 2018"
    paper = NATIVE
    smoke = {"epochs": 2, "pretrain_epochs": 10, "batch": 8}
    presets = {"deep_svdd_soft_boundary": {"objective": "soft_boundary"}}

    def __init__(
        self,
        *,
        objective: Literal["one_class", "soft_boundary"] = "one_class",
        nu: float = 0.1,
        pretrain_epochs: int | None = None,
        epochs: int = 150,
        milestone: int = 50,
        steps: int | None = None,
        batch: int = 200,
        learning_rate: float = 1e-4,
        weight_decay: float = 0.5e-6,
        side: int = 32,
    ) -> None:
        self.objective = objective
        self.nu = nu
        self.pretrain_epochs = pretrain_epochs
        self.epochs = epochs
        self.milestone = milestone
        self.steps = steps
        self.batch = batch
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.side = side
        counts = (epochs, batch, milestone, 1 if steps is None else steps)
        if min(counts) < 1 or (pretrain_epochs or 0) < 0 or not 8 <= side <= 32 or not 0 < nu <= 1:
            raise SettingsError(
                f"deep_svdd: epochs is {epochs}, batch {batch}, milestone {milestone}, steps {steps}: "
                f"at least 1 is needed; pretrain_epochs is {pretrain_epochs}: at least 0; side is "
                f"{side}: allowed are 8 to 32; nu is {nu}: allowed is a share above 0 and up to 1"
            )

    def build(self) -> None:
        height, width = self.inputs_["sides"]
        self.network_ = Sphere((height, width), self.inputs_["channels"])

    def fit(self, train: Images, context: Context) -> Self:
        channels = channels_of(train)
        self.inputs_: dict[str, Any] = {"channels": channels, "low": 0.0, "high": 1.0}
        images = torch.cat([self._images(batch) for batch in train.batches(64)])
        low, high = float(images.min()), float(images.max())
        self.inputs_ |= {"sides": list(images.shape[2:]), "low": low, "high": high}
        images = (images - low) / max(high - low, 1e-12)
        images = images.to(context.device)
        stages = Stages(context.checkpoint)
        with seeded(context, "network"):
            self.build()
        self.network_.to(context.device)
        self.facts_ = {"images": len(images), **self.inputs_}
        if self.pretrain_epochs != 0:
            self._pretrain(images, replace(context, checkpoint=stages.part("auto-encoder")), stages)
        self._train(images, replace(context, checkpoint=stages.part("sphere")))
        return self

    @torch.no_grad()
    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        network = self.network_.to(context.device).eval()
        distances = network(self._images(batch).to(context.device))
        soft = self.objective == "soft_boundary"
        return Prediction(distances - network.radius.square() if soft else distances)

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _images(self, batch: Batch) -> Tensor:
        """Prepare images: (B, C, h, w), those of the training between 0 and 1."""
        images = as_channels(batch.pixels, self.inputs_["channels"])
        if max(batch.size) > self.side:
            size = [min(length, self.side) for length in batch.size]
            images = F.interpolate(images, size=size, mode="area")
        low, high = self.inputs_["low"], self.inputs_["high"]
        out: Tensor = (contrast_normalised(images) - low) / max(high - low, 1e-12)
        return out

    def _pretrain(self, images: Tensor, context: Context, stages: Stages) -> None:
        """Train the network as the encoder of an auto-encoder, or take it from the checkpoint."""
        done = stages.finished("auto-encoder")
        if done is None:
            channels = self.inputs_["channels"]
            epochs, milestone, decay = SCHEDULE[channels]
            with seeded(context, "auto-encoder"):
                model = LeNetAutoEncoder((images.shape[2], images.shape[3]), channels)
            model.to(context.device).train()
            training = self._training(
                model, decay, context, "auto-encoder", images, self.pretrain_epochs or epochs
            )
            for indices in training:
                self._set_rate(training, milestone)
                some = images[indices]
                training.learn((model(some) - some).square().flatten(1).sum(1).mean())
            done = {"encoder": model.encoder.state_dict(), "facts": training.facts()}
            stages.finish("auto-encoder", done)
        self.network_.body.load_state_dict(done["encoder"])
        self.facts_["auto_encoder"] = done["facts"]

    def _train(self, images: Tensor, context: Context) -> None:
        """Pull the training images' codes to their mean."""
        network = self.network_
        before = network.codes(images)
        network.centre.copy_(centre_of(before))
        training = self._training(
            network, self.weight_decay, context, "sphere", images, self.epochs
        )
        network.train()
        for indices in training:
            self._set_rate(training, self.milestone)
            distances = network(images[indices])
            if self.objective == "one_class":
                training.learn(distances.mean())
                continue
            training.learn(soft_boundary(distances, network.radius, self.nu))
            if training.epoch > WARM_UP:
                network.radius.copy_(distances.detach().sqrt().quantile(1 - self.nu))
        after = network.codes(images)
        spread = [float(codes.std(0, correction=0).mean()) for codes in (before, after)]
        self.facts_ |= {"spread_before": spread[0], "spread_after": spread[1], **training.facts()}
        if 0 < spread[0] and spread[1] <= COLLAPSED * spread[0]:
            raise DetectorError(
                f"deep_svdd: the network has collapsed, it gives all training images the same code "
                f"(spread {spread[1]:.3g}, {spread[0]:.3g} before training); train less: "
                f"--set deep_svdd.epochs={max(self.epochs // 4, 1)}"
            )

    def _training(
        self,
        module: nn.Module,
        decay: float,
        context: Context,
        title: str,
        images: Tensor,
        epochs: int,
    ) -> Training:
        return Training(
            context,
            module,
            torch.optim.Adam(module.parameters(), self.learning_rate, weight_decay=decay),
            title=title,
            images=len(images),
            batch=self.batch,
            epochs=epochs,
            steps=self.steps,
            curves=f"{title} ",
            remedy="lower the learning rate: --set "
            f"deep_svdd.learning_rate={self.learning_rate / 4:g}",
        )

    def _set_rate(self, training: Training, milestone: int) -> None:
        """Set the learning rate of a step."""
        factor = 0.1 if training.epoch > milestone else 1.0
        for group in training.optimiser.param_groups:
            group["lr"] = factor * self.learning_rate


class Sphere(nn.Module):
    """A network, the centre of its codes, and a radius around it.

    Args:
        size: (H, W) of images.
        channels: of images.
    """

    centre: Tensor
    radius: Tensor

    def __init__(self, size: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.body = LeNet(size, channels)
        self.register_buffer("centre", torch.zeros(self.body.length))
        self.register_buffer("radius", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        """Measure the squared distance of images (B, C, H, W) from the centre, (B,)."""
        out: Tensor = (self.body(images) - self.centre).square().sum(1)
        return out

    @torch.no_grad()
    def codes(self, images: Tensor) -> Tensor:
        """Encode all images, (N, length), as in scoring."""
        self.eval()
        return torch.cat([self.body(some) for some in torch.split(images, 256)])


def contrast_normalised(images: Tensor) -> Tensor:
    """Subtract each image's mean and divide by its mean absolute value: (B, C, H, W) to the same."""
    centred = images - images.mean((1, 2, 3), keepdim=True)
    return centred / centred.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-6)


def centre_of(codes: Tensor) -> Tensor:
    """Average codes (N, length), numbers near zero moved away from it."""
    mean = codes.mean(0)
    away = torch.where(mean < 0, -NEAREST_ZERO, NEAREST_ZERO)
    return torch.where(mean.abs() < NEAREST_ZERO, away, mean)


def soft_boundary(distances: Tensor, radius: Tensor, nu: float) -> Tensor:
    """Compute the soft-boundary objective of squared distances (B,): R² + mean of max(0, d - R²) / ν."""
    squared = radius.square()
    return squared + (distances - squared).clamp(min=0).mean() / nu
