"""What the auto-encoders share: how images are seen, the training, the map of what is not rebuilt."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import Batch, Context, Detector, Geometry, Images, Prediction, Training, seeded
from benchmark.errors import SettingsError

from .autoencoders import AutoEncoder, Between, as_channels, bergmann_layers, channels_of
from .crops import check_grid, fold, grid_crops, random_crops

CROP, STRIDE = 128, 32
"""Side of the crops that textures are seen by, and pixels between two of them."""
SMALL = 32
"""Sides up to this are those of the one-class data sets."""
DEGREES, SHIFT = 5.0, 0.05
"""Whole images are turned and shifted by up to so much; the papers do not say how far."""
RECTIFIER = Between(slope=0.2, he=True)
CHUNK = 64
"""Crops that are rebuilt together when scoring."""


class Reconstruction(Detector):
    """A network that rebuilds normal images; subclasses say which, its loss and its map.

    Textures are seen by crops of 128 × 128, drawn at random in training and laid over each other at
    every 32nd pixel for the map; objects whole, turned and shifted a little in training. Images up to
    32 × 32 are seen as they are. Grey images, all channels equal in all of the training images, have
    networks of one channel. The last epoch counts.

    An image's score is its map's maximum, or, up to 32 × 32, its mean: the one-class papers' error of
    the whole image.

    Args:
        owner: the method's name.
        crops: whether images are seen by crops: those that the data set calls ``textures``, or
            ``always``, or ``never``. Not where an image is no larger than a crop.
        views: images or crops per epoch; None is 10,000, or up to 32 × 32 the training images.
        epochs, batch, learning_rate, weight_decay: of Adam.
        steps: ends the training earlier than the epochs do.
    """

    paper = Geometry(resize=(256, 256))

    def __init__(
        self,
        owner: str,
        crops: Literal["textures", "always", "never"],
        views: int | None,
        epochs: int,
        steps: int | None,
        batch: int,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        self._owner = owner
        self.crops = crops
        self.views = views
        self.epochs = epochs
        self.steps = steps
        self.batch = batch
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        counts = {"views": views, "epochs": epochs, "steps": steps, "batch": batch}
        wrong = {k: v for k, v in counts.items() if v is not None and v < 1}
        if wrong or learning_rate <= 0 or weight_decay < 0:
            raise SettingsError(
                f"{owner}: learning_rate is {learning_rate}, weight_decay {weight_decay}, "
                f"{', '.join(f'{k} {v}' for k, v in counts.items())}: counts and the rate must be "
                "positive, the decay not negative"
            )

    @abstractmethod
    def network(self, size: tuple[int, int], channels: int) -> nn.Module:
        """Build the network for images (B, channels, H, W) in [0, 1]."""

    @abstractmethod
    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Compute what is minimised for images (B, C, H, W), with the generator's draws: a number."""

    @abstractmethod
    def errors(self, images: Tensor) -> Tensor:
        """Measure how badly every pixel is rebuilt: (B, C, H, W) to (B, H, W)."""

    def build(self) -> None:
        height, width = self.inputs_["sides"]
        self.network_ = self.network((height, width), self.inputs_["channels"])

    def fit(self, train: Images, context: Context) -> Self:
        size = train.batch([0]).size
        textured = self.crops == "always" or (
            self.crops == "textures" and "Textures" in context.groups
        )
        cropped = textured and min(size) > CROP
        if cropped:
            check_grid(self._owner, size, CROP, STRIDE)
        self.inputs_: dict[str, Any] = {
            "sides": [CROP, CROP] if cropped else list(size),
            "cropped": cropped,
            "channels": channels_of(train),
        }
        with seeded(context, "network"):
            self.build()
        self.network_.to(context.device).train()
        training = Training(
            context,
            self.network_,
            torch.optim.Adam(
                self.network_.parameters(), self.learning_rate, weight_decay=self.weight_decay
            ),
            title="auto-encoder",
            images=self.views or (len(train) if max(size) <= SMALL else 10_000),
            batch=self.batch,
            epochs=self.epochs,
            steps=self.steps,
            remedy="lower the learning rate: --set "
            f"{self._owner}.learning_rate={self.learning_rate / 4:g}",
        )
        for indices in training:
            generator = context.generator(f"view {training.done}")
            batch = train.batch([i % len(train) for i in indices])
            with context.autocast():
                loss = self.loss(self._view(batch, generator, context), generator)
            training.learn(loss)
        self.facts_ = {**self.inputs_, **training.facts()}
        return self

    @torch.no_grad()
    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        self.network_.to(context.device).eval()
        images = as_channels(batch.pixels, self.inputs_["channels"]).to(context.device)
        cropped = self.inputs_["cropped"]
        parts = grid_crops(images, CROP, STRIDE) if cropped else images
        found = []
        for part in torch.split(parts, CHUNK):
            with context.autocast():
                found.append(self.errors(part).float())
        maps = torch.cat(found)
        if cropped:
            maps = fold(maps, len(batch), batch.size, STRIDE)
        flat = maps.flatten(1)
        return Prediction(flat.mean(1) if max(batch.size) <= SMALL else flat.amax(1), maps)

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _view(self, batch: Batch, generator: torch.Generator, context: Context) -> Tensor:
        """Return the images (B, C, h, w) of a step, as they are seen in training."""
        images = as_channels(batch.pixels, self.inputs_["channels"])
        if self.inputs_["cropped"]:
            images = random_crops(images, CROP, generator)
        elif max(batch.size) > SMALL:
            images = moved(images, generator)
        return images.to(context.device)


def bergmann(
    size: tuple[int, int], channels: int, code: int | None, end: nn.Module | None = None
) -> AutoEncoder:
    """Build the auto-encoder of Bergmann et al. 2018, Table 1, whose output layers are linear.

    The paper does not say how weights start. Twenty layers without a norm want a start that keeps the
    signal: from PyTorch's own, structural similarity learns nothing of a texture within 640 steps.

    Ports that end with a sigmoid can saturate it within ten steps where most pixels are black, as on
    MNIST: a squared error has no gradient from then on.

    Args:
        size: (H, W).
        channels: of the images.
        code: length of the code; None is 500 for objects (256 × 256), 100 up to 128 × 128 as the
            paper has it, and 64 up to 32 × 32 (Abati et al. 2019).
        end: after the last layer; None leaves it linear.
    """
    layers = bergmann_layers(size, code or code_length(size))
    return AutoEncoder(size, channels, layers, RECTIFIER, end)


def moved(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn and shift images (B, C, H, W) a little, each by its own draw; edges are repeated."""
    turn, right, down = (2 * torch.rand(3, len(images), generator=generator) - 1).unbind()
    angle = turn * math.radians(DEGREES)
    height, width = images.shape[2:]
    cos, sin = angle.cos(), angle.sin()
    # sampling places are given in halves of the image's sides, which an angle must not squeeze
    rows = [cos, -sin * height / width, 2 * SHIFT * right]
    rows += [sin * width / height, cos, 2 * SHIFT * down]
    grid = F.affine_grid(
        torch.stack(rows, 1).view(-1, 2, 3), list(images.shape), align_corners=False
    )
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def code_length(size: Sequence[int]) -> int:
    """Choose the length of a code for images (H, W), where none is set."""
    side = max(size)
    return 64 if side <= SMALL else 100 if side <= CROP else 500
