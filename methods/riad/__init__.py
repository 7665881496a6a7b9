"""RIAD: reconstruction by inpainting for visual anomaly detection (Zavrtanik et al., 2021)."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import (
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
from benchmark.errors import SettingsError

from .._parts.msgms import msgms_loss, msgms_map
from .._parts.msssim import MsSsim
from .._parts.sides import fitting
from .painter import SETS, Painter, fixed_sets, shared_out

WINDOW = 11
"""Of the structural similarity."""
POOL = 21
"""Side of the window that smooths maps."""
LATE, LATE_RATE = 250 / 300, 0.1
"""The training goes on at a tenth of its learning rate after this share of its epochs."""
DEPTH = 16
LEAST = 2 * DEPTH
"""Sides must be multiples of the former, and at least the latter for the coarsest similarity."""


class Riad(Detector):
    """RIAD: paints hidden parts of an image from the rest; what it cannot paint is anomalous.

    Paper: Zavrtanik, Kristan and Skočaj, "Reconstruction by Inpainting for Visual Anomaly
    Detection", Pattern Recognition 112, 2021, section 3. A U-Net sees an image three times, each
    time without another third of its k × k squares, and the three painted thirds make an image. The
    loss of a step, whose k is drawn, is the squared error plus 1 - multi-scale gradient magnitude
    similarity plus 1 - structural similarity. The map is 1 - the former similarity, averaged over
    all k and over 21 × 21 pixels; the score its maximum. One image in five is not trained on: the
    epoch with the lowest loss on those is kept, and the training ends ``patience`` epochs after it.

    There is no official code. Readings: pixels are in [-1, 1] for the network and the squared error,
    in [0, 1] for the similarities, whose constants belong to it; borders repeat their edge. A
    well-known unofficial port smooths with a Gaussian instead, and divides the map of each k by the
    number of squares, which makes the largest k count 64 times the smallest.

    Masks for scoring are the same for every image. Images whose sides are no multiples of 16 are
    resized to such, and maps back.

    Args:
        squares: k, sides of the squares in pixels.
        width: channels of the finest stage, published as 64; the others scale with it.
        epochs, batch, learning_rate, weight_decay: of Adam; a tenth of the rate from 250/300 on.
        patience: epochs without a lower loss on the images that are not trained on.
        validation: fraction of the training images that choose the epoch.
    """

    title = "RIAD"
    citation = "Zavrtanik et al. 2021"
    paper = Geometry(resize=(256, 256))
    smoke = {"width": 8, "epochs": 10, "batch": 2, "squares": (4, 8), "learning_rate": 2e-3}

    def __init__(
        self,
        *,
        squares: tuple[int, ...] = (2, 4, 8, 16),
        width: int = 64,
        epochs: int = 300,
        batch: int = 4,
        learning_rate: float = 1e-4,
        weight_decay: float = 1e-5,
        patience: int = 20,
        validation: float = 0.2,
    ) -> None:
        self.squares = squares
        self.width = width
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.validation = validation
        if not squares or any(side < 1 or DEPTH % side for side in squares):
            raise SettingsError(f"riad: squares is {squares}; allowed are 1, 2, 4, 8 and 16")
        if min(width, epochs, batch, patience) < 1 or learning_rate <= 0:
            raise SettingsError(
                f"riad: width is {width}, epochs {epochs}, batch {batch}, patience {patience}, "
                f"learning_rate {learning_rate}: all must be positive"
            )
        if not 0 < validation < 1:
            raise SettingsError(f"riad: validation is {validation}; allowed is between 0 and 1")

    def build(self) -> None:
        self.painter_ = Painter(self.width).to(memory_format=torch.channels_last)

    def fit(self, train: Images, context: Context) -> Self:
        with seeded(context, "painter"):
            self.build()
        self.painter_.to(context.device).train()
        taught, held = split_off(context, len(train), self.validation)
        training = Training(
            context,
            self.painter_,
            torch.optim.Adam(
                self.painter_.parameters(), self.learning_rate, weight_decay=self.weight_decay
            ),
            title="painter",
            images=len(taught),
            batch=self.batch,
            epochs=self.epochs,
            remedy=f"lower the learning rate: --set riad.learning_rate={self.learning_rate / 4:g}",
        )
        for indices in training:
            if training.done % training.per_epoch == 0:
                best = training.best_epoch()
                if best is not None and training.epoch - best > self.patience:
                    break
            late = training.done >= int(LATE * training.steps)
            for group in training.optimiser.param_groups:
                group["lr"] = self.learning_rate * (LATE_RATE if late else 1)
            generator = context.generator(f"masks {training.done}")
            drawn = int(torch.randint(len(self.squares), (), generator=generator))
            pixels = self._pixels(train.batch([taught[i] for i in indices]), context)
            sets = shared_out(pixels.shape, self.squares[drawn], generator)
            training.learn(self._loss(pixels, sets, context))
            if training.epoch_ends:
                training.offer(self._error(train, held, context))
        training.take_best()
        self.facts_ = {"trained_on": len(taught), "held_out": len(held), **training.facts()}
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        self.painter_.to(context.device).eval()
        with torch.no_grad():
            pixels = self._pixels(batch, context)
            painted = [self._painted(pixels, sets, context) for sets in self._always(pixels)]
            maps = smoothed(torch.stack([msgms_map(pixels, p) for p in painted]).mean(0))
        if maps.shape[1:] != batch.size:
            maps = upsample(maps, batch.size)
        return Prediction(maps.flatten(1).amax(1), maps)

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _pixels(self, batch: Batch, context: Context) -> Tensor:
        return fitting(batch.pixels.to(context.device), DEPTH, LEAST)

    def _always(self, pixels: Tensor) -> list[Tensor]:
        """Return the sets that scores use for every k, the same for all images and seeds."""
        height, width = pixels.shape[2:]
        return [fixed_sets(height, width, side) for side in self.squares]

    def _painted(self, pixels: Tensor, sets: Tensor, context: Context) -> Tensor:
        """Paint images (B, 3, H, W) in [0, 1] anew, third by third."""
        hidden = sets.to(pixels.device) == torch.arange(SETS, device=pixels.device).view(
            -1, 1, 1, 1, 1
        )
        # (3, B, 1, H, W) to (3 B, 3, H, W): every image without its first third, then its second
        seen = ((2 * pixels - 1) * ~hidden).flatten(0, 1)
        with context.autocast():
            painted = self.painter_(seen.contiguous(memory_format=torch.channels_last))
        thirds = painted.float().view(SETS, *pixels.shape) * hidden
        whole: Tensor = (thirds.sum(0) + 1) / 2
        return whole

    def _loss(self, pixels: Tensor, sets: Tensor, context: Context) -> Tensor:
        painted = self._painted(pixels, sets, context)
        similarity = MsSsim((1.0,), WINDOW, span=1.0).to(pixels.device)
        unlike = 1 - similarity(pixels, painted).mean()
        squared = 4 * F.mse_loss(painted, pixels)  # of pixels in [-1, 1]
        loss: Tensor = squared + msgms_loss(pixels, painted) + unlike
        return loss

    @torch.no_grad()
    def _error(self, train: Images, held: list[int], context: Context) -> float:
        """Average the loss of the held-out normal images over all k."""
        self.painter_.eval()
        total = 0.0
        for start in range(0, len(held), self.batch):
            part = held[start : start + self.batch]
            pixels = self._pixels(train.batch(part), context)
            losses = [self._loss(pixels, sets, context) for sets in self._always(pixels)]
            total += len(part) * float(torch.stack(losses).mean())
        self.painter_.train()
        return total / len(held)


def smoothed(maps: Tensor) -> Tensor:
    """Average maps (B, H, W) over 21 × 21 pixels, fewer at the border."""
    return F.avg_pool2d(maps, POOL, stride=1, padding=POOL // 2, count_include_pad=False)
