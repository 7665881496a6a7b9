"""CutPaste's network, and how patch scores become maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.errors import SettingsError
from benchmark.features.networks import untrained

from .._parts.distillation import ImageNetInput


class Encoder(nn.Module):
    """A backbone without its classifier, unless told with fresh parameters: images to (B, C)."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.input = ImageNetInput()
        self.model = untrained(backbone)
        if not hasattr(self.model, "reset_classifier"):
            raise SettingsError(
                f"cutpaste: {backbone} cannot be cut before its classifier; name a model of timm, "
                "such as resnet18"
            )
        model: Any = self.model  # of timm
        model.reset_classifier(0)
        self.width = int(model.num_features)
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                # timm starts residual branches at zero; the paper's networks at one
                nn.init.ones_(module.weight)

    def forward(self, pixels: Tensor) -> Tensor:
        out: Tensor = self.model(self.input(pixels))
        return out


class Classifier(nn.Module):
    """An encoder, and the head that tells how an image was made."""

    def __init__(self, encoder: Encoder, kinds: int, layers: Sequence[int]) -> None:
        super().__init__()
        self.encoder = encoder
        head: list[nn.Module] = []
        inside = encoder.width
        for width in layers:
            head += [nn.Linear(inside, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
            inside = width
        self.head = nn.Sequential(*head, nn.Linear(inside, kinds))

    def forward(self, pixels: Tensor) -> Tensor:
        """Images (B, 3, H, W) to logits (B, kinds)."""
        out: Tensor = self.head(self.encoder(pixels))
        return out


def spread(scores: Tensor, size: tuple[int, int], side: int, stride: int) -> Tensor:
    """Give every pixel the mean of the patches that show it, weighted by a Gaussian at their centres.

    Args:
        scores: (B, h, w), of patches row by row.
        size: (H, W) of the image.
        side: of a patch.
        stride: between patches.

    Returns:
        (B, H, W); pixels beyond the last patches get the value of their nearest neighbour.
    """
    place = torch.arange(side, device=scores.device) - (side - 1) / 2
    # the deviation that OpenCV gives a kernel of this size
    bell = (-place.square() / (2 * (0.3 * ((side - 1) / 2 - 1) + 0.8) ** 2)).exp()
    kernel = (bell[:, None] * bell)[None, None]
    total = F.conv_transpose2d(scores[:, None], kernel, stride=stride)
    weight = F.conv_transpose2d(torch.ones_like(scores[:1, None]), kernel, stride=stride)
    maps = total / weight
    beyond = (0, size[1] - maps.shape[3], 0, size[0] - maps.shape[2])
    return F.pad(maps, beyond, mode="replicate")[:, 0]
