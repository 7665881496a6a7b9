"""MKD's student network, and gradients that are guided through it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

NARROW = 16
"""Channels of the convolutions that no layer is compared at."""


class Cloner(nn.Module):
    """A VGG-16 with 16 channels where no layer is compared, without biases.

    Args:
        channels: of the four poolings that are compared.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        inside = 3
        for depth, outside in zip((2, 2, 3, 3, 3), (NARROW, *channels), strict=True):
            layers: list[nn.Module] = []
            for _ in range(depth - 1):
                layers += [_conv(inside, NARROW), nn.BatchNorm2d(NARROW), nn.ReLU()]
                inside = NARROW
            self.stages.append(nn.Sequential(*layers, _conv(inside, outside), nn.ReLU()))
            inside = outside

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) to the second to fifth pooling's outputs."""
        out = []
        for stage in self.stages:
            x = F.max_pool2d(stage(x), 2)
            out.append(x)
        return out[1:]


@contextmanager
def guided(network: nn.Module | None) -> Iterator[None]:
    """Let only positive gradients pass the ReLUs of a network, if there is one."""
    relus = [m for m in network.modules() if isinstance(m, nn.ReLU)] if network else []
    handles = [relu.register_forward_hook(_positive) for relu in relus]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _positive(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
    if output.requires_grad:
        output.register_hook(lambda gradient: gradient.clamp(min=0))  # type: ignore[no-untyped-call]


def _conv(inside: int, outside: int) -> nn.Conv2d:
    conv = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
    nn.init.xavier_uniform_(conv.weight)
    return conv
