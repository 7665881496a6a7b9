"""MemAE: an auto-encoder that rebuilds images from remembered parts (Gong et al., ICCV 2019)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.errors import SettingsError

from ._parts.autoencoders import Between, Conv, decoder, encoder, sides
from ._parts.reconstruction import SMALL, Reconstruction

BETWEEN = Between(norm=True)
GREY = ((16, 32, 64), (32, 64, 64)), 100
COLOURED = ((64, 128, 128, 256), (128, 128, 256, 256)), 500
"""Channels of the encoder's layers, and of a mirrored decoder's; slots of the memory (section 4.1)."""


class MemAe(Reconstruction):
    """MemAE: error of images that are rebuilt from a few slots of a memory.

    Paper: Gong et al., "Memorizing Normality to Detect Anomaly: Memory-augmented Deep Autoencoder for
    Unsupervised Anomaly Detection", ICCV 2019, arXiv 1904.02639, sections 3 and 4.1: the network of
    MNIST for grey images up to 32 × 32, that of CIFAR-10 for all others, which the paper has no
    network for.

    A slot holds an encoding, whole or of one position (the paper allows both, figure 2). Up to 32 × 32 it is
    the whole: the authors decode single slots of MNIST's memory to digits
    (https://donggong1.github.io/anomdec-memae.html). Larger images ask position by position, as in the
    official code
    (https://github.com/donggong1/memae-anomaly-detection, videos only). From there is the similarity, too,
    a plain product where the paper has a cosine. Slots whose share is below ``shrink`` parts of an even
    share are cut; the paper allows 1 to 3, but from just above 1 a fresh memory, whose shares are even, may
    lose all its slots. Schedule of the code; images are seen whole.

    Args:
        slots: of the memory; None is 100 for grey images up to 32 × 32, else 500.
        query: what asks the memory: ``image``, the whole encoding, or every ``position`` of it; None is
            ``image`` up to 32 × 32.
        shrink: least share of a slot, in units of 1 / slots.
        entropy: weight of the shares' entropy in the loss.
        views: images per epoch; None is 10,000, or up to 32 × 32 the training images.
        epochs, batch, learning_rate, weight_decay: of Adam.
        steps: ends the training earlier than the epochs do.
    """

    title = "MemAE"
    citation = "Gong et al. 2019"
    version = "2"
    smoke = {"views": 56, "batch": 2, "epochs": 2, "learning_rate": 3e-3, "slots": 20}

    def __init__(
        self,
        *,
        slots: int | None = None,
        query: Literal["image", "position"] | None = None,
        shrink: float = 1.0,
        entropy: float = 2e-4,
        views: int | None = None,
        epochs: int = 100,
        steps: int | None = None,
        batch: int = 14,
        learning_rate: float = 1e-4,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__("memae", "never", views, epochs, steps, batch, learning_rate, weight_decay)
        self.slots = slots
        self.query = query
        self.shrink = shrink
        self.entropy = entropy
        if (slots is not None and slots < 1) or shrink < 0 or entropy < 0:
            raise SettingsError(
                f"memae: slots is {slots}: at least 1 is needed; shrink is {shrink}, entropy "
                f"{entropy}: neither may be negative"
            )

    def network(self, size: tuple[int, int], channels: int) -> nn.Module:
        whole = max(size) <= SMALL if self.query is None else self.query == "image"
        return MemoryAutoEncoder(size, channels, self.slots, self.shrink, whole)

    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        rebuilt, shares = self.network_(images)
        return F.mse_loss(rebuilt, images) + self.entropy * entropy(shares).mean()

    def errors(self, images: Tensor) -> Tensor:
        out: Tensor = (self.network_(images)[0] - images).square().mean(1)
        return out


class MemoryAutoEncoder(nn.Module):
    """An encoder, a memory and a decoder.

    Args:
        size: (H, W) of images.
        channels: of images.
        slots: of the memory; None is the paper's number.
        shrink: see :class:`Memory`.
        whole: whether a slot holds the whole encoding of an image, or that of one position.
    """

    def __init__(
        self, size: tuple[int, int], channels: int, slots: int | None, shrink: float, whole: bool
    ) -> None:
        super().__init__()
        self.whole = whole
        small = channels == 1 and max(size) <= SMALL
        (widths, back), published = GREY if small else COLOURED
        layers = [Conv(width, (3, 3), 2, 1) for width in widths]
        if small:
            layers[0] = Conv(widths[0], (1, 1), 2)
        self.encoder = encoder(channels, layers, BETWEEN)
        self.encoder.extend([nn.BatchNorm2d(widths[-1]), nn.ReLU()])
        positions = math.prod(sides(size, layers)[-1]) if whole else 1
        self.memory = Memory(slots or published, widths[-1] * positions, shrink)
        mirrored = [Conv(width, (3, 3), 2, 1) for width in back]
        self.decoder = decoder(size, channels, mirrored, BETWEEN)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Rebuild images (B, C, H, W); also return the slots' shares for every query (queries, slots)."""
        codes = self.encoder(images).float()
        queries = codes.flatten(1)[:, :, None, None] if self.whole else codes
        remembered, shares = self.memory(queries)
        return self.decoder(remembered.reshape(codes.shape)).float(), shares


class Memory(nn.Module):
    """Slots that what the encoder gives is put together from (equations 3 to 7).

    Args:
        slots: how many.
        width: of each.
        shrink: shares below this over ``slots`` are cut.
    """

    def __init__(self, slots: int, width: int, shrink: float) -> None:
        super().__init__()
        self.least = shrink / slots
        bound = 1 / math.sqrt(width)
        self.slots = nn.Parameter(torch.empty(slots, width).uniform_(-bound, bound))

    def forward(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Answer queries (B, width, h, w): sums of slots (B, width, h, w), shares (B·h·w, slots)."""
        rows = queries.permute(0, 2, 3, 1)  # (B, h, w, width)
        shares = (rows @ self.slots.T).flatten(0, 2).softmax(1)
        over = shares - self.least
        shares = F.relu(over) * shares / (over.abs() + 1e-12)
        shares = F.normalize(shares, p=1, dim=1)
        answer = (shares @ self.slots).view(rows.shape).permute(0, 3, 1, 2)
        return answer, shares


def entropy(shares: Tensor) -> Tensor:
    """Compute the entropy of each row (N, slots) of shares: (N,)."""
    return -(shares * (shares + 1e-12).log()).sum(1)
