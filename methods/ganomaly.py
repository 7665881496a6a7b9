"""GANomaly: an image whose code changes when it is rebuilt is anomalous (Akcay et al., ACCV 2018)."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import Batch, Context, Detector, Geometry, Images, Prediction, Training, seeded
from benchmark.errors import SettingsError

from ._parts.autoencoders import (
    Between,
    as_channels,
    channels_of,
    dcgan_layers,
    decoder,
    encoder,
    resized,
)

ENCODING = Between(slope=0.2, norm=True, norm_first=False, bias=False)
DECODING = Between(norm=True, bias=False)
WEIGHTS = {"adversarial": 1.0, "contextual": 50.0, "encoder": 1.0}
"""Of the generator's losses (equations 1 to 4)."""
BETAS = (0.5, 0.999)
FOOLED = 1e-5
"""The discriminator starts anew when its loss falls below this."""


class Ganomaly(Detector):
    """GANomaly: how far an image's code lies from that of its reconstruction.

    Paper: Akcay, Atapour-Abarghouei, Breckon, "GANomaly: Semi-Supervised Anomaly Detection via
    Adversarial Training", ACCV 2018, arXiv 1805.06725, section 3; networks, losses and schedule of the
    official code (https://github.com/samet-akcay/ganomaly). An auto-encoder and a second encoder are
    trained to rebuild images, their codes and a discriminator's features. The score is the mean
    squared difference of the two codes. No map.

    The official code reports the epoch that is best on the test images; here the last one counts. It
    trains on nine classes of MNIST or CIFAR-10 and looks for the tenth, the reverse of one-class
    tables. Its scores are brought to 0 to 1 by the test set's extremes, which changes no ranking.

    Args:
        side: images are resized to side × side pixels: 8, 16, 32, 64, 128 or 256.
        code: length of the code.
        width: channels of the first layer.
        epochs, batch, learning_rate: of Adam, for generator and discriminator alike.
        steps: ends the training earlier than the epochs do.
    """

    title = "GANomaly"
    citation = "Akcay et al. 2018"
    paper = Geometry(resize=(32, 32))
    smoke = {"side": 16, "width": 16, "epochs": 20, "batch": 8}

    def __init__(
        self,
        *,
        side: int = 32,
        code: int = 100,
        width: int = 64,
        epochs: int = 15,
        steps: int | None = None,
        batch: int = 64,
        learning_rate: float = 2e-4,
    ) -> None:
        self.side = side
        self.code = code
        self.width = width
        self.epochs = epochs
        self.steps = steps
        self.batch = batch
        self.learning_rate = learning_rate
        counts = (code, width, epochs, batch, 1 if steps is None else steps)
        if side not in (8, 16, 32, 64, 128, 256) or min(counts) < 1 or learning_rate <= 0:
            raise SettingsError(
                f"ganomaly: side is {side}: allowed are 8, 16, 32, 64, 128, 256; code is {code}, width "
                f"{width}, epochs {epochs}, batch {batch}, steps {steps}, learning_rate "
                f"{learning_rate}: all must be positive"
            )

    def build(self) -> None:
        self.generator_ = Generator(self.side, self.channels_, self.width, self.code)

    def fit(self, train: Images, context: Context) -> Self:
        self.channels_ = channels_of(train)
        with seeded(context, "networks"):
            self.build()
            critic = Discriminator(self.side, self.channels_, self.width)
            both = nn.ModuleDict({"generator": self.generator_, "discriminator": critic})
            both.apply(initialised)
        both.to(context.device).train()
        optimiser = torch.optim.Adam(both.parameters(), self.learning_rate, BETAS)
        training = Training(
            context,
            both,
            optimiser,
            title="generator and discriminator",
            images=len(train),
            batch=self.batch,
            epochs=self.epochs,
            steps=self.steps,
            remedy="lower the learning rate: --set "
            f"ganomaly.learning_rate={self.learning_rate / 4:g}",
        )
        for indices in training:
            images = self._images(train.batch(indices), context)
            losses = step(self.generator_, critic, images, context)
            # Adam treats every parameter alone, so that one is two
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            training.note(**losses)
            if float(losses["discriminator"].detach()) < FOOLED:
                critic.restarts += 1
                with seeded(context, f"discriminator {training.done}"):
                    critic.apply(initialised)
        self.facts_ = {"discriminator_restarts": int(critic.restarts), **training.facts()}
        return self

    @torch.no_grad()
    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        self.generator_.to(context.device).eval()
        with context.autocast():
            _, code, again = self.generator_(self._images(batch, context))
        return Prediction((code - again).float().square().flatten(1).mean(1))

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _images(self, batch: Batch, context: Context) -> Tensor:
        return resized(as_channels(batch.pixels, self.channels_), self.side).to(context.device)


class Generator(nn.Module):
    """Encoder, decoder and second encoder: images (B, C, H, W) in [-1, 1] to their reconstructions,
    codes and the codes of the reconstructions, (B, code, 1, 1) both."""

    def __init__(self, side: int, channels: int, width: int, code: int) -> None:
        super().__init__()
        layers = dcgan_layers(side, width, code)
        self.encoder = encoder(channels, layers, ENCODING)
        self.decoder = decoder((side, side), channels, layers, DECODING)
        self.again = encoder(channels, layers, ENCODING)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        code = self.encoder(images)
        rebuilt = torch.tanh(self.decoder(code))
        return rebuilt, code, self.again(rebuilt)


class Discriminator(nn.Module):
    """Images (B, C, H, W) to the logit of being real, (B,), and the features (B, c, 4, 4) before.

    Attributes:
        restarts: how often its weights were drawn anew; kept with them in a checkpoint.
    """

    restarts: Tensor

    def __init__(self, side: int, channels: int, width: int) -> None:
        super().__init__()
        self.register_buffer("restarts", torch.zeros((), dtype=torch.int64))
        chain = encoder(channels, dcgan_layers(side, width, 1), ENCODING)
        self.features, self.last = chain[:-1], chain[-1]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(images)
        return self.last(features).flatten().float(), features


def step(
    generator: Generator, critic: Discriminator, images: Tensor, context: Context
) -> dict[str, Tensor]:
    """Give both networks their gradients. Returns the losses by name.

    In the official code the discriminator's step comes second, on what was rebuilt before the first:
    the gradients are the same.
    """
    with context.autocast():
        rebuilt, code, again = generator(images)
        seen, wanted = critic(images)
        guess, features = critic(rebuilt)
    losses = {
        "adversarial": F.mse_loss(features.float(), wanted.float()),
        "contextual": F.l1_loss(rebuilt.float(), images),
        "encoder": F.mse_loss(again.float(), code.float()),
    }
    loss = torch.stack([WEIGHTS[name] * value for name, value in losses.items()]).sum()
    loss.backward(inputs=list(generator.parameters()), retain_graph=True)  # type: ignore[no-untyped-call]
    real = F.binary_cross_entropy_with_logits(seen, torch.ones_like(seen))
    made = F.binary_cross_entropy_with_logits(guess, torch.zeros_like(guess))
    losses["discriminator"] = (real + made) / 2
    losses["discriminator"].backward(inputs=list(critic.parameters()))  # type: ignore[no-untyped-call]
    return {"loss": loss, **losses}


def initialised(module: nn.Module) -> None:
    """Draw a layer's weights as DCGAN does."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
