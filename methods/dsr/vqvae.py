"""A VQ-VAE with two levels of codes (VQ-VAE-2), as DSR quantises images with it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._parts.neighbours import pieces

WIDTH = 128
"""Channels of features and codes, as published."""
ROWS = 1 << 14
"""Features compared with all codes at a time: bounds the memory of the distances."""
STRIDE_HI, STRIDE_LO = 4, 8
"""Pixels per position of the two levels."""


class Quantiser(nn.Module):
    """A codebook: every feature becomes its nearest code.

    Args:
        codes: how many, K.
        width: of a code, D.
    """

    codes: Tensor

    def __init__(self, codes: int, width: int = WIDTH) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randn(codes, width))

    def nearest(self, features: Tensor) -> Tensor:
        """Find the positions of the nearest codes: (B, D, h, w) to int64 (B, h, w).

        One matrix product per ``ROWS`` features: |f - c|² without |f|², which all codes share.
        Computed in float32 under mixed precision, too: else codes that lie close are confused.
        """
        flat = as_rows(features)
        with torch.no_grad(), torch.autocast(flat.device.type, enabled=False):
            half = self.codes.square().sum(1) / 2
            found = [
                torch.addmm(half, part.float(), self.codes.T, alpha=-1).argmin(1)
                for part in pieces(flat, ROWS)
            ]
        batch, _, height, width = features.shape
        return torch.cat(found).view(batch, height, width)

    def look_up(self, indices: Tensor) -> Tensor:
        """Look up the codes at int64 (B, h, w) as (B, D, h, w)."""
        return F.embedding(indices, self.codes).movedim(-1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the nearest codes, (B, D, h, w) float32. Their gradient is handed to the features
        as if they had not been replaced (the straight-through estimator)."""
        return straight_through(features, self.look_up(self.nearest(features)))


def as_rows(features: Tensor) -> Tensor:
    """Reshape (B, D, h, w) to (B h w, D)."""
    return features.movedim(1, -1).flatten(0, 2)


def straight_through(features: Tensor, codes: Tensor) -> Tensor:
    """Return the value of ``codes`` with the gradient of ``features``."""
    return codes + (features - features.detach()).float()


class Quantised(NamedTuple):
    """Images as the general model sees them.

    Attributes:
        fine: its finer encoder's output, (B, D, H / 4, W / 4).
        lo, hi: features of both levels before quantisation, (B, D, h, w).
        at_lo, at_hi: positions of the codes that they become, int64 (B, h, w).
        q_lo, q_hi: these codes, with the straight-through gradient.
    """

    fine: Tensor
    lo: Tensor
    at_lo: Tensor
    q_lo: Tensor
    hi: Tensor
    at_hi: Tensor
    q_hi: Tensor


class VqVae(nn.Module):
    """Images (B, 3, H, W), sides a multiple of 8, to codes of two levels, and codes to images.

    ``hi`` has a position per 4 × 4 pixels, ``lo`` per 8 × 8. Pixels are RGB in [0, 1], without
    further normalisation.

    Args:
        codes: per level.
        width: channels of features and codes, D.
    """

    def __init__(self, codes: int = 4096, width: int = WIDTH) -> None:
        super().__init__()
        half = width // 2
        self.encoder_hi = nn.Sequential(
            nn.Conv2d(3, half, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(half, width, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1),
            ResidualStack(width),
        )
        self.encoder_lo = nn.Sequential(
            nn.Conv2d(width, width, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1),
            nn.ReLU(),
            ResidualStack(width),
        )
        self.to_lo = nn.Conv2d(width, width, 1)
        self.to_hi = nn.Conv2d(2 * width, width, 1)
        self.quantiser_lo = Quantiser(codes, width)
        self.quantiser_hi = Quantiser(codes, width)
        self.up_lo = nn.ConvTranspose2d(width, width, 4, 2, 1)
        self.decoder = image_decoder(2 * width, width)

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the fine features and F_lo."""
        fine = self.encoder_hi(pixels)
        return fine, self.to_lo(self.encoder_lo(fine))

    def features_hi(self, fine: Tensor, q_lo: Tensor) -> Tensor:
        """Compute F_hi, which depends on the codes chosen at the lower level."""
        features: Tensor = self.to_hi(torch.cat([fine, self.up_lo(q_lo)], 1))
        return features

    def quantise(self, pixels: Tensor) -> Quantised:
        """Compute all features and codes of images."""
        fine, lo = self.encode(pixels)
        at_lo = self.quantiser_lo.nearest(lo)
        q_lo = straight_through(lo, self.quantiser_lo.look_up(at_lo))
        hi = self.features_hi(fine, q_lo)
        at_hi = self.quantiser_hi.nearest(hi)
        q_hi = straight_through(hi, self.quantiser_hi.look_up(at_hi))
        return Quantised(fine, lo, at_lo, q_lo, hi, at_hi, q_hi)

    def joined(self, q_lo: Tensor, q_hi: Tensor) -> Tensor:
        """Join both levels on the finer grid, (B, 2 D, H / 4, W / 4): what decoders read."""
        return torch.cat([self.up_lo(q_lo), q_hi], 1)

    def decode(self, q_lo: Tensor, q_hi: Tensor) -> Tensor:
        """Draw the general appearance decoder's image."""
        image: Tensor = self.decoder(self.joined(q_lo, q_hi))
        return image

    def forward(self, pixels: Tensor) -> Tensor:
        """Rebuild images from their codes."""
        seen = self.quantise(pixels)
        return self.decode(seen.q_lo, seen.q_hi)


def image_decoder(channels: int, width: int = WIDTH) -> nn.Sequential:
    """Build a decoder of features (B, channels, h, w) to an image (B, 3, 4 h, 4 w), through
    ``width`` channels."""
    half = width // 2
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, 1, 1),
        ResidualStack(width),
        nn.ConvTranspose2d(width, half, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(half, 3, 4, 2, 1),
    )


class ResidualStack(nn.Module):
    """Two residual blocks and a ReLU.

    The shortcut of a block carries max(x, 0), not x: in the official code the first ReLU of a block
    works in place and so changes what is added. Its weights were learned that way.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        half = width // 2
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, half, 3, 1, 1, bias=False),
                nn.ReLU(),
                nn.Conv2d(half, width, 1, bias=False),
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = torch.relu(x)
            x = x + block(x)
        return torch.relu(x)
