"""EfficientAD's teacher: a small patch network distilled from a pre-trained one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import Asset, Context, Images, State, Training, seeded
from benchmark.errors import AssetError

from .._parts.distillation import ImageNetInput, Moments
from .._parts.patches import flattened
from .networks import LEAST, WIDTH, patch_network

MIDDLE = 1024
"""Numbers that PatchCore's descriptors are pooled to per layer, before both are to 384."""
GREY = 0.1
"""Share of the photographs that are seen without colours."""
MEASURED = 10_000
"""Photographs whose descriptors fix mean and deviation, at most."""


class EfficientAdTeacher(Asset):
    """A small patch description network that gives a pre-trained network's PatchCore descriptors.

    Paper: Batzner, Heckler and König, "EfficientAD", WACV 2024, arXiv 2303.14535, algorithm 3, which
    distils WideResNet-101 on ImageNet; details as in the well-known port. The loss is the mean
    squared difference of standardised descriptors. The pre-trained network sees a photograph at
    ``side`` pixels, the teacher at half of them.

    Args:
        backbone: the pre-trained network.
        layers: its layers, of strides 8 and 16 pixels.
        side: pixels, at least 128; published as 512.
        steps, batch, learning_rate, weight_decay: of Adam.
    """

    name = "efficientad-teacher"
    size = 512

    def __init__(
        self,
        *,
        backbone: str = "wide_resnet101_2",
        layers: tuple[int | str, ...] = (2, 3),
        side: int = 512,
        steps: int = 60_000,
        batch: int = 16,
        learning_rate: float = 1e-4,
        weight_decay: float = 1e-5,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.side = side
        self.steps = steps
        self.batch = batch
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        if min(steps, batch) < 1 or side < 2 * LEAST or side % 16 or not layers:
            raise AssetError(
                f"efficientad-teacher: steps is {steps}, batch {batch}, layers {layers}: at least "
                f"one; side is {side}: a multiple of 16 from {2 * LEAST} on"
            )

    def build(self, images: Images, context: Context) -> State:
        network = context.backbone(self.backbone)
        network.sha256(network.resolve(self.layers))  # says so when weights are missing
        with seeded(context, "teacher"):
            teacher = patch_network(WIDTH, padded=True)
        teacher.to(context.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        normal = ImageNetInput().to(context.device)
        batch = min(self.batch, len(images))
        mean, std = self._scale(images, batch, context)
        training = Training(
            context,
            teacher,
            torch.optim.Adam(
                teacher.parameters(), self.learning_rate, weight_decay=self.weight_decay
            ),
            title="teacher",
            images=len(images),
            batch=batch,
            epochs=self.steps,
            steps=self.steps,
            remedy=f"lower the learning rate: --set {self.name}.learning_rate=1e-5",
        )
        for indices in training:
            generator = context.generator(f"grey {training.done}")
            pixels = images.batch(indices).pixels.to(context.device)
            pixels = partly_grey(pixels, GREY, generator)
            wanted = (self._described(pixels, context) - mean) / std
            small = F.interpolate(pixels, size=self.side // 2, mode="bilinear", antialias=True)
            with context.autocast():
                found = teacher(normal(small))
            training.learn((found.float() - wanted).square().mean())
        tensors = {k: v.detach().cpu().contiguous() for k, v in teacher.state_dict().items()}
        return State(tensors, training.facts())

    def _described(self, pixels: Tensor, context: Context) -> Tensor:
        """Compute PatchCore's descriptors of photographs, (B, 384, h, w)."""
        if pixels.shape[2] != self.side:
            pixels = F.interpolate(pixels, size=self.side, mode="bilinear", antialias=True)
        network = context.backbone(self.backbone)
        layers = network(pixels, network.resolve(self.layers))
        rows = flattened(layers, WIDTH, MIDDLE)
        found: Tensor = rows.mT.reshape(len(rows), WIDTH, *layers[0].shape[2:])
        return found

    def _scale(self, images: Images, batch: int, context: Context) -> Tensor:
        """Measure mean and deviation of each number over the photographs: (2, 384, 1, 1)."""
        moments = Moments()
        starts = range(0, min(len(images), MEASURED), batch)
        for start in context.progress.track(starts, "descriptor statistics", len(starts)):
            part = images.batch(range(start, min(start + batch, len(images))))
            moments.add(self._described(part.pixels.to(context.device), context))
        return moments.mean_and_std()[:, :, None, None]


def partly_grey(pixels: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Take the colours out of a share of images (B, 3, H, W)."""
    grey = torch.rand(len(pixels), 1, 1, 1, generator=generator) < share
    weights = pixels.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return torch.where(grey.to(pixels.device), (pixels * weights).sum(1, keepdim=True), pixels)
