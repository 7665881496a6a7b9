"""Bottleneck and decoder of reverse distillation: the teacher's ResNet, run backwards.

Channel widths come from the teacher's features, so any network with three consecutive resolutions
will do. Block kind and depth mirror the ResNets named in ``MIRRORED``; another teacher gets basic
blocks, two per stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Mirror:
    """The depth and width of the decoder's residual blocks.

    Attributes:
        decoder: blocks per stage in the order in which the decoder runs, coarsest first. The
            official decoder takes its teacher's depths in the teacher's own order, finest first,
            so that a ResNet-50's coarsest stage has 3 blocks and its finest 6.
        bottleneck: blocks of the embedding.
        squeeze: what a bottleneck block's output width is divided by to get its inner width; None
            for basic blocks.
    """

    decoder: tuple[int, int, int] = (2, 2, 2)
    bottleneck: int = 2
    squeeze: int | None = None


MIRRORED = {
    "resnet18": Mirror(),
    "resnet34": Mirror((3, 4, 6), 3),
    "resnet50": Mirror((3, 4, 6), 3, 4),
    "wide_resnet50_2": Mirror((3, 4, 6), 3, 2),
}


class ReverseDistillation(nn.Module):
    """Teacher features to their reconstruction, through an embedding of a sixteenth of the finest
    layer's side.

    Args:
        channels: of the teacher's three layers, finest first.
        mirror: see above.
    """

    def __init__(self, channels: Sequence[int], mirror: Mirror) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.fuse_fine = nn.Sequential(_halve(fine, middle), _halve(middle, coarse))
        self.fuse_middle = _halve(middle, coarse)
        self.embed = _stage(3 * coarse, 2 * coarse, mirror, mirror.bottleneck, _Down)
        widths = [2 * coarse, coarse, middle, fine]
        self.decode = nn.ModuleList(
            _stage(wide, narrow, mirror, depth, _Up)
            for wide, narrow, depth in zip(widths, widths[1:], mirror.decoder, strict=False)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # transposed ones keep torch's default, as published
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, teacher: Sequence[Tensor]) -> list[Tensor]:
        """Decode (B, C, h, w) per layer, finest first, to the same shapes."""
        fine, middle, coarse = teacher
        fused = torch.cat([self.fuse_fine(fine), self.fuse_middle(middle), coarse], 1)
        x = self.embed(fused)
        out: list[Tensor] = []
        for stage, target in zip(self.decode, (coarse, middle, fine), strict=True):
            # an odd side was rounded up on the way down
            x = stage(x)[:, :, : target.shape[2], : target.shape[3]]
            out.insert(0, x)
        return out


def _halve(inside: int, outside: int) -> nn.Sequential:
    conv = nn.Conv2d(inside, outside, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outside), nn.ReLU(inplace=True))


class _Block(nn.Module):
    """A residual block; what changes the resolution is given by the subclass."""

    def __init__(self, inside: int, outside: int, squeeze: int | None, resample: bool) -> None:
        super().__init__()
        width = outside if squeeze is None else outside // squeeze
        spatial = self.resampling if resample else self.keeping
        if squeeze is None:
            layers = [spatial(inside, width), _conv(width, outside, 3)]
        else:
            layers = [_conv(inside, width, 1), spatial(width, width), _conv(width, outside, 1)]
        body: list[nn.Module] = []
        for layer, channels in zip(layers, [width] * (len(layers) - 1) + [outside], strict=True):
            body += [layer, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*body[:-1])
        self.shortcut: nn.Module = nn.Identity()
        if resample:
            self.shortcut = nn.Sequential(self.shortening(inside, outside), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))

    @staticmethod
    def keeping(inside: int, outside: int) -> nn.Module:
        return _conv(inside, outside, 3)

    @staticmethod
    def resampling(inside: int, outside: int) -> nn.Module:
        raise NotImplementedError

    @staticmethod
    def shortening(inside: int, outside: int) -> nn.Module:
        raise NotImplementedError


class _Down(_Block):
    """A block that halves the sides with strided convolutions."""

    @staticmethod
    def resampling(inside: int, outside: int) -> nn.Module:
        return nn.Conv2d(inside, outside, 3, stride=2, padding=1, bias=False)

    @staticmethod
    def shortening(inside: int, outside: int) -> nn.Module:
        return nn.Conv2d(inside, outside, 1, stride=2, bias=False)


class _Up(_Block):
    """A block that doubles the sides with transposed convolutions."""

    @staticmethod
    def resampling(inside: int, outside: int) -> nn.Module:
        return nn.ConvTranspose2d(inside, outside, 2, stride=2, bias=False)

    shortening = resampling


def _conv(inside: int, outside: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, kernel, padding=kernel // 2, bias=False)


def _stage(
    inside: int, outside: int, mirror: Mirror, depth: int, kind: type[_Block]
) -> nn.Sequential:
    first = kind(inside, outside, mirror.squeeze, resample=True)
    rest = [kind(outside, outside, mirror.squeeze, resample=False) for _ in range(depth - 1)]
    return nn.Sequential(first, *rest)
