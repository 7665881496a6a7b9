"""Convolutional encoders and decoders, as lists of layers by the size of their input.

A decoder mirrors its encoder: the same layers backwards, transposed. Papers that differ only in their
layers and in what stands between them share the code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import Images
from benchmark.errors import DetectorError


class Conv(NamedTuple):
    """A convolution: channels that it gives, sides of its kernel, stride and padding."""

    channels: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True)
class Between:
    """What stands between two convolutions.

    Attributes:
        slope: of the leaky rectifier; 0 is a plain one.
        norm: whether batch normalisation precedes it.
        norm_first: whether it does so after an encoder's first convolution, too.
        bias: whether convolutions have one.
        he: whether weights start as He et al. 2015 have it for rectifiers (:func:`he_start`), and not as
            PyTorch does, whose own leave a billionth of the signal after twenty layers without a norm.
    """

    slope: float = 0.0
    norm: bool = False
    norm_first: bool = True
    bias: bool = True
    he: bool = False


HALVING, SAME = ((4, 4), 2, 1), ((3, 3), 1, 1)
"""Kernel, stride and padding of convolutions that halve the sides, and that keep them."""
COARSEST = 8
"""Sides that :func:`bergmann_layers` halves down to, or just below."""


def bergmann_layers(size: tuple[int, int], code: int) -> list[Conv]:
    """List the layers of Bergmann et al. 2018, Table 1, whose last gives the code at one position.

    128 × 128 is as in the paper, 256 × 256 has one more halving in front, as in the MVTec AD paper;
    smaller images do without the first halvings, so that an 8 × 8 grid (7 × 7 for 28 × 28) remains.

    Args:
        size: (H, W); both are multiples of that many halvings.
        code: length of the code.

    Raises:
        DetectorError: the sides cannot be halved so often.
    """
    stages = [
        [Conv(32, *HALVING)],
        [Conv(32, *HALVING), Conv(32, *SAME)],
        [Conv(64, *HALVING), Conv(64, *SAME)],
        [Conv(128, *HALVING), Conv(64, *SAME), Conv(32, *SAME)],
    ]
    halvings = max(_halvings(min(size)), 1)
    if any(side % 2**halvings for side in size):
        raise DetectorError(
            f"images are {size[0]} × {size[1]}; this network halves their sides {halvings} times, so "
            f"they must be multiples of {2**halvings}: choose such a size with --image-size"
        )
    front = [Conv(32, *HALVING)] * (halvings - len(stages))
    chosen = [*front, *(conv for stage in stages[-halvings:] for conv in stage)]
    height, width = sides(size, chosen)[-1]
    return [*chosen, Conv(code, (height, width))]


def dcgan_layers(side: int, width: int, code: int) -> list[Conv]:
    """List DCGAN's layers down to 4 × 4, channels doubling from ``width``, then the code.

    Raises DetectorError unless the side is 4 times a power of two, from 8.
    """
    halvings = (side // 4).bit_length() - 1
    if side != 4 * 2**halvings or halvings < 1:
        raise DetectorError(
            f"images of side {side}: this network halves them to 4 × 4, so the side must be 8, 16, 32, "
            "64, 128 or 256: choose one with --image-size"
        )
    return [*(Conv(width * 2**i, *HALVING) for i in range(halvings)), Conv(code, (4, 4))]


def sides(size: tuple[int, int], layers: Sequence[Conv]) -> list[tuple[int, int]]:
    """List (H, W) of the input and of what each layer gives.

    >>> sides((28, 28), [Conv(16, (3, 3), 2, 1), Conv(32, (7, 7), 3)])
    [(28, 28), (14, 14), (3, 3)]
    """
    out = [size]
    for conv in layers:
        height, width = (
            (side + 2 * conv.padding - kernel) // conv.stride + 1
            for side, kernel in zip(out[-1], conv.kernel, strict=True)
        )
        out.append((height, width))
    return out


def encoder(channels: int, layers: Sequence[Conv], between: Between) -> nn.Sequential:
    """Chain the layers: (B, channels, H, W) to what the last gives, with nothing after that."""
    parts: list[nn.Module] = []
    for i, conv in enumerate(layers):
        layer = nn.Conv2d(channels, *conv, bias=between.bias)
        if between.he:
            he_start(layer, channels * math.prod(conv.kernel), between.slope)
        parts.append(layer)
        channels = conv.channels
        if i < len(layers) - 1:
            parts += _between(channels, between, norm=between.norm_first or i > 0)
    return nn.Sequential(*parts).to(memory_format=torch.channels_last)


def decoder(
    size: tuple[int, int], channels: int, layers: Sequence[Conv], between: Between
) -> nn.Sequential:
    """Chain the same layers backwards and transposed: (B, code, h, w) to (B, channels, H, W).

    Args:
        size: (H, W) of the encoder's input.
        channels: of that input.
        layers: of the encoder.
        between: what stands between two convolutions; nothing after the last.
    """
    parts: list[nn.Module] = []
    lengths = sides(size, layers)
    for i in reversed(range(len(layers))):
        conv = layers[i]
        wide = layers[i - 1].channels if i else channels
        back = [
            (coarse - 1) * conv.stride - 2 * conv.padding + kernel
            for coarse, kernel in zip(lengths[i + 1], conv.kernel, strict=True)
        ]
        lost = (lengths[i][0] - back[0], lengths[i][1] - back[1])  # rows that a stride skipped
        layer = nn.ConvTranspose2d(
            conv.channels,
            wide,
            conv.kernel,
            conv.stride,
            conv.padding,
            output_padding=lost,
            bias=between.bias,
        )
        if between.he:  # every input reaches a kernel of outputs, which are more
            products = math.prod((*conv.kernel, *lengths[i + 1])) / math.prod(lengths[i])
            he_start(layer, conv.channels * products, between.slope)
        parts.append(layer)
        if i:
            parts += _between(wide, between, norm=True)
    return nn.Sequential(*parts).to(memory_format=torch.channels_last)


def he_start(layer: nn.Conv2d | nn.ConvTranspose2d, inputs: float, slope: float) -> None:
    """Draw weights that keep the signal's mean square through a rectifier, and biases of zero.

    He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 14.

    Args:
        layer: whose weights are drawn anew.
        inputs: numbers that one of its outputs is the weighted sum of.
        slope: of the leaky rectifier before it.
    """
    nn.init.normal_(layer.weight, std=math.sqrt(2 / ((1 + slope**2) * inputs)))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class AutoEncoder(nn.Module):
    """An encoder, its mirrored decoder, and what ends the latter.

    Args:
        size: (H, W) of images.
        channels: of images.
        layers: of the encoder.
        between: what stands between convolutions, in both.
        end: after the decoder's last layer; None leaves it linear.
    """

    def __init__(
        self,
        size: tuple[int, int],
        channels: int,
        layers: Sequence[Conv],
        between: Between,
        end: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder(channels, layers, between)
        self.decoder = decoder(size, channels, layers, between)
        if end is not None:
            self.decoder.append(end)

    def forward(self, images: Tensor) -> Tensor:
        """Rebuild images (B, C, H, W)."""
        out: Tensor = self.decoder(self.encoder(images))
        return out


def channels_of(train: Images) -> int:
    """Return 1 if all training images are grey (equal channels), otherwise 3."""
    grey = all(bool((b.pixels == b.pixels[:, :1]).all()) for b in train.batches(64))
    return 1 if grey else 3


def as_channels(pixels: Tensor, channels: int) -> Tensor:
    """Bring RGB images (B, 3, H, W) to the channels that a network has: their mean where that is one."""
    return pixels.mean(1, keepdim=True) if channels == 1 else pixels


def resized(pixels: Tensor, side: int) -> Tensor:
    """Resize images (B, C, H, W) in [0, 1] to side × side pixels in [-1, 1]."""
    if pixels.shape[2:] != (side, side):
        pixels = F.interpolate(
            pixels, (side, side), mode="bilinear", align_corners=False, antialias=True
        )
    return 2 * pixels - 1


def _halvings(side: int) -> int:
    count = 0
    while side > COARSEST:
        side, count = side // 2, count + 1
    return count


def _between(channels: int, between: Between, *, norm: bool) -> list[nn.Module]:
    parts: list[nn.Module] = [nn.BatchNorm2d(channels)] if between.norm and norm else []
    rectifier = nn.LeakyReLU(between.slope) if between.slope else nn.ReLU()
    return [*parts, rectifier]
