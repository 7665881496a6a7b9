"""VAE: a variational auto-encoder's error of several draws (a baseline of many tables)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, cast

import torch
from torch import Tensor, nn

from benchmark import Context, Images
from benchmark.errors import SettingsError

from ._parts.autoencoders import AutoEncoder, bergmann_layers, encoder
from ._parts.reconstruction import RECTIFIER, Reconstruction, code_length

START = replace(RECTIFIER, he=False)
"""PyTorch's own start, whose codes say next to nothing: those that say something from the first step pay
for it by their divergence, and the loss is higher for hundreds of steps."""


class Vae(Reconstruction):
    """VAE: squared error of a variational auto-encoder, averaged over draws of the code.

    Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, as the comparisons of Bergmann
    et al. 2018 (arXiv 1807.02011) have it: the network of ``l2_ae``, whose encoder gives mean and
    logarithm of the variance of every number of the code. Minimised is the negated evidence bound
    under Gaussian pixels of unit variance: half the squared error, added up over an image, plus the
    divergence of the code from a standard Gaussian. The map is the squared error, mean of the channels
    and of ``draws_per_image`` codes; all images share the draws, so that equal images score equally.

    Args:
        code: length of the code; None is 500 for 256 × 256, 100 up to 128 × 128, 64 up to 32 × 32.
        draws_per_image: codes drawn when scoring.
        crops: ``textures`` are seen by crops where the data set names them so; ``always``, ``never``.
        views: images or crops per epoch; None is 10,000, or up to 32 × 32 the training images.
        epochs, batch, learning_rate, weight_decay: of Adam.
        steps: ends the training earlier than the epochs do.
    """

    title = "VAE"
    citation = "Kingma and Welling 2014"
    version = "2"
    smoke = {"views": 64, "batch": 2, "epochs": 8, "learning_rate": 1e-3, "draws_per_image": 2}

    def __init__(
        self,
        *,
        code: int | None = None,
        draws_per_image: int = 6,
        crops: Literal["textures", "always", "never"] = "textures",
        views: int | None = None,
        epochs: int = 200,
        steps: int | None = None,
        batch: int = 128,
        learning_rate: float = 2e-4,
        weight_decay: float = 1e-5,
    ) -> None:
        super().__init__("vae", crops, views, epochs, steps, batch, learning_rate, weight_decay)
        self.code = code
        self.draws_per_image = draws_per_image
        if draws_per_image < 1:
            raise SettingsError(f"vae: draws_per_image is {draws_per_image}: at least 1 is needed")

    def fit(self, train: Images, context: Context) -> Vae:
        super().fit(train, context)
        self.noise_ = torch.randn(
            self.draws_per_image,
            self.code or code_length(self.inputs_["sides"]),
            generator=context.generator("draws"),
        )
        return self

    def network(self, size: tuple[int, int], channels: int) -> nn.Module:
        code = self.code or code_length(size)
        network = AutoEncoder(size, channels, bergmann_layers(size, code), START)
        network.encoder = encoder(channels, bergmann_layers(size, 2 * code), START)
        return network

    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        mean, log_variance = self._described(images)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        rebuilt = self._drawn(mean, log_variance, noise)
        squared = (rebuilt - images).square().flatten(1).sum(1)
        return (squared / 2 + divergence(mean, log_variance)).mean()

    def errors(self, images: Tensor) -> Tensor:
        mean, log_variance = self._described(images)
        noises = self.noise_.to(mean.device)[:, None]  # (draws, 1, code)
        gaps = [self._drawn(mean, log_variance, one) - images for one in noises]
        return torch.stack(gaps).square().mean((0, 2))

    def _described(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode images (B, C, H, W) as mean and logarithm of the variance, (B, code) each."""
        mean, log_variance = (
            cast(AutoEncoder, self.network_).encoder(images).flatten(1).float().chunk(2, 1)
        )
        return mean, log_variance

    def _drawn(self, mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
        """Rebuild images from codes drawn with noise (B, code) or (1, code)."""
        codes = mean + (log_variance / 2).exp() * noise
        out: Tensor = cast(AutoEncoder, self.network_).decoder(codes[:, :, None, None])
        return out.float()


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Compute the divergence of Gaussians from standard ones, (B, code) twice to (B,)."""
    return (mean.square() + log_variance.exp() - log_variance - 1).sum(1) / 2
