"""DRAEM: a discriminatively trained reconstruction embedding (Zavrtanik et al., ICCV 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F

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
    upsample,
)
from benchmark.errors import SettingsError

from .._parts.anomaly_masks import focal_loss, perlin_masks, rotated
from .._parts.msssim import MsSsim
from .._parts.sides import fitting
from .._parts.textures import Source, Textures
from .augmenters import augmented
from .networks import DEPTH, WIDTH, DraemNetworks

WINDOW = 11
"""Of the structural similarity."""
POOL = 21
"""Side of the window that a score averages over."""
TURNED = 0.3
"""Share of the training images that are turned by up to 90 degrees."""
MOST_SEEN = 0.8
"""A texture lets up to this share of the image show through."""
MILESTONES, DECAY = (0.8, 0.9), 0.2
"""After these shares of the steps the learning rate falls to this share of itself."""


class Draem(Detector):
    """DRAEM: one network takes planted defects out of images, another marks what it took out.

    Paper: Zavrtanik, Kristan and Skočaj, "DRÆM - A Discriminatively Trained Reconstruction Embedding
    for Surface Anomaly Detection", ICCV 2021, arXiv 2108.07610, section 3. Textures that went
    through three of ten augmenters are blended into half of the training images under Perlin masks.
    The loss is the reconstruction's squared error plus 1 - structural similarity, plus the focal
    loss of the mask, whose gradient reaches both networks. The map is the mask's probability; the
    score is its largest 21 × 21 mean.

    The textures are an asset (``bench pretrain textures --images DIR``); the published numbers
    belong to the Describable Textures Dataset. The record says which textures were used.

    Readings: pixels are RGB in [0, 1], BGR in the official code, whose weights cannot be read here.
    An epoch goes through every image once, where the official code draws as many with replacement.
    The similarity's window lies wholly inside the image. The augmenters are written anew for
    tensors; ``augmenters.py`` says what each does. Images whose sides are no multiples of 32 are
    resized to such, and maps back. Ground truth is resized by nearest neighbour, officially bilinear
    and cut to 1.

    Args:
        textures: the ``asset``, or ``drawn``: Perlin noise in two colours, for trying things out.
        width: channels of the reconstruction's finest stage, published as 128; the others scale.
        epochs, batch, learning_rate: of Adam, over both networks.
        steps: ends the training earlier than its epochs do; None does not.
    """

    title = "DRAEM"
    citation = "Zavrtanik et al. 2021"
    paper = Geometry(resize=(256, 256))
    version = "2"
    smoke = {"textures": "drawn", "width": 16, "epochs": 80, "batch": 4, "learning_rate": 1e-3}

    def __init__(
        self,
        *,
        textures: Literal["asset", "drawn"] = "asset",
        width: int = WIDTH,
        epochs: int = 700,
        batch: int = 8,
        learning_rate: float = 1e-4,
        steps: int | None = None,
    ) -> None:
        self.textures = textures
        self.width = width
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.steps = steps
        numbers = (epochs, batch, 1 if steps is None else steps)
        if min(numbers) < 1 or width < 2 or learning_rate <= 0:
            raise SettingsError(
                f"draem: width is {width}: at least 2; epochs {epochs}, batch {batch}, steps "
                f"{steps}, learning_rate {learning_rate}: all must be positive"
            )

    def assets(self) -> Sequence[type[Asset]]:
        return [Textures] if self.textures == "asset" else []

    def build(self) -> None:
        self.networks_ = DraemNetworks(self.width).to(memory_format=torch.channels_last)

    def fit(self, train: Images, context: Context) -> Self:
        with seeded(context, "networks"):
            self.build()
        self.networks_.to(context.device).train()
        source = Source(Textures if self.textures == "asset" else None, context)
        training = Training(
            context,
            self.networks_,
            torch.optim.Adam(self.networks_.parameters(), self.learning_rate),
            title="networks",
            images=len(train),
            batch=self.batch,
            epochs=self.epochs,
            steps=self.steps,
            remedy=f"lower the learning rate: --set draem.learning_rate={self.learning_rate / 4:g}",
        )
        for indices in training:
            late = sum(training.done >= int(share * training.steps) for share in MILESTONES)
            for group in training.optimiser.param_groups:
                group["lr"] = self.learning_rate * DECAY**late
            generator = context.generator(f"defects {training.done}")
            pixels = fitting(train.batch(indices).pixels.to(context.device), DEPTH)
            pixels = rotated(pixels, 90.0, generator, share=TURNED)
            training.learn(self._loss(pixels, *planted(pixels, source, generator), context))
        self.facts_ = {"textures": source.facts, **training.facts()}
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        self.networks_.to(context.device).eval()
        with torch.no_grad(), context.autocast():
            _, logits = self.networks_(fitting(batch.pixels.to(context.device), DEPTH))
        maps = logits.float().softmax(1)[:, 1]
        means = F.avg_pool2d(maps[:, None], POOL, stride=1, padding=POOL // 2)
        if maps.shape[1:] != batch.size:
            maps = upsample(maps, batch.size)
        return Prediction(means.flatten(1).amax(1), maps)

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _loss(self, pixels: Tensor, odd: Tensor, masks: Tensor, context: Context) -> Tensor:
        with context.autocast():
            rebuilt, logits = self.networks_(odd)
        similarity = MsSsim((1.0,), WINDOW, span=1.0).to(pixels.device)
        unlike = 1 - similarity(rebuilt, pixels).mean()
        loss: Tensor = F.mse_loss(rebuilt.float(), pixels) + unlike + focal_loss(logits, masks)
        return loss


def planted(pixels: Tensor, source: Source, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Blend augmented textures into half of the images (B, 3, H, W) under Perlin masks.

    Returns:
        the images, and the masks (B, 1, H, W) of zeros and ones; empty for the other half.
    """
    size = (pixels.shape[2], pixels.shape[3])
    masks = perlin_masks(len(pixels), size, generator, device=pixels.device)
    textures = augmented(source.draw(len(pixels), size, generator), generator)
    seen = MOST_SEEN * torch.rand(len(pixels), 1, 1, 1, generator=generator).to(pixels.device)
    return torch.lerp(pixels, textures, masks * (1 - seen)), masks
