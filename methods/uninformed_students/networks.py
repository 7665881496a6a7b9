"""The patch networks of Uninformed Students: a descriptor per p × p patch, alone or densely."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POOL = 0
LAYERS: dict[int, list[tuple[int, int]]] = {
    # receptive field: (kernel, channels) of each convolution, and halvings in between
    17: [(6, 128), (5, 256), (5, 256), (4, 128)],
    33: [(5, 128), (POOL, 0), (5, 256), (POOL, 0), (2, 256), (4, 128)],
    65: [(5, 128), (POOL, 0), (5, 128), (POOL, 0), (5, 128), (POOL, 0), (4, 256), (1, 128)],
}
WIDTH = 128
"""Length of a descriptor."""
SLOPE = 5e-3


class PatchNetwork(nn.Module):
    """A network that describes the p × p patch around a pixel.

    Kernels as printed in the paper do not shrink a patch to one position; the first kernel for
    p = 17 is 6 instead of 5 and the last for p = 65 is 1 instead of 3, as in all public code.

    Args:
        field: p: 17, 33 or 65.
    """

    def __init__(self, field: int) -> None:
        super().__init__()
        self.field = field
        channels = 3
        convs = []
        for kernel, wide in LAYERS[field]:
            if kernel != POOL:
                convs.append(nn.Conv2d(channels, wide, kernel))
                channels = wide
        self.convs = nn.ModuleList(convs)

    def forward(self, patches: Tensor) -> Tensor:
        """Describe normalised patches (B, 3, p, p) by descriptors (B, 128)."""
        return self._run(patches, stride=2 ** sum(k == POOL for k, _ in LAYERS[self.field]))[
            :, :, 0, 0
        ]

    def dense(self, images: Tensor, stride: int = 1) -> Tensor:
        """Describe the patch around every pixel, with the same descriptor as that of the patch
        alone.

        Args:
            images: normalised (B, 3, H, W); mirrored at the border.
            stride: 1, 2, 4 or 8: describes every pixel, every second one and so on, starting with
                pixel (stride - 1) // 2.

        Returns:
            (B, 128, ceil(H / stride), ceil(W / stride)).
        """
        height, width = (-(-side // stride) for side in images.shape[2:])
        first = self.field // 2 - (stride - 1) // 2
        for axis, count in ((2, height), (3, width)):
            side = images.shape[axis]
            places = torch.arange((count - 1) * stride + self.field, device=images.device) - first
            images = images.index_select(axis, mirrored(places, side))
        return self._run(images, stride)[:, :, :height, :width]

    def _run(self, x: Tensor, stride: int) -> Tensor:
        """Run the layers. Halvings keep every position until ``stride`` is used up: instead of
        dropping three in four, the layers after them look at every second, fourth or eighth
        neighbour."""
        dilation = 1
        convs = iter(self.convs)
        last = len(LAYERS[self.field]) - 1
        for i, (kernel, _) in enumerate(LAYERS[self.field]):
            if kernel == POOL and stride > 1:
                x, stride = F.max_pool2d(x, 2), stride // 2
            elif kernel == POOL:
                x = F.max_pool2d(x, 2, stride=1, dilation=dilation)
                dilation *= 2
            else:
                conv = next(convs)
                step = stride if i == last else 1
                x = F.conv2d(x, conv.weight, conv.bias, stride=step, dilation=dilation)  # type: ignore[arg-type]
                if i != last:
                    x = F.leaky_relu(x, SLOPE)
        return x


def patch_networks(fields: Sequence[int]) -> nn.ModuleList:
    """Build one network per receptive field, parameters drawn from torch's global generator."""
    networks = nn.ModuleList(PatchNetwork(field) for field in fields)
    return networks.to(memory_format=torch.channels_last)  # convolutions run fastest in it


def mirrored(places: Tensor, side: int) -> Tensor:
    """Reflect positions outside [0, side) back into it, the edge not repeated, however far out.

    >>> mirrored(torch.arange(-3, 6), 3).tolist()
    [1, 2, 1, 0, 1, 2, 1, 0, 1]
    """
    period = max(2 * (side - 1), 1)
    places = places % period
    return torch.minimum(places, period - places) if side > 1 else torch.zeros_like(places)
