"""DAE: a deep auto-encoder's error of whole images (a one-class baseline)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._parts.reconstruction import Reconstruction, bergmann


class Dae(Reconstruction):
    """DAE: a deep convolutional auto-encoder's squared error.

    The "DAE" of one-class tables, which cite Hadsell, Chopra, LeCun, "Dimensionality Reduction by
    Learning an Invariant Mapping", CVPR 2006, for it and do not describe it; the numbers come from
    Abati et al., "Latent Space Autoregression for Novelty Detection", CVPR 2019, whose code of 64 is
    taken. Layers and schedule are those of ``l2_ae``; images are always seen whole.

    ``dae_denoising`` learns to rebuild images from noisy ones, which the abbreviation also stands for.

    Args:
        code: length of the code.
        noise: standard deviation of Gaussian noise on the inputs in training, pixels in [0, 1].
        views: images per epoch; None is 10,000, or up to 32 × 32 the training images.
        epochs, batch, learning_rate, weight_decay: of Adam.
        steps: ends the training earlier than the epochs do.
    """

    title = "DAE"
    citation = "Hadsell et al. 2006"
    version = "3"
    smoke = {"views": 64, "batch": 2, "epochs": 8, "learning_rate": 1e-3}
    presets = {"dae_denoising": {"noise": 0.2}}

    def __init__(
        self,
        *,
        code: int = 64,
        noise: float = 0.0,
        views: int | None = None,
        epochs: int = 200,
        steps: int | None = None,
        batch: int = 128,
        learning_rate: float = 2e-4,
        weight_decay: float = 1e-5,
    ) -> None:
        super().__init__("dae", "never", views, epochs, steps, batch, learning_rate, weight_decay)
        self.code = code
        self.noise = noise

    def network(self, size: tuple[int, int], channels: int) -> nn.Module:
        return bergmann(size, channels, self.code)

    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        noise = self.noise * torch.randn(images.shape, generator=generator).to(images.device)
        return F.mse_loss(self.network_(images + noise).float(), images)

    def errors(self, images: Tensor) -> Tensor:
        out: Tensor = (self.network_(images).float() - images).square().mean(1)
        return out
