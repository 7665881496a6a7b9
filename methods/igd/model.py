"""IGD's model of one scale, its losses and its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from benchmark import Context, Training, seeded

from .._msssim import MsSsim
from .gsvdd import Gsvdd, PublishedGsvdd, SoftBoundary
from .networks import Critic, Decoder, PatchEncoder
from .views import Views

Formulation = Literal["equations", "public_code"]
Descriptor = Literal["gsvdd", "soft_boundary", "none"]
PUBLISHED_BATCH = {"global": 16, "local": 2}
"""Images per step of the official code; local ones come with all their patches."""


@dataclass(frozen=True)
class Plan:
    """The settings of :class:`~benchmark.methods.igd.Igd` that a scale's training needs."""

    formulation: Formulation
    descriptor: Descriptor
    interpolate: bool
    learned: bool
    epochs: int
    steps: int | None
    batch: int
    learning_rate: float
    decay: float
    weight_decay: float
    e_step_epochs: int
    latent: int
    alpha: float
    zeta: float
    kappa: float
    floor: float
    adversarial: float
    rho: float
    nu: float

    @property
    def published(self) -> bool:
        return self.formulation == "public_code"


class ScaleModel(nn.Module):
    """Encoder, decoder and descriptor of one scale.

    Args:
        scale: ``local`` or ``global``.
        sides: (H, W) of its input.
        width: of the encoder's body.
        plan: settings.
        similarity: MS-SSIM of this scale.
        body: whether the model owns the encoder's body (the global one's is a frozen backbone).
    """

    def __init__(
        self,
        scale: str,
        sides: tuple[int, int],
        width: int,
        plan: Plan,
        similarity: MsSsim,
        body: bool,
    ) -> None:
        super().__init__()
        self.scale, self.sides, self.plan, self.similarity = scale, sides, plan, similarity
        self.body = PatchEncoder(width) if body else None
        self.code = nn.Linear(width, plan.latent)
        self.decoder = Decoder(scale, sides, plan.latent)
        self.descriptor = _descriptor(plan)
        self.to(memory_format=torch.channels_last)

    def learned(self) -> list[nn.Parameter]:
        """What the generator's optimiser trains."""
        return [p for p in self.parameters() if p.requires_grad]

    def freeze_body(self) -> None:
        """Keep the body as it is; equation 10 comes before."""
        if self.body is not None:
            self.body.requires_grad_(False)

    def ready(self) -> None:
        """Batch normalisation by the batch's own statistics; the official code, which leaves the
        networks in evaluation mode throughout, has it as a gain and an offset only."""
        self.train(not self.plan.published)
        if self.body is not None and not self.plan.learned:
            self.body.eval()

    def describe(self, codes: Tensor) -> Tensor:
        """What a code adds to the score, (B,): equation 7, or its replacement."""
        if self.descriptor is None:
            return codes.new_zeros(len(codes), dtype=torch.float32)
        out: Tensor = self.descriptor(codes)
        return out

    def similar(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        """Equation 9, (B,)."""
        out: Tensor = self.similarity(x, rebuilt)
        return out

    def absolute(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        """Mean absolute error in units of the pixel range, (B,)."""
        gap = (x.float() - rebuilt.float()).abs().flatten(1).mean(1)
        return gap / self.similarity.pixel_range

    def reconstruction(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        """Equation 8 for one scale, (B,)."""
        rho = self.plan.rho
        return rho * self.absolute(x, rebuilt) + (1 - rho) * (1 - self.similar(x, rebuilt))


def generator_losses(
    model: ScaleModel, x: Tensor, rebuilt: Tensor, codes: Tensor, guess: Tensor | None
) -> dict[str, Tensor]:
    """The parts of equations 6 and 7 that encoder and decoder minimise, by name.

    Args:
        x, rebuilt: normalised (B, 3, H, W).
        codes: (B, latent).
        guess: what the critic says of the interpolated images, (B,).
    """
    parts = {"reconstruction": model.reconstruction(x, rebuilt).mean()}
    if isinstance(model.descriptor, SoftBoundary):
        parts["description"] = model.descriptor.loss(codes).mean()
    elif model.descriptor is not None:
        parts["description"] = model.describe(codes).mean()
    if guess is not None:
        parts["adversarial"] = model.plan.adversarial * guess.square().mean()
    return parts


def critic_loss(guess: Tensor, alpha: Tensor, on_blend: Tensor, *, published: bool) -> Tensor:
    """Equation 5.

    Args:
        guess: d of the interpolated images, (B,).
        alpha: the shares of interpolation, (B,).
        on_blend: d of blends of images and their reconstructions, (B,).
        published: as the official code's global model, where (B,) minus (B, 1) is (B, B), so that
            every guess is compared with every share.
    """
    wanted = alpha[:, None] if published else alpha
    return (guess - wanted).square().mean() + on_blend.square().mean()


class ScaleTraining:
    """The M-steps of one scale, with its E-steps in between (section 3.3).

    Args:
        model: its body frozen and loaded unless it is to be learned.
        views: training windows with their features.
        plan: settings.
        context: with the checkpoint of this scale.
    """

    def __init__(self, model: ScaleModel, views: Views, plan: Plan, context: Context) -> None:
        self.model, self.views, self.plan, self.context = model, views, plan, context
        scale = model.scale
        self.critic: Critic | None = None
        if plan.interpolate:
            with seeded(context, f"{scale} critic"):
                sigmoid = plan.published and scale == "local"
                self.critic = Critic(scale, model.sides, sigmoid=sigmoid)
            self.critic.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.to(context.device)
        model.ready()
        self.whole_images = plan.published and scale == "local"
        self.optimiser = _optimiser(model, self.critic, plan)
        batch = PUBLISHED_BATCH[scale] if plan.published else plan.batch
        items = len(views.images) if self.whole_images else len(views)
        self.batch_items = batch * views.per_image if self.whole_images else batch
        steps = max(1, int(items / batch * plan.epochs)) if plan.published else None
        if plan.steps is not None:
            steps = min(plan.steps, steps or plan.steps)
        self.training = Training(
            context,
            nn.ModuleDict({"model": model} | ({"critic": self.critic} if self.critic else {})),
            self.optimiser,
            title=f"{scale} model",
            images=items,
            batch=batch,
            epochs=plan.epochs,
            steps=steps,
            curves=f"{scale} ",
            remedy=f"lower the learning rate: --set igd.learning_rate={plan.learning_rate / 10:g}",
        )

    def run(self) -> dict[str, Any]:
        """Train to the end; what was run, as JSON."""
        training = self.training
        for indices in training:
            epoch, place = divmod(training.done, training.per_epoch)
            if place == 0 and epoch % self.plan.e_step_epochs == 0:
                self.e_step(epoch)
            left = 1 - training.done / training.steps
            for group in self.optimiser.param_groups:
                group["lr"] = self.plan.learning_rate * left**self.plan.decay
            training.note(**self.step(np.asarray(indices), training.done))
        return training.facts()

    def step(self, indices: np.ndarray[Any, Any], number: int) -> dict[str, Tensor]:
        """One step of encoder and decoder, and one of the critic. Returns the losses by name.

        Both see the same reconstructions and the same guesses of the critic, as in ACAI's own code:
        every code is decoded once.
        """
        items = self._items(indices)
        random = self.context.generator(f"{self.model.scale} step {number}")
        flip = self._flips(len(items), random)
        x = self.views.pixels(items, flip)
        guess = None
        with self.context.autocast():
            features = self._features(items, flip, x)
        codes = self.model.code(features.float())
        with self.context.autocast():
            if self.critic is not None:
                alpha = self.plan.alpha * torch.rand(len(items), generator=random)
                alpha = alpha.to(codes.device, non_blocking=True)
                # the reversal of equation 2 pairs every code with another image's
                mixed = torch.lerp(codes.flip(0), codes, alpha[:, None])
                rebuilt, between = self.model.decoder(torch.cat([codes, mixed])).chunk(2)
                guess = self.critic(between)
                blend = torch.lerp(rebuilt.detach().to(x.dtype), x, self.plan.zeta)
                on_blend = self.critic(blend)
            else:
                rebuilt = self.model.decoder(codes)
        parts = generator_losses(self.model, x, rebuilt, codes, guess)
        losses = {"loss": torch.stack(list(parts.values())).sum(), **parts}
        self.optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward(inputs=self.model.learned(), retain_graph=guess is not None)  # type: ignore[no-untyped-call]
        if self.critic is not None and guess is not None:
            published = self.plan.published and self.model.scale == "global"
            losses["critic"] = critic_loss(guess, alpha, on_blend, published=published)
            losses["critic"].backward(inputs=list(self.critic.parameters()))  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return losses

    @torch.no_grad()
    def e_step(self, epoch: int) -> None:
        """Estimate the descriptor from all training windows, unflipped; the official code flips them
        at random and goes through them in shuffled training batches."""
        if self.model.descriptor is None:
            return
        items, flip = np.arange(len(self.views)), np.zeros(len(self.views), bool)
        size = max(self.batch_items, 1)
        if self.plan.published:
            random = self.context.generator(f"{self.model.scale} E-step {epoch}")
            flip = self._flips(len(items), random)
            groups = items.reshape(-1, self.views.per_image if self.whole_images else 1)
            items = groups[torch.randperm(len(groups), generator=random).numpy()].ravel()
            if self.whole_images and len(items) > size:  # the official loader drops the last part
                items = items[: len(items) // size * size]
        starts = range(0, len(items), size)
        self.model.eval()
        parts = [self._codes(items[i : i + size], flip[i : i + size]) for i in starts]
        self.model.ready()
        self.model.descriptor.e_step(parts)

    def _codes(self, items: np.ndarray[Any, Any], flip: np.ndarray[Any, Any]) -> Tensor:
        codes: Tensor = self.model.code(self._features(items, flip, None).float())
        return codes

    def _features(
        self, items: np.ndarray[Any, Any], flip: np.ndarray[Any, Any], x: Tensor | None
    ) -> Tensor:
        kept = self.views.features(items, flip)
        if kept is not None:
            return kept
        assert self.model.body is not None
        found: Tensor = self.model.body(self.views.pixels(items, flip) if x is None else x)
        return found

    def _items(self, indices: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if not self.whole_images:
            return indices
        each = np.arange(self.views.per_image)
        return (indices[:, None] * self.views.per_image + each).ravel()

    def _flips(self, count: int, random: torch.Generator) -> np.ndarray[Any, Any]:
        """Which of ``count`` windows are mirrored; an image's windows together in the official
        code."""
        if not self.views.flips:
            return np.zeros(count, bool)
        repeat = self.views.per_image if self.whole_images else 1
        drawn = torch.rand(count // repeat, generator=random) < 0.5
        return drawn.numpy().repeat(repeat)


def _optimiser(model: ScaleModel, critic: Critic | None, plan: Plan) -> torch.optim.Adam:
    """Adam treats every parameter alone, so that two groups are two optimisers."""
    groups: list[dict[str, Any]] = [{"params": model.learned(), "weight_decay": plan.weight_decay}]
    if critic is not None:
        decay = 0.0 if plan.published else plan.weight_decay
        groups.append({"params": list(critic.parameters()), "weight_decay": decay})
    betas = (0.0, 0.9) if plan.published else (0.9, 0.999)
    return torch.optim.Adam(groups, plan.learning_rate, betas)


def _descriptor(plan: Plan) -> Gsvdd | SoftBoundary | None:
    if plan.descriptor == "none":
        return None
    if plan.descriptor == "soft_boundary":
        return SoftBoundary(plan.latent, nu=plan.nu)
    if plan.published:
        return PublishedGsvdd(plan.latent)
    return Gsvdd(plan.latent, kappa=plan.kappa, floor=plan.floor)
