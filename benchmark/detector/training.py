"""Training that the learned methods share: seeded order, resumable, a divergence is an error."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.detector.context import Checkpoint, Context
from benchmark.errors import DetectorError

FORMAT = 4
"""Of checkpoints; to be raised with what they hold."""
CURVE_POINTS = 50
"""Of a loss curve at least, as long as there are as many steps; at most one per epoch otherwise."""
LOOK_EVERY = 50
"""Steps between two looks at the losses; each look waits for the device."""
SAVE_SECONDS = 30.0
"""Least time between two checkpoints."""
SAVE_SHARE = 0.05
"""Share of the time that saving may take: where it is slow, it is done less often."""


class Training:
    """Optimisation steps over shuffled batches, kept in the context's checkpoint.

    The order of an epoch depends on the cell's seed and the epoch alone, so a training that goes on
    after a kill sees the same batches. A last batch of a single image is left out, since batch
    normalisation cannot learn from it. Use::

        training = Training(context, module, optimiser, title="student", images=167, ...)
        for indices in training:
            training.learn(loss_of(indices))
            if training.epoch_ends:
                training.offer(error_on_held_out_images())  # remembers the best weights
        training.take_best()

    Args:
        context: lends seeds, progress, checkpoint and meters.
        module: everything that is trained.
        optimiser: over its parameters, or one of several over some of them each.
        others: the other ones.
        title: shown as progress; with the cell's seed it fixes the order.
        images, batch, epochs: how many of each.
        steps: ends earlier than the epochs do.
        remedy: what to try when the loss is not finite any more.
        curves: precedes the names of the recorded curves, for several trainings in one cell.
    """

    def __init__(
        self,
        context: Context,
        module: nn.Module,
        optimiser: torch.optim.Optimizer,
        *,
        title: str,
        images: int,
        batch: int,
        epochs: int,
        remedy: str,
        steps: int | None = None,
        curves: str = "",
        others: Sequence[torch.optim.Optimizer] = (),
    ) -> None:
        self.context, self.module, self.optimiser = context, module, optimiser
        self.optimisers = (optimiser, *others)
        self.title, self.images, self.batch, self.remedy = title, images, batch, remedy
        self.per_epoch = images // batch + (images % batch > 1) or 1
        self.epochs, self.curves = epochs, curves
        self.steps = min(steps or epochs * self.per_epoch, epochs * self.per_epoch)
        self.done = 0
        self.epoch_ends = False
        self.best: dict[str, Any] = {}
        self.epoch_losses: list[float] = []
        self.span = min(self.per_epoch, -(-self.steps // CURVE_POINTS))
        self._losses: dict[str, list[float]] = {}  # of the curve's next point
        self._epoch: list[float] = []
        # what waits on the device to be looked at: losses by step; errors by step and epoch
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._offers: list[tuple[int, int, Tensor]] = []
        self._least: Tensor | None = None
        self._shown = title
        saved = context.checkpoint.load()
        if saved is not None and saved.get("format") == FORMAT:
            self._resume(saved)
        elif saved is not None:
            self._shown = f"{title}, from the start (its checkpoint is of another version)"

    @property
    def epoch(self) -> int:
        """The epoch that the current step belongs to, counted from 1."""
        return min(self.done, self.steps - 1) // self.per_epoch + 1

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the positions of the images of each step that is left."""
        order: np.ndarray[Any, Any] = np.empty(0)
        ordered = -1
        saved_at, pause = time.monotonic(), SAVE_SECONDS
        steps = range(self.done, self.steps)
        for step in self.context.progress.track(steps, self._shown, len(steps)):
            epoch, place = divmod(step, self.per_epoch)
            if epoch != ordered:
                order = self.context.rng(f"{self.title}, epoch {epoch}").permutation(self.images)
                ordered = epoch
            self.epoch_ends = self._ends(step)
            indices = order[place * self.batch : (place + 1) * self.batch].tolist()
            if self.context.rehearsal is not None:
                indices = indices[: self.context.rehearsal(len(indices))]
            yield indices
            self.done = step + 1
            if len(self._pending) >= LOOK_EVERY:
                self._look()
            if time.monotonic() - saved_at >= pause:
                start = time.monotonic()
                self._save()
                saved_at = time.monotonic()
                pause = max(SAVE_SECONDS, (saved_at - start) / SAVE_SHARE)
        self._look()

    def learn(self, loss: Tensor) -> None:
        """Take one optimisation step. Raises DetectorError, within 50 steps, for a loss not
        finite."""
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser in self.optimisers:
            optimiser.step()
        self.note(loss=loss)

    def note(self, **losses: Tensor) -> None:
        """Record the losses of a step that was taken elsewhere, one of them called ``loss``; the
        same names at every step. Raises as :meth:`learn` does."""
        self._pending.append((self.done, {k: value.detach() for k, value in losses.items()}))

    def offer(self, value: Tensor | float) -> None:
        """Remember the weights if ``value`` (on held-out normal images) is the lowest so far.

        A tensor (of no dimensions) is compared on its device, without waiting for it.
        """
        place = self.context.device
        found = torch.as_tensor(value, dtype=torch.float32, device=place).detach()
        weights = {k: v.detach() for k, v in self.module.state_dict().items()}
        if self._least is None:
            self._least = found.clone()
            self.best["weights"] = {k: v.clone() for k, v in weights.items()}
        else:
            lower, kept = found < self._least, self.best["weights"]
            self._least = torch.where(lower, found, self._least)
            for k, v in weights.items():
                kept[k] = torch.where(lower, v, kept[k])
        self._offers.append((self.done + 1, self.epoch, found))

    def take_best(self) -> None:
        """Put the remembered weights back; without any, the last ones stay."""
        if self.best:
            self.module.load_state_dict(self.best["weights"])

    def _ends(self, step: int) -> bool:
        """Tell whether an epoch ends with this step."""
        return step % self.per_epoch == self.per_epoch - 1 or step == self.steps - 1

    def facts(self) -> dict[str, Any]:
        """Return what was actually run, as JSON."""
        first = self.epoch_losses[0] if self.epoch_losses else float("inf")
        facts: dict[str, Any] = {
            "steps": self.done,
            "epochs": self.done / self.per_epoch,
            "epoch_losses_above_first": sum(loss > first for loss in self.epoch_losses),
        }
        if self.best:
            facts |= {"epoch_chosen": self.best["epoch"], "validation": self.best["value"]}
        return facts

    def _look(self) -> None:
        """Fetch losses and errors since the last look: the one place that waits for the device."""
        pending, self._pending = self._pending, []
        offers, self._offers = self._offers, []
        if pending:
            names = list(pending[0][1])
            stacked = torch.stack([torch.stack(list(row.values())) for _, row in pending])
            for (step, _), row in zip(pending, stacked.float().tolist(), strict=True):
                self._add(step, dict(zip(names, row, strict=True)))
        if offers:
            errors = torch.stack([value for *_, value in offers]).tolist()
            for (step, epoch, _), value in zip(offers, errors, strict=True):
                self.context.meters.add(f"{self.curves}validation", step, value)
                if "value" not in self.best or value < self.best["value"]:
                    self.best |= {"value": value, "epoch": epoch}

    def _add(self, step: int, losses: dict[str, float]) -> None:
        """Add a step's losses to the curves."""
        for name, loss in losses.items():
            if not np.isfinite(loss):
                raise DetectorError(
                    f"{self.title}: training diverged, the {_loss(name)} is {loss} at step "
                    f"{step + 1} of {self.steps} (epoch {step // self.per_epoch + 1} of "
                    f"{self.epochs}); {self.remedy}"
                )
            self._losses.setdefault(name, []).append(loss)
        self._epoch.append(losses["loss"])
        if self._ends(step) or (step % self.per_epoch + 1) % self.span == 0:
            for name, values in self._losses.items():
                self.context.meters.add(f"{self.curves}{name}", step + 1, float(np.mean(values)))
            self._losses = {}
        if self._ends(step):
            self.epoch_losses.append(float(np.mean(self._epoch)))
            self._epoch = []

    def _save(self) -> None:
        self._look()
        self.context.checkpoint.save(
            {
                "format": FORMAT,
                "done": self.done,
                "module": self.module.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
                "best": self.best,
                "losses": self._losses,
                "epoch": self._epoch,
                "epoch_losses": self.epoch_losses,
                "curves": self.context.meters.curves,
            }
        )

    def _resume(self, saved: dict[str, Any]) -> None:
        self.module.load_state_dict(saved["module"])
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.done, self.best = saved["done"], saved["best"]
        if self.best:
            places = self.module.state_dict()
            kept = self.best["weights"]
            self.best["weights"] = {k: v.to(places[k].device) for k, v in kept.items()}
            self._least = torch.tensor(self.best["value"], device=self.context.device)
        self._losses, self._epoch = saved["losses"], saved["epoch"]
        self.epoch_losses = saved["epoch_losses"]
        self.context.meters.curves.update(saved["curves"])


class Stages:
    """Several trainings, one after the other, in one cell's checkpoint.

    Args:
        checkpoint: of the cell.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._kept: dict[str, Any] = checkpoint.load() or {}

    def finished(self, name: str) -> dict[str, Any] | None:
        """Return what :meth:`finish` was given for this stage, or None while it is to be done."""
        found: dict[str, Any] | None = self._kept.get(name, {}).get("finished")
        return found

    def part(self, name: str) -> Checkpoint:
        """Return the checkpoint of one stage; what finished before it is saved along."""
        others = {k: v for k, v in self._kept.items() if "finished" in v}
        running = self._kept.get(name, {}).get("running")
        return _Part(self._checkpoint.path, self._checkpoint, others, name, running)

    def finish(self, name: str, result: dict[str, Any]) -> None:
        """Keep what a stage came to; its optimiser's state is let go."""
        self._kept[name] = {"finished": result}
        self._checkpoint.save(self._kept)


@dataclass
class _Part(Checkpoint):
    whole: Checkpoint = field(default_factory=Checkpoint)
    others: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    running: dict[str, Any] | None = None

    def save(self, state: dict[str, Any]) -> None:
        self.whole.save({**self.others, self.name: {"running": state}})

    def load(self) -> dict[str, Any] | None:
        return self.running


def _loss(name: str) -> str:
    return name if name == "loss" else f"{name} loss"


@contextmanager
def seeded(context: Context, purpose: str) -> Iterator[None]:
    """Seed torch's global generator by the cell for one purpose, and put it back afterwards: for
    the initialisers of ``torch.nn``, which accept no generator of their own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(context.generator(purpose).initial_seed())
        yield


def split_off(context: Context, count: int, fraction: float) -> tuple[list[int], list[int]]:
    """Split positions into those to train on and those kept for choosing or calibrating.

    At least one of each; a single image is both, since there is no other.
    """
    order = context.rng("validation").permutation(count)
    kept = min(max(round(fraction * count), 1), count - 1)
    if count == 1:
        return [0], [0]
    return sorted(order[kept:].tolist()), sorted(order[:kept].tolist())
