"""IGD's model of one scale, and what it is trained to: equations 2, 5, 6 and 8."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._parts.msssim import GLOBAL_WEIGHTS, LOCAL_WEIGHTS, PIXEL_RANGE, MsSsim, scales_that_fit
from .gsvdd import Gsvdd, SoftBoundary
from .networks import LATENT, Decoder, PatchEncoder

RHO = 0.15
"""ρ of equation 8: weight of the absolute error, the rest being that of 1 - MS-SSIM."""
ADVERSARIAL = 0.1
"""λ of equation 6: weight of what the critic says of interpolated images."""
MS_SSIM = {"global": (GLOBAL_WEIGHTS, 11), "local": (LOCAL_WEIGHTS, 3)}
"""Weights of the scales of equation 9, and the side of the window."""
LEAK = 1.0
"""Gradient by a scale's similarity where that is not positive. The paper leaves it open; in the official
code it is 0."""


class ScaleModel(nn.Module):
    """Encoder, decoder and descriptor of one scale.

    Args:
        scale: ``local`` or ``global``.
        sides: (H, W) of its input.
        width: of what the encoder's body gives.
        descriptor: what describes the codes, or None.
        published: whether it is the official code's.
        learned: whether the local encoder's body is trained, too; the global one is a backbone that
            stays outside of the model.
    """

    def __init__(
        self,
        scale: str,
        sides: tuple[int, int],
        width: int,
        descriptor: Gsvdd | SoftBoundary | None,
        *,
        published: bool = False,
        learned: bool = False,
    ) -> None:
        super().__init__()
        self.scale, self.sides, self.published, self.learned = scale, sides, published, learned
        weights, window = MS_SSIM[scale]
        self.similarity = MsSsim(
            scales_that_fit(weights, window, min(sides)), window, leak=0.0 if published else LEAK
        )
        self.body = PatchEncoder(width) if scale == "local" else None
        if self.body is not None:
            self.body.requires_grad_(learned)
        self.code = nn.Linear(width, LATENT)
        self.decoder = Decoder(scale, sides)
        self.descriptor = descriptor
        self.to(memory_format=torch.channels_last)

    def trained(self) -> list[nn.Parameter]:
        """List the parameters of encoder and decoder that are trained."""
        return [p for p in self.parameters() if p.requires_grad]

    def ready(self) -> None:
        """Set batch normalisation to the batch's own statistics; the official code, which leaves the
        networks in evaluation mode throughout, has it as a gain and an offset only."""
        self.train(not self.published)
        if self.body is not None and not self.learned:
            self.body.eval()


def interpolated(codes: Tensor, alpha: Tensor) -> Tensor:
    """Interpolate by equation 2: α z + (1 - α) z', where z' is another image's code, by reversal of the batch.

    Args:
        codes: (B, 128).
        alpha: the shares α, (B,).
    """
    return torch.lerp(codes.flip(0), codes, alpha[:, None])


def absolute_error(x: Tensor, rebuilt: Tensor) -> Tensor:
    """Measure the mean absolute error in units of the pixel range, (B, 3, h, w) twice to (B,)."""
    return (x.float() - rebuilt.float()).abs().flatten(1).mean(1) / PIXEL_RANGE


def reconstruction(model: ScaleModel, x: Tensor, rebuilt: Tensor) -> Tensor:
    """Measure equation 8 for one scale, (B, 3, h, w) twice to (B,)."""
    unlike: Tensor = 1 - model.similarity(x, rebuilt)
    return RHO * absolute_error(x, rebuilt) + (1 - RHO) * unlike


def generator_losses(
    model: ScaleModel, x: Tensor, rebuilt: Tensor, codes: Tensor, guess: Tensor | None
) -> dict[str, Tensor]:
    """Compute equations 6 and 7: what encoder and decoder minimise the sum of, by name.

    Args:
        model: of this scale.
        x, rebuilt: normalised (B, 3, H, W).
        codes: (B, 128).
        guess: what the critic says of the interpolated images, (B,), if there is one.
    """
    parts = {"reconstruction": reconstruction(model, x, rebuilt).mean()}
    if model.descriptor is not None:
        parts["description"] = model.descriptor.loss(codes).mean()
    if guess is not None:
        parts["adversarial"] = ADVERSARIAL * guess.square().mean()
    return parts


def critic_loss(guess: Tensor, alpha: Tensor, on_blend: Tensor, *, published: bool) -> Tensor:
    """Compute equation 5.

    Args:
        guess: d of the interpolated images, (B,).
        alpha: the shares of interpolation, (B,).
        on_blend: d of blends of images and their reconstructions, (B,).
        published: as the official code's global model, where (B,) minus (B, 1) is (B, B), so that
            every guess is compared with every share.
    """
    wanted = alpha[:, None] if published else alpha
    return (guess - wanted).square().mean() + on_blend.square().mean()
