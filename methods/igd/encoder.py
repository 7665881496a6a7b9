"""IGD's local encoder, distilled from a pre-trained network (equation 10)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import POOLED, Asset, Context, Images, State, Training, seeded
from benchmark.errors import AssetError

from .._parts.distillation import ImageNetInput
from .networks import PatchEncoder

SIDE = 32


class IgdEncoder(Asset):
    """A small network that gives a pre-trained network's pooled features of 32 × 32 images.

    Equation 10: the squared distance of the two descriptors, averaged over images. The paper leaves
    open what is cut from the images; here a window of 32, 64, 128 … pixels, as large as the image
    allows, is averaged down to 32 × 32. It also leaves open at which size the teacher sees that;
    here it is enlarged, since at 32 × 32 a network made for 224 × 224 has a single place left.

    Args:
        backbone: the teacher; the student's output has the width of its pooled features.
        teacher_side: pixels to which a window is enlarged for the teacher.
        steps, batch, learning_rate, weight_decay: of Adam.
    """

    name = "igd-encoder"

    def __init__(
        self,
        *,
        backbone: str = "resnet18",
        teacher_side: int = 128,
        steps: int = 50_000,
        batch: int = 64,
        learning_rate: float = 1e-4,
        weight_decay: float = 1e-5,
    ) -> None:
        self.backbone = backbone
        self.teacher_side = teacher_side
        self.steps = steps
        self.batch = batch
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        if batch < 2 or steps < 1 or teacher_side < SIDE:
            raise AssetError(
                f"igd-encoder: batch is {batch}, steps {steps}, teacher_side {teacher_side}; "
                f"allowed are at least 2, 1 and {SIDE}"
            )

    def build(self, images: Images, context: Context) -> State:
        encoder, facts = self.distil(images, context)
        return State({k: v.detach().cpu() for k, v in encoder.state_dict().items()}, facts)

    def distil(
        self, images: Images, context: Context, *, only_patches: bool = False
    ) -> tuple[PatchEncoder, dict[str, object]]:
        """Train the encoder.

        Args:
            images: at least 2, of any size.
            context: its checkpoint is used.
            only_patches: cut windows of 32 pixels only, as the local model sees.

        Returns:
            the encoder in evaluation mode, and what was run (with its width), as JSON.
        """
        if len(images) < 2:
            raise AssetError(f"igd-encoder: {len(images)} image; give at least 2 to learn from")
        teacher = context.backbone(self.backbone)
        teacher.sha256((POOLED,))  # says so when weights are missing
        blank = torch.zeros(1, 3, self.teacher_side, self.teacher_side)
        width = teacher(blank, (POOLED,))[0].shape[1]
        with seeded(context, "encoder"):
            student = PatchEncoder(width)
        student.to(context.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        normal = ImageNetInput().to(context.device)
        training = Training(
            context,
            student,
            torch.optim.Adam(
                student.parameters(), self.learning_rate, weight_decay=self.weight_decay
            ),
            title="encoder",
            images=len(images),
            batch=min(self.batch, len(images)),
            epochs=self.steps,
            steps=self.steps,
            remedy=f"lower the learning rate: --set {self.name}.learning_rate=1e-5",
        )
        for indices in training:
            rng = context.rng(f"windows {training.done}")
            octaves = 1 if only_patches else None
            patches = windows(images.batch(indices).pixels, rng, octaves).to(context.device)
            larger = F.interpolate(patches, size=self.teacher_side, mode="bilinear")
            wanted = teacher(larger, (POOLED,))[0]
            with context.autocast():
                found = student(normal(patches))
            training.learn(distance(found, wanted))
        return student.eval(), {"width": width, **training.facts()}


def distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Equation 10 on (B, C) descriptors: squared distance, averaged over the batch."""
    return (found.float() - wanted).square().sum(1).mean()


def windows(pixels: Tensor, rng: np.random.Generator, octaves: int | None = None) -> Tensor:
    """Cut one square window per image, averaged down to 32 × 32.

    Args:
        pixels: (B, 3, H, W); images below 32 pixels are padded by repeating their edges.
        rng: fixes size and place.
        octaves: windows have 32, 64, … 32 · 2^(octaves - 1) pixels; None for all that fit.

    Returns:
        (B, 3, 32, 32).
    """
    pixels = padded(pixels)
    height, width = pixels.shape[2:]
    most = int(np.log2(min(height, width) / SIDE)) + 1
    out = []
    for image in pixels:
        shrink = 2 ** int(rng.integers(min(most, octaves or most)))
        side = SIDE * shrink
        top, left = (int(rng.integers(length - side + 1)) for length in (height, width))
        out.append(F.avg_pool2d(image[:, top : top + side, left : left + side], shrink))
    return torch.stack(out)


def padded(pixels: Tensor) -> Tensor:
    """Grow images below 32 pixels to 32 by repeating their edges; others stay as they are.

    No pixel is changed, which resizing would do.
    """
    missing = [max(SIDE - side, 0) for side in pixels.shape[2:]]
    if not any(missing):
        return pixels
    top, left = missing[0] // 2, missing[1] // 2
    return F.pad(pixels, (left, missing[1] - left, top, missing[0] - top), mode="replicate")
