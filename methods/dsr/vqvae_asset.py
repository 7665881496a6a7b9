"""The general VQ-VAE of DSR as an asset: trained here on natural images, or the official one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import Asset, Context, Images, State, Training, seeded, split_off
from benchmark.errors import AssetError

from .._parts.crops import random_crops
from .vqvae import STRIDE_LO, WIDTH, Quantiser, VqVae, as_rows, straight_through
from .vqvae_official import find_official, load_official

LOOKS = 20
"""Times that reconstructions and use of the codes are looked at during a training."""
LOOKED_AT, SHOWN = 32, 8
"""Held-out photographs that are measured, and of these shown."""
REVIVE_AFTER = 16
"""A code that none of the last 16 K features chose gets another place."""
EPSILON = 1e-5


class GeneralVqVae(Asset):
    """The general quantised model that DSR keeps frozen: trained once, for all categories.

    Paper: Zavrtanik, Kristan and Skočaj, "DSR - A Dual Subspace Re-Projection Network for Surface
    Anomaly Detection", ECCV 2022, after Razavi et al., "Generating Diverse High-Fidelity Images with
    VQ-VAE-2", NeurIPS 2019. The authors trained it on ImageNet and published weights but no
    training code: with ``official`` these weights are read from the weights folder, and the images
    only measure them. Otherwise it is trained here; without ImageNet that is not the published
    method, so the record says which one was used.

    Codes follow their features by moving averages. Two additions make short trainings possible: the
    first ``warm_up`` steps (at most a tenth) train without quantisation, then codes start on
    features; and codes that nothing uses move to features of the current images (``revive``), except
    in the last tenth of the training.

    Beside the asset lies a PNG with held-out photographs (above) and their reconstructions (below).

    Args:
        official: use the published weights.
        codes: per level.
        steps, batch, learning_rate: of Adam.
        crop: side of the random windows of the 256 × 256 photographs that are trained on.
        commitment: weight of the features' distance to their codes.
        decay: of the codes' moving averages.
        warm_up: steps without quantisation.
        revive: whether unused codes move.
        held_out: fraction of the photographs that are not trained on.
    """

    name = "vqvae"

    def __init__(
        self,
        *,
        official: bool = False,
        codes: int = 4096,
        steps: int = 100_000,
        batch: int = 32,
        learning_rate: float = 2e-4,
        crop: int = 256,
        commitment: float = 0.25,
        decay: float = 0.99,
        warm_up: int = 500,
        revive: bool = True,
        held_out: float = 0.02,
    ) -> None:
        self.official = official
        self.codes = codes
        self.steps = steps
        self.batch = batch
        self.learning_rate = learning_rate
        self.crop = crop
        self.commitment = commitment
        self.decay = decay
        self.warm_up = warm_up
        self.revive = revive
        self.held_out = held_out
        if min(codes, steps, batch) < 1 or learning_rate <= 0 or warm_up < 0:
            raise AssetError(
                f"vqvae: codes is {codes}, steps {steps}, batch {batch}, learning_rate "
                f"{learning_rate}, warm_up {warm_up}; all must be positive (warm_up may be 0)"
            )
        if not 0 < decay < 1 or not 0 < held_out < 1:
            raise AssetError(
                f"vqvae: decay is {decay}, held_out {held_out}; allowed is between 0 and 1"
            )
        if crop % STRIDE_LO or not STRIDE_LO <= crop <= self.size:
            raise AssetError(
                f"vqvae: crop is {crop}; allowed are multiples of {STRIDE_LO} up to {self.size}"
            )

    def build(self, images: Images, context: Context) -> State:
        if self.official:
            return self._imported(images, context)
        with seeded(context, self.name):
            model = VqVae(self.codes)
        followers = self.followers()
        networks = nn.ModuleDict({"model": model, "followers": followers}).to(context.device)
        taught, held = split_off(context, len(images), self.held_out)
        training = Training(
            context,
            networks,
            torch.optim.Adam(model.parameters(), self.learning_rate),
            title=self.name,
            images=len(taught),
            batch=min(self.batch, len(taught)),
            epochs=self.steps,
            steps=self.steps,
            remedy=f"lower the learning rate: --set vqvae.learning_rate={self.learning_rate / 4:g}",
        )
        looks = max(self.steps // LOOKS, 1)
        facts: dict[str, Any] = {}
        for indices in training:
            step = training.done
            generator = context.generator(f"step {step}")
            pixels = images.batch([taught[i] for i in indices]).pixels
            pixels = random_crops(pixels, self.crop, generator).to(context.device)
            with context.autocast():
                loss = self.loss(model, followers, pixels, step, generator)
            training.learn(loss)
            begun = step >= self._start  # before, codes mean nothing yet
            if begun and ((step + 1) % looks == 0 or step + 1 == self.steps):
                facts = self._look(model, followers, images, held, context, step + 1)
        return State(
            {k: v.detach().cpu() for k, v in model.state_dict().items()},
            {
                "origin": "trained",
                "trained_on": len(taught),
                "held_out": len(held),
                **training.facts(),
                **facts,
            },
        )

    def followers(self, width: int = WIDTH) -> nn.ModuleDict:
        """Make moving averages for the codes of both levels."""
        return nn.ModuleDict({k: Follower(self.codes, self.decay, width) for k in ("lo", "hi")})

    @property
    def _start(self) -> int:
        """The first step that quantises."""
        return min(self.warm_up, self.steps // 10)

    def loss(
        self,
        model: VqVae,
        followers: nn.ModuleDict,
        pixels: Tensor,
        step: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Compute the reconstruction error, in shares of the pixels' variance, plus commitment.

        Also moves the codes: call it once per step, from 0.
        """
        start = self._start
        gaps = []

        def level(name: str, features: Tensor) -> Tensor:
            if step < start:
                return features
            quantiser = cast(Quantiser, getattr(model, f"quantiser_{name}"))
            follower = cast(Follower, followers[name])
            rows = as_rows(features.detach().float())
            if step == start:
                follower.start(quantiser, rows, generator)
            indices = quantiser.nearest(features)
            codes = quantiser.look_up(indices)
            gaps.append((features.float() - codes).square().mean())
            follower.follow(quantiser, rows, indices.flatten())
            every = -(-REVIVE_AFTER * self.codes // len(rows))
            if self.revive and (step - start + 1) % every == 0 and step < 0.9 * self.steps:
                follower.revive(quantiser, rows, generator)
            return straight_through(features, codes)

        fine, lo = model.encode(pixels)
        q_lo = level("lo", lo)
        q_hi = level("hi", model.features_hi(fine, q_lo))
        error = (model.decode(q_lo, q_hi).float() - pixels).square().mean() / pixels.var()
        return error + self.commitment * sum(gaps, torch.zeros((), device=pixels.device))

    def _look(
        self,
        model: VqVae,
        followers: nn.ModuleDict,
        images: Images,
        held: Sequence[int],
        context: Context,
        step: int,
    ) -> dict[str, Any]:
        """Measure, keep as curves, draw and print: how well it reconstructs, which codes it uses."""
        psnr, shown = reconstruct(model, images, held, context)
        facts: dict[str, Any] = {"psnr": psnr}
        for name in ("lo", "hi"):
            follower = cast(Follower, followers[name])
            facts |= {f"{k}_{name}": v for k, v in use(follower.uses).items()}
            follower.uses.zero_()
        for name, value in facts.items():
            context.meters.add(name, step, value)
        self._report(f"step {step} of {self.steps}", facts, shown, context)
        return facts

    def _imported(self, images: Images, context: Context) -> State:
        """Load the official weights, and measure what they make of the images."""
        path = find_official(context.weights_dir)
        model = load_official(path).to(context.device)
        if model.quantiser_lo.codes.shape[0] != self.codes:
            raise AssetError(
                f"vqvae: {path} has {model.quantiser_lo.codes.shape[0]} codes, codes is "
                f"{self.codes}; set them equal"
            )
        uses = {name: torch.zeros(self.codes) for name in ("lo", "hi")}
        psnr, shown = reconstruct(model, images, range(len(images)), context, uses)
        facts: dict[str, Any] = {"psnr": psnr}
        for name, counts in uses.items():
            facts |= {f"{k}_{name}": v for k, v in use(counts).items()}
        self._report(f"official, {path.name}", facts, shown, context)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        facts |= {"origin": "official", "file": path.name, "file_sha256": sha256}
        return State({k: v.cpu() for k, v in model.state_dict().items()}, facts)

    def _report(
        self, what: str, facts: dict[str, Any], shown: Image.Image, context: Context
    ) -> None:
        parts = [
            f"{k}: perplexity {facts[f'perplexity_{k}']:.0f}, {facts[f'dead_{k}']} of "
            f"{self.codes} codes dead"
            for k in ("lo", "hi")
        ]
        line = f"{what}: PSNR {facts['psnr']:.2f} dB, {'; '.join(parts)}"
        # a build runs on the command line alone, whose bars let lines pass above them
        print(f"{self.name}: {line}", flush=True)
        if context.assets_dir is not None:
            ImageDraw.Draw(shown).text((4, 2), line, fill=(0, 0, 0))
            path = self.path(context.assets_dir).with_suffix(".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            _save(shown, path)


class Follower(nn.Module):
    """Moving averages that a codebook follows (van den Oord et al. 2017, appendix A.1).

    Attributes:
        counts: (K,) features per code and step.
        sums: (K, D) their sums.
        uses: (K,) features per code since somebody looked.
        recent: (K,) features per code since the last :meth:`revive`.
    """

    counts: Tensor
    sums: Tensor
    uses: Tensor
    recent: Tensor

    def __init__(self, codes: int, decay: float, width: int = WIDTH) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, width))
        self.register_buffer("uses", torch.zeros(codes))
        self.register_buffer("recent", torch.zeros(codes))

    @torch.no_grad()
    def start(self, quantiser: Quantiser, rows: Tensor, generator: torch.Generator) -> None:
        """Put every code onto one of the features (N, D)."""
        quantiser.codes.copy_(rows[_picks(rows, len(self.counts), generator)])
        self.counts.fill_(rows.shape[0] / len(self.counts))
        self.sums.copy_(quantiser.codes * self.counts[:, None])

    @torch.no_grad()
    def follow(self, quantiser: Quantiser, rows: Tensor, indices: Tensor) -> None:
        """Move codes towards the mean of their features.

        Args:
            quantiser: its codes are changed.
            rows: float32 (N, D).
            indices: int64 (N,), the code of each.
        """
        found = torch.zeros_like(self.counts).index_add_(0, indices, torch.ones_like(rows[:, 0]))
        sums = torch.zeros_like(self.sums).index_add_(0, indices, rows)
        self.uses += found
        self.recent += found
        self.counts.lerp_(found, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        # Laplace smoothing, kept like the official code keeps it: no division by zero
        total = self.counts.sum()
        self.counts.add_(EPSILON).mul_(total / (total + len(self.counts) * EPSILON))
        quantiser.codes.copy_(self.sums / self.counts[:, None])

    @torch.no_grad()
    def revive(self, quantiser: Quantiser, rows: Tensor, generator: torch.Generator) -> None:
        """Move codes unused since the last call to features of the current images."""
        mean = self.counts.mean()
        dead = self.recent == 0
        fresh = rows[_picks(rows, len(self.counts), generator)]
        self.counts.copy_(torch.where(dead, mean, self.counts))
        self.sums.copy_(torch.where(dead[:, None], fresh * mean, self.sums))
        quantiser.codes.copy_(torch.where(dead[:, None], fresh, quantiser.codes))
        self.recent.zero_()


def use(counts: Tensor) -> dict[str, float | int]:
    """Measure perplexity (as how many equally used codes) and the number of codes never used.

    >>> use(torch.tensor([4.0, 4.0, 0.0]))
    {'perplexity': 2.0, 'dead': 1}
    """
    share = counts.double() / counts.sum().clamp(min=1)
    entropy = -torch.xlogy(share, share).sum()
    return {
        "perplexity": round(math.exp(float(entropy)), 1),
        "dead": int((counts == 0).sum()),
    }


@torch.no_grad()
def reconstruct(
    model: VqVae,
    images: Images,
    indices: Sequence[int],
    context: Context,
    uses: dict[str, Tensor] | None = None,
) -> tuple[float, Image.Image]:
    """Measure the mean PSNR over the first ``LOOKED_AT`` of the images, and draw the first
    ``SHOWN``.

    Args:
        uses: ``lo`` and ``hi``, (K,) on the CPU, that the chosen codes are counted in.
    """
    ratios: list[float] = []
    pairs: list[Tensor] = []
    for index in indices[:LOOKED_AT]:
        pixels = images.batch([index]).pixels.to(context.device)
        seen = model.quantise(pixels)
        out = model.decode(seen.q_lo, seen.q_hi).clamp(0, 1)
        ratios.append(-10 * math.log10(max(float(F.mse_loss(out, pixels)), 1e-10)))
        if len(pairs) < SHOWN:
            pairs.append(torch.cat([pixels, out], 2)[0])
        if uses is not None:
            for name, found in (("lo", seen.at_lo), ("hi", seen.at_hi)):
                uses[name] += torch.bincount(found.flatten().cpu(), minlength=len(uses[name]))
    wall = (torch.cat(pairs, 2).permute(1, 2, 0) * 255).round().byte().cpu().numpy()
    caption = np.full((16, *wall.shape[1:]), 255, np.uint8)
    return sum(ratios) / len(ratios), Image.fromarray(np.concatenate([caption, wall]))


def _picks(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(rows.shape[0], (count,), generator=generator).to(rows.device)


def _save(image: Image.Image, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.part")
    image.save(temporary, "png")
    temporary.replace(path)
