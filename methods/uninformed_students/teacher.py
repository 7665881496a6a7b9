"""The teachers of Uninformed Students: patch networks distilled from a pre-trained network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import Asset, Context, Images, State, Training, seeded
from benchmark.errors import AssetError

from .._parts.distillation import ImageNetInput, Moments
from .networks import LAYERS, WIDTH, patch_networks


class UsTeacher(Asset):
    """Patch networks that predict a pre-trained network's descriptor of a patch.

    Section 3.1 of the paper with the losses it used for MVTec AD: the distance of a decoded
    descriptor to the pre-trained network's, and the correlation of the descriptor's dimensions over
    the batch. The triplet loss, whose weight was zero there, is left out. Patches are a sixteenth
    to a quarter of the image's side wide, resized to p × p, and grey once in ten times. All
    receptive fields are trained side by side, each on its own view of the same windows.

    Two readings keep a descriptor from shrinking to a few directions, which students would predict
    on any image. The paper sums the correlations of all pairs of dimensions, which dimensions of
    equal and opposite sign satisfy; here their squares are summed, per dimension. And the
    pre-trained descriptor is standardised first, or its mean and its few largest dimensions would
    be all that a short training sees.

    Args:
        backbone: the pre-trained network.
        layer: of it that is imitated; a feature map is averaged over space.
        fields: receptive fields p.
        steps, batch, learning_rate, weight_decay: of Adam; a batch is that many patches, each of
            another image.
        compactness: weight of the correlation.
    """

    name = "us-teacher"

    def __init__(
        self,
        *,
        backbone: str = "resnet18",
        layer: int | str = "pooled",
        fields: tuple[int, ...] = (17, 33, 65),
        steps: int = 50_000,
        batch: int = 64,
        learning_rate: float = 2e-4,
        weight_decay: float = 1e-5,
        compactness: float = 1.0,
    ) -> None:
        self.backbone = backbone
        self.layer = layer
        self.fields = fields
        self.steps = steps
        self.batch = batch
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.compactness = compactness
        if not fields or not set(fields) <= LAYERS.keys():
            raise AssetError(f"us-teacher: fields is {fields}; allowed are {sorted(LAYERS)}")
        if batch < 2 or steps < 1:
            raise AssetError(f"us-teacher: batch is {batch}, steps {steps}; at least 2 and 1")

    def build(self, images: Images, context: Context) -> State:
        pretrained = context.backbone(self.backbone)
        pretrained.sha256(pretrained.resolve((self.layer,)))  # says so when weights are missing
        width = self._described(
            torch.zeros(1, 3, max(self.fields), max(self.fields)), context
        ).shape[1]
        with seeded(context, "teacher"):
            teachers = patch_networks(self.fields)
            decoders = nn.ModuleList(nn.Linear(WIDTH, width) for _ in self.fields)
        networks = nn.ModuleList([teachers, decoders]).to(context.device)
        normal = ImageNetInput().to(context.device)
        optimiser = torch.optim.Adam(
            networks.parameters(), self.learning_rate, weight_decay=self.weight_decay
        )
        batch = min(self.batch, len(images))
        scale = self._scale(images, batch, context)
        training = Training(
            context,
            networks,
            optimiser,
            title="teacher",
            images=len(images),
            batch=batch,
            epochs=self.steps,
            steps=self.steps,
            remedy=f"lower the learning rate: --set {self.name}.learning_rate=1e-4",
        )
        for indices in training:
            pixels = images.batch(indices).pixels.to(context.device)
            windows = Windows(len(indices), context.generator(f"windows {training.done}"))
            losses = []
            for field, teacher, decoder, (mean, std) in zip(
                self.fields, teachers, decoders, scale, strict=True
            ):
                patches = windows.cut(pixels, field)
                wanted = (self._described(patches, context) - mean) / std
                with context.autocast():
                    descriptors = teacher(normal(patches))
                    decoded = decoder(descriptors)
                error = (decoded.float() - wanted).square().sum(1).mean()
                losses.append(error + self.compactness * correlation(descriptors.float()))
            training.learn(torch.stack(losses).sum())
        tensors = {k: v.detach().cpu() for k, v in teachers.state_dict().items()}
        return State(tensors, training.facts())

    def _described(self, patches: Tensor, context: Context) -> Tensor:
        """Compute the pre-trained network's descriptors of patches, (B, C)."""
        pretrained = context.backbone(self.backbone)
        features = pretrained(patches, pretrained.resolve((self.layer,)))[0]
        return features.view(*features.shape[:2], -1).mean(2)

    def _scale(self, images: Images, batch: int, context: Context) -> Tensor:
        """Measure mean and spread of the pre-trained descriptors over one pass, (F, 2, C)."""
        moments = [Moments() for _ in self.fields]
        steps = -(-len(images) // batch)
        tracked = context.progress.track(images.batches(batch), "descriptor statistics", steps)
        for i, part in enumerate(tracked):
            pixels = part.pixels.to(context.device)
            windows = Windows(len(part), context.generator(f"statistics {i}"))
            for field, moment in zip(self.fields, moments, strict=True):
                descriptors = self._described(windows.cut(pixels, field), context)
                moment.add(descriptors[:, :, None, None])
        return torch.stack([moment.mean_and_std() for moment in moments])


class Windows:
    """Random square windows, one per image, seen alike at every receptive field's resolution.

    Args:
        count: images.
        generator: fixes them.
    """

    def __init__(self, count: int, generator: torch.Generator) -> None:
        draws = torch.rand(4, count, generator=generator)
        # the window's share of the image's side: a window of p pixels in an image of 4 p to 16 p
        self.share = 1 / (4 + 12 * draws[0])
        self.x = (1 - self.share) * (2 * draws[1] - 1)
        self.y = (1 - self.share) * (2 * draws[2] - 1)
        self.grey = (draws[3] < 0.1).float()

    def cut(self, pixels: Tensor, side: int) -> Tensor:
        """Cut windows (B, 3, side, side) out of (B, 3, H, W), averaged where a window has more
        pixels."""
        count, finest = len(pixels), max(pixels.shape[2:])
        fine = max(1, -(-finest // (4 * side)))
        zero = torch.zeros_like(self.x)
        rows = [self.share, zero, self.x, zero, self.share, self.y]
        affine = torch.stack(rows, 1).view(count, 2, 3).to(pixels.device, non_blocking=True)
        size = [count, 3, fine * side, fine * side]
        grid = F.affine_grid(affine, size, align_corners=False)
        patches = F.grid_sample(pixels, grid, align_corners=False, padding_mode="border")
        patches = F.avg_pool2d(patches, fine)
        grey = self.grey.to(pixels.device, non_blocking=True).view(-1, 1, 1, 1)
        weights = patches.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        return torch.lerp(patches, (patches * weights).sum(1, keepdim=True), grey)


def correlation(descriptors: Tensor) -> Tensor:
    """Sum the squared correlation coefficients of all pairs of different dimensions, per dimension.

    Args:
        descriptors: float32 (B, D), B at least 2.
    """
    centred = descriptors - descriptors.mean(0)
    unit = F.normalize(centred, dim=0)  # a dimension that never changes correlates with none
    table = unit.T @ unit
    return (table.square().sum() - table.diagonal().square().sum()) / table.shape[0]


def teacher_weights(context: Context, fields: Sequence[int]) -> list[dict[str, Tensor]]:
    """Load the weights of the asset's teachers for these receptive fields, each for one patch
    network.

    Raises:
        AssetError: the asset has no teacher for one of them.
    """
    asset = context.asset(UsTeacher)
    there = list(asset.settings["fields"])
    if missing := sorted(set(fields) - set(there)):
        raise AssetError(
            f"us-teacher: the asset has teachers for the receptive fields {there}, none for "
            f"{missing}; build one with more: --set us-teacher.fields={sorted({*there, *fields})}"
        )
    out = []
    for field in fields:
        prefix = f"{there.index(field)}."
        tensors = asset.state.tensors.items()
        out.append({k.removeprefix(prefix): v for k, v in tensors if k.startswith(prefix)})
    return out
