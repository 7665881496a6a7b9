"""SSIM-AE: an auto-encoder trained and judged by structural similarity (Bergmann et al. 2018)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._parts.msssim import PIXEL_RANGE, MsSsim
from ._parts.reconstruction import Reconstruction, bergmann

WINDOW = 11


class SsimAe(Reconstruction):
    """SSIM-AE: one minus the structural similarity of an image and what an auto-encoder makes of it.

    Bergmann et al., "Improving Unsupervised Defect Segmentation by Applying Structural Similarity to
    Autoencoders", 2018, arXiv 1807.02011, sections 3.2 and 3.3. Similarity in Gaussian windows of
    11 × 11 inside the image, mean of the channels; a map repeats its outermost values at the border.
    Training and crops are those of ``l2_ae``, and so is the network, but for the sigmoid that ports
    end it with: far outside of the images' range, where a linear layer can get within a few steps, the
    similarity has no gradient.

    Args:
        code: length of the code; None is 500 for 256 × 256, 100 up to 128 × 128, 64 up to 32 × 32.
        crops: ``textures`` are seen by crops where the data set names them so; ``always``, ``never``.
        views: images or crops per epoch; None is 10,000, or up to 32 × 32 the training images.
        epochs, batch, learning_rate, weight_decay: of Adam.
        steps: ends the training earlier than the epochs do.
    """

    title = "SSIM-AE"
    citation = "Bergmann et al. 2018"
    version = "2"
    smoke = {"views": 64, "batch": 8, "epochs": 4, "learning_rate": 1e-3}

    def __init__(
        self,
        *,
        code: int | None = None,
        crops: Literal["textures", "always", "never"] = "textures",
        views: int | None = None,
        epochs: int = 200,
        steps: int | None = None,
        batch: int = 128,
        learning_rate: float = 2e-4,
        weight_decay: float = 1e-5,
    ) -> None:
        super().__init__("ssim_ae", crops, views, epochs, steps, batch, learning_rate, weight_decay)
        self.code = code

    def network(self, size: tuple[int, int], channels: int) -> nn.Module:
        return bergmann(size, channels, self.code, nn.Sigmoid())

    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return unlike(images, self.network_(images)).mean()

    def errors(self, images: Tensor) -> Tensor:
        reach = (WINDOW // 2,) * 4
        found = unlike(images, self.network_(images))
        return F.pad(found[:, None], reach, mode="replicate")[:, 0]


def unlike(x: Tensor, y: Tensor) -> Tensor:
    """1 - SSIM at the window's valid places, mean of the channels: images (B, C, H, W) in [0, 1] to
    (B, H - 10, W - 10), in [0, 2]."""
    # similarity does not change when values and the constants' range are stretched alike
    similarity = MsSsim((1.0,), WINDOW).to(x.device)
    luminance, contrast = similarity.scales(PIXEL_RANGE * x, PIXEL_RANGE * y)[0]
    return 1 - (luminance * contrast).mean(1)
