"""f-AnoGAN: what a generator of normal images cannot show (Schlegl et al., MIA 2019)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from benchmark import (
    Batch,
    Context,
    Detector,
    Geometry,
    Images,
    Prediction,
    Stages,
    Training,
    seeded,
    upsample,
)
from benchmark.errors import SettingsError

from .._parts.autoencoders import as_channels, channels_of, resized
from .networks import Generator, Reader

PENALTY = 10.0
"""Weight of the gradient penalty."""
CRITIC_STEPS = 5
"""Of the critic per step of the generator."""
BETAS = (0.0, 0.9)


class FAnoGan(Detector):
    """f-AnoGAN: error of an image against the nearest that a generator of normal images makes.

    Paper: Schlegl et al., "f-AnoGAN: Fast unsupervised anomaly detection with generative adversarial
    networks", Medical Image Analysis 54, 2019, section 2; networks and schedule of the official code
    (https://github.com/tSchlegl/f-AnoGAN). A Wasserstein GAN with gradient penalty learns to generate
    normal images; then an encoder learns codes from which the generator rebuilds them (``izi_f``). The
    score is the mean squared error of the pixels plus that of the critic's features, the map the
    absolute error of the pixels.

    The paper trains on 270,000 patches of scans for 7 epochs; ``gan_steps`` is that number of steps of
    the critic. Running means of batch normalisation follow faster than in the code (0.1 per step).

    Args:
        side: images are resized to side × side pixels: 8, 16, 32, 64 or 128.
        code: length of a code.
        width: channels of the finest layers.
        kappa: weight of the critic's features in the encoder's loss and in the score.
        gan_steps: of the critic, five for each of the generator.
        encoder_steps: of the encoder.
        batch, learning_rate: of the GAN's training by Adam, the former also of the encoder's.
        encoder_rate: learning rate of the encoder's training by RMSprop.
    """

    title = "f-AnoGAN"
    citation = "Schlegl et al. 2019"
    paper = Geometry(resize=(64, 64))
    smoke = {
        "side": 8,
        "width": 4,
        "code": 8,
        "kappa": 0.01,
        "batch": 8,
        "gan_steps": 2,
        "encoder_steps": 10,
        "encoder_rate": 1e-4,
    }

    def __init__(
        self,
        *,
        side: int = 64,
        code: int = 128,
        width: int = 64,
        kappa: float = 1.0,
        gan_steps: int = 29_500,
        encoder_steps: int = 50_000,
        batch: int = 64,
        learning_rate: float = 1e-4,
        encoder_rate: float = 5e-5,
    ) -> None:
        self.side = side
        self.code = code
        self.width = width
        self.kappa = kappa
        self.gan_steps = gan_steps
        self.encoder_steps = encoder_steps
        self.batch = batch
        self.learning_rate = learning_rate
        self.encoder_rate = encoder_rate
        counts = (code, width, gan_steps, encoder_steps, batch)
        rates = (learning_rate, encoder_rate)
        if side not in (8, 16, 32, 64, 128) or min(*counts, *rates) <= 0 or kappa < 0:
            raise SettingsError(
                f"f_anogan: side is {side}: allowed are 8, 16, 32, 64, 128; code is {code}, width "
                f"{width}, gan_steps {gan_steps}, encoder_steps {encoder_steps}, batch {batch}, "
                f"learning_rate {learning_rate}, encoder_rate {encoder_rate}: all must be positive; kappa is "
                f"{kappa}: it may not be negative"
            )

    def build(self) -> None:
        shape = (self.side, self.channels_, self.width)
        self.generator_ = Generator(*shape, self.code)
        self.critic_ = Reader(*shape, 1, layer_norm=True)
        self.encoder_ = Reader(*shape, self.code, layer_norm=False)

    def fit(self, train: Images, context: Context) -> Self:
        self.channels_ = channels_of(train)
        with seeded(context, "networks"):
            self.build()
        self._place(context)
        stages = Stages(context.checkpoint)
        both = nn.ModuleDict({"generator": self.generator_, "critic": self.critic_})
        done = stages.finished("gan")
        if done is None:
            facts = self._train_gan(both, train, replace(context, checkpoint=stages.part("gan")))
            done = {"networks": both.state_dict(), "facts": facts}
            stages.finish("gan", done)
        both.load_state_dict(done["networks"])
        both.eval().requires_grad_(False)
        part = replace(context, checkpoint=stages.part("encoder"))
        self.facts_ = {"gan": done["facts"], "encoder": self._train_encoder(train, part)}
        return self

    @torch.no_grad()
    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        self._place(context)
        self.encoder_.eval()
        images = self._images(batch, context)
        rebuilt, scores = self._errors(images)
        maps = (rebuilt - images).abs().mean(1)
        return Prediction(scores, upsample(maps, batch.size))

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _place(self, context: Context) -> None:
        for network in (self.generator_, self.critic_, self.encoder_):
            network.to(context.device)
        self.generator_.eval()
        self.critic_.eval()

    def _images(self, batch: Batch, context: Context) -> Tensor:
        return resized(as_channels(batch.pixels, self.channels_), self.side).to(context.device)

    def _errors(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Rebuild images (B, C, H, W) in [-1, 1], and measure by how much that fails, (B,)."""
        rebuilt = self.generator_(torch.tanh(self.encoder_(images)[0]))
        pixels = (rebuilt - images).square().flatten(1).mean(1)
        features = (self.critic_(rebuilt)[1] - self.critic_(images)[1]).square().mean(1)
        return rebuilt, pixels + self.kappa * features

    def _train_gan(self, both: nn.ModuleDict, train: Images, context: Context) -> dict[str, Any]:
        generator, critic = both["generator"].train(), both["critic"].train()
        optimiser = torch.optim.Adam(both.parameters(), self.learning_rate, BETAS)
        training = self._training(both, optimiser, train, context, "gan", self.gan_steps)
        for indices in training:
            draws = context.generator(f"gan {training.done}")
            images = self._images(train.batch(indices), context)
            codes = torch.randn(2, len(images), self.code, generator=draws).to(images.device)
            # Adam leaves alone what has no gradient, so that one optimiser serves both networks
            if training.done and training.done % CRITIC_STEPS == 0:
                loss = -critic(generator(codes[0]))[0].mean()
                loss.backward(inputs=list(generator.parameters()))
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            with torch.no_grad():
                made = generator(codes[1])
            share = torch.rand(len(images), 1, 1, 1, generator=draws).to(images.device)
            losses = critic_losses(critic, images, made, share)
            losses["loss"].backward(inputs=list(critic.parameters()))  # type: ignore[no-untyped-call]
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            training.note(**losses)
        return training.facts()

    def _train_encoder(self, train: Images, context: Context) -> dict[str, Any]:
        self.encoder_.train()
        optimiser = torch.optim.RMSprop(self.encoder_.parameters(), self.encoder_rate, alpha=0.9)
        training = self._training(
            self.encoder_, optimiser, train, context, "encoder", self.encoder_steps
        )
        for indices in training:
            images = self._images(train.batch(indices), context)
            training.learn(self._errors(images)[1].mean())
        return training.facts()

    def _training(
        self,
        module: nn.Module,
        optimiser: torch.optim.Optimizer,
        train: Images,
        context: Context,
        title: str,
        steps: int,
    ) -> Training:
        rate = "learning_rate" if title == "gan" else "encoder_rate"
        return Training(
            context,
            module,
            optimiser,
            title=title,
            images=len(train),
            batch=self.batch,
            epochs=steps,
            steps=steps,
            curves=f"{title} ",
            remedy=f"lower the learning rate: --set f_anogan.{rate}={getattr(self, rate) / 4:g}",
        )


def critic_losses(
    critic: nn.Module, images: Tensor, made: Tensor, share: Tensor
) -> dict[str, Tensor]:
    """Compute the critic's loss and its parts, by name.

    Args:
        critic: gives a number per image, first of what it returns.
        images, made: real and generated, (B, C, H, W).
        share: of the generated one in the mixtures whose gradient is penalised, (B, 1, 1, 1).
    """
    distance = critic(made)[0].mean() - critic(images)[0].mean()
    mixed = torch.lerp(images, made, share).requires_grad_()
    (slopes,) = torch.autograd.grad(critic(mixed)[0].sum(), mixed, create_graph=True)
    penalty = (slopes.flatten(1).norm(dim=1) - 1).square().mean()
    return {"loss": distance + PENALTY * penalty, "distance": distance, "penalty": penalty}
