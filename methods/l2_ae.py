"""ℓ2-AE: a convolutional auto-encoder's squared error per pixel (Bergmann et al. 2018)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ._parts.reconstruction import Reconstruction, bergmann


class L2Ae(Reconstruction):
    """ℓ2-AE: squared error of an auto-encoder that is trained by the same error.

    Bergmann et al., "Improving Unsupervised Defect Segmentation by Applying Structural Similarity to
    Autoencoders", 2018, arXiv 1807.02011, section 3.1 and Table 1; on whole objects as in "MVTec AD",
    CVPR 2019, section 4: 256 × 256, one more halving, a code of 500. Images keep their colours.
    How images are seen, trained on and scored: see :class:`Reconstruction`.

    Args:
        code: length of the code; None is 500 for 256 × 256, 100 up to 128 × 128, 64 up to 32 × 32.
        crops: ``textures`` are seen by crops where the data set names them so; ``always``, ``never``.
        views: images or crops per epoch; None is 10,000, or up to 32 × 32 the training images.
        epochs, batch, learning_rate, weight_decay: of Adam.
        steps: ends the training earlier than the epochs do.
    """

    title = "ℓ2-AE"
    citation = "Bergmann et al. 2018"
    version = "3"
    smoke = {"views": 64, "batch": 4, "epochs": 8, "learning_rate": 1e-3}

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
        super().__init__("l2_ae", crops, views, epochs, steps, batch, learning_rate, weight_decay)
        self.code = code

    def network(self, size: tuple[int, int], channels: int) -> nn.Module:
        return bergmann(size, channels, self.code)

    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return self.errors(images).mean()

    def errors(self, images: Tensor) -> Tensor:
        out: Tensor = (self.network_(images).float() - images).square().mean(1)
        return out
