"""IGD's training of one scale: M-steps (equations 5 to 7) with E-steps in between (section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark import Context, Training, seeded

from .model import ScaleModel, critic_loss, generator_losses, interpolated
from .networks import Critic
from .views import CHUNK, Views

LARGEST_SHARE = 0.5
"""Of interpolation: α of equation 2 is drawn from 0 to this."""
BLEND = 0.2
"""ζ of equation 5 (γ in section 4.2): share of the image in its blend with the reconstruction."""
DECAY = 0.9
"""The learning rate falls as (1 - t) to this power."""
WEIGHT_DECAY = 1e-6

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Schedule:
    """Course of one scale's training.

    Attributes:
        epochs: how often all windows are seen.
        steps: ends the training earlier; or None.
        batch: windows per step, or images where ``whole_images``.
        whole_images: whether an image's windows stay together in a batch.
        learning_rate: at the start.
        e_steps: number of E-steps, evenly spread, the first before training.
        interpolate: whether there are interpolation and critic.
    """

    epochs: int
    steps: int | None
    batch: int
    whole_images: bool
    learning_rate: float
    e_steps: int
    interpolate: bool


class ScaleTraining:
    """The training of one scale.

    Args:
        model: its encoder's body loaded.
        views: training windows, with their features if they are kept.
        schedule: how long, and in what batches.
        context: with the checkpoint of this scale.
    """

    def __init__(
        self, model: ScaleModel, views: Views, schedule: Schedule, context: Context
    ) -> None:
        self.model, self.views, self.schedule, self.context = model, views, schedule, context
        model.to(context.device)
        model.ready()
        self.critic = _critic(model, context) if schedule.interpolate else None
        self.optimiser = _optimiser(model, self.critic, schedule.learning_rate)
        self.together = views.per_image if schedule.whole_images else 1
        items, steps = len(views) // self.together, schedule.steps
        if model.published:
            published = max(1, int(items / schedule.batch * schedule.epochs))
            steps = min(steps or published, published)
        self.training = Training(
            context,
            nn.ModuleDict({"model": model} | ({"critic": self.critic} if self.critic else {})),
            self.optimiser,
            title=f"{model.scale} model",
            images=items,
            batch=schedule.batch,
            epochs=schedule.epochs,
            steps=steps,
            curves=f"{model.scale} ",
            remedy="lower the learning rate: --set "
            f"igd.learning_rate={schedule.learning_rate / 10:g}",
        )
        number = 0 if model.descriptor is None else schedule.e_steps
        self.estimates = {i * self.training.steps // number for i in range(number)}

    def run(self) -> dict[str, Any]:
        """Train to the end. Returns what was run, as JSON."""
        training = self.training
        for indices in training:
            if training.done in self.estimates:
                self.e_step(training.done)
            left = 1 - training.done / training.steps
            for group in self.optimiser.param_groups:
                group["lr"] = self.schedule.learning_rate * left**DECAY
            training.note(**self.step(np.asarray(indices), training.done))
        return {**training.facts(), "e_steps": len(self.estimates)}

    @torch.no_grad()
    def e_step(self, number: int) -> None:
        """Estimate the descriptor from all training windows.

        Args:
            number: of the step that follows; it fixes what is drawn.
        """
        assert self.model.descriptor is not None
        self.model.eval()
        windows = list(self._all_windows(number))
        tracked = self.context.progress.track(windows, "E-step", len(windows))
        codes = [self._codes(items, flip) for items, flip in tracked]
        self.model.ready()
        self.model.descriptor.e_step(codes)

    def step(self, indices: Array, number: int) -> dict[str, Tensor]:
        """Take one step of encoder and decoder, and one of the critic. Returns the losses by name.

        Both see the same reconstructions and the same guesses of the critic, as in ACAI's own code:
        every code is decoded once. In the official code the critic's step comes second: the
        interpolated codes are decoded again, images encoded and decoded again.

        Args:
            indices: of windows, or of images whose windows stay together.
            number: of this step; it fixes what is drawn.
        """
        items = (indices[:, None] * self.together + np.arange(self.together)).ravel()
        random = self.context.generator(f"{self.model.scale} step {number}")
        flip = self._flips(len(items), random)
        alpha = LARGEST_SHARE * torch.rand(len(items), generator=random)
        alpha = alpha.to(self.context.device, non_blocking=True)
        x = self.views.pixels(items, flip)
        codes = self._codes(items, flip, x)
        model, critic = self.model, self.critic
        if critic is None:
            with self.context.autocast():
                rebuilt = model.decoder(codes)
            losses = self._backward(generator_losses(model, x, rebuilt, codes, None))
        else:
            mixed = interpolated(codes, alpha)
            with self.context.autocast():
                rebuilt, between = model.decoder(torch.cat([codes, mixed])).chunk(2)
                guess = critic(between)
            losses = self._backward(generator_losses(model, x, rebuilt, codes, guess))
            if model.published:
                self._update()
                with torch.no_grad(), self.context.autocast():
                    again = torch.cat([self._codes(items, flip, x), mixed])
                    rebuilt, between = model.decoder(again).chunk(2)
                with self.context.autocast():
                    guess = critic(between)
            with self.context.autocast():
                on_blend = critic(torch.lerp(rebuilt.detach().to(x.dtype), x, BLEND))
            all_pairs = model.published and model.scale == "global"
            losses["critic"] = critic_loss(guess, alpha, on_blend, published=all_pairs)
            losses["critic"].backward(inputs=list(critic.parameters()))  # type: ignore[no-untyped-call]
        self._update()
        return losses

    def _backward(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Give encoder and decoder the gradient of the sum of their losses."""
        total = torch.stack(list(parts.values())).sum()
        retain = self.critic is not None and not self.model.published
        total.backward(inputs=self.model.trained(), retain_graph=retain)  # type: ignore[no-untyped-call]
        return {"loss": total, **parts}

    def _update(self) -> None:
        """Change what has a gradient. Adam treats every parameter alone, so that one is two."""
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def _codes(self, items: Array, flip: Array, x: Tensor | None = None) -> Tensor:
        """Encode windows: codes (B, 128) from kept features or from pixels ``x`` (B, 3, h, w)."""
        features = self.views.features(items, flip)
        if features is None:
            assert self.model.body is not None
            with self.context.autocast():
                features = self.model.body(self.views.pixels(items, flip) if x is None else x)
        codes: Tensor = self.model.code(features.float())
        return codes

    def _all_windows(self, number: int) -> Iterator[tuple[Array, Array]]:
        """Yield every window, unflipped and in order. The official code takes shuffled training batches,
        flips at random and, locally, leaves out a last batch that is not full."""
        groups = np.arange(len(self.views)).reshape(-1, self.together)
        flip = np.zeros(len(self.views), bool)
        size = CHUNK
        if self.model.published:
            size = self.schedule.batch
            random = self.context.generator(f"{self.model.scale} E-step {number}")
            flip = self._flips(len(self.views), random)
            groups = groups[torch.randperm(len(groups), generator=random).numpy()]
            if self.schedule.whole_images and len(groups) > size:
                groups = groups[: len(groups) // size * size]
        for start in range(0, len(groups), size):
            items = groups[start : start + size].ravel()
            yield items, flip[items]

    def _flips(self, count: int, random: torch.Generator) -> Array:
        """Draw which of ``count`` windows are mirrored; those that stay together are so together."""
        if not self.views.flips:
            return np.zeros(count, bool)
        drawn = torch.rand(count // self.together, generator=random) < 0.5
        return drawn.numpy().repeat(self.together)


def _critic(model: ScaleModel, context: Context) -> Critic:
    with seeded(context, f"{model.scale} critic"):
        critic = Critic(
            model.scale, model.sides, sigmoid=model.published and model.scale == "local"
        )
    critic.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return critic


def _optimiser(model: ScaleModel, critic: Critic | None, rate: float) -> torch.optim.Adam:
    groups: list[dict[str, Any]] = [{"params": model.trained(), "weight_decay": WEIGHT_DECAY}]
    if critic is not None:
        decay = 0.0 if model.published else WEIGHT_DECAY
        groups.append({"params": list(critic.parameters()), "weight_decay": decay})
    return torch.optim.Adam(groups, rate, (0.0, 0.9) if model.published else (0.9, 0.999))
