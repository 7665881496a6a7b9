"""DSR: training steps per second of every phase, beside a direct implementation.

    python tests/speed/dsr.py [--side 256] [--batch 8] [--width 64] [--steps 4]

On random pixels, with a hand-made VQ-VAE of 4096 codes (neither changes the time much), in one
process, both sides alternating, median of all steps but each fit's first. The direct side quantises
by full distances, a one-hot matrix and its product with the codes, sorts out neighbours by a
``topk`` per image over the distances of every feature to every code, and averages codes by a product
with the one-hot matrix, as published code does. Networks, losses and data are the same on both.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor
from torch.nn import functional as F

from benchmark import Context, Geometry
from benchmark.data.loading import ImageSet
from benchmark.features.cache import FrozenFeatures
from benchmark.features.weights import WeightsFrom
from benchmark.machine import choose_device
from benchmark.methods.dsr import Dsr
from benchmark.methods.dsr.code_anomalies import SKIPPED
from benchmark.methods.dsr.vqvae import Quantiser, as_rows
from benchmark.methods.dsr.vqvae_asset import Follower, GeneralVqVae

T = TypeVar("T")
PHASES = ("vqvae", "restoration", "upsampling")


class StepTimes:
    """Progress that times the steps of each training, the first left out."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = {}

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        for i, item in enumerate(items):
            start = time.perf_counter()
            yield item
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            if i > 0:
                self.seconds.setdefault(title, []).append(time.perf_counter() - start)


def distances(rows: Tensor, codes: Tensor) -> Tensor:
    return rows.square().sum(1, keepdim=True) + codes.square().sum(1) - 2 * rows @ codes.T


@torch.no_grad()
def direct_nearest(self: Quantiser, features: Tensor) -> Tensor:
    found = distances(as_rows(features).float(), self.codes).argmin(1)
    batch, _, height, width = features.shape
    return found.view(batch, height, width)


def direct_look_up(self: Quantiser, indices: Tensor) -> Tensor:
    one_hot = torch.zeros(indices.numel(), len(self.codes), device=indices.device)
    one_hot.scatter_(1, indices.view(-1, 1), 1)
    found: Tensor = one_hot @ self.codes
    return found.view(*indices.shape, -1).movedim(-1, 1)


@torch.no_grad()
def direct_replaced(
    features: Tensor,
    nearest: Tensor,
    quantiser: Quantiser,
    strength: Tensor,
    generator: torch.Generator,
    table: Tensor | None,
) -> Tensor:
    count = len(quantiser.codes)
    out = []
    for image, share in zip(features, strength, strict=True):
        rows = image.flatten(1).T.float()
        reach = max(1, min(int(share * count) + 1, count - 1))
        near = distances(rows, quantiser.codes).topk(reach, dim=1, largest=False).indices
        near = near[:, int(SKIPPED * count) :]
        picks = torch.randint(near.shape[1], (len(rows), 1), generator=generator)
        chosen = near.gather(1, picks.to(near.device))[:, 0]
        out.append(quantiser.codes[chosen].T.view(image.shape))
    return torch.stack(out)


@torch.no_grad()
def direct_follow(self: Follower, quantiser: Quantiser, rows: Tensor, indices: Tensor) -> None:
    one_hot = F.one_hot(indices, len(self.counts)).float()
    self.uses += one_hot.sum(0)
    self.recent += one_hot.sum(0)
    self.counts.lerp_(one_hot.sum(0), 1 - self.decay)
    self.sums.lerp_(one_hot.T @ rows, 1 - self.decay)
    total = self.counts.sum()
    self.counts.add_(1e-5).mul_(total / (total + len(self.counts) * 1e-5))
    quantiser.codes.copy_(self.sums / self.counts[:, None])


def random_images(count: int, side: int) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 255, (count, side, side, 3), np.uint8)
    return ImageSet(pixels, [str(i) for i in range(count)])


def fit_once(given: argparse.Namespace, phases: tuple[str, ...]) -> dict[str, list[float]]:
    """Seconds of each step, per phase."""
    device = choose_device(given.device)
    times = StepTimes(device)
    with tempfile.TemporaryDirectory() as folder:
        context = Context(
            FrozenFeatures(WeightsFrom(mode="random"), device),
            Geometry(resize=given.side),
            device=device,
            precision=given.precision,
            progress=times,
            assets_dir=Path(folder),
        )
        if "vqvae" in phases:
            asset = GeneralVqVae(
                steps=given.steps, batch=given.batch, crop=given.side, warm_up=0, held_out=1e-6
            )
            with patch.object(GeneralVqVae, "_look", lambda *_: {}), redirect_stdout(StringIO()):
                asset.build(random_images(given.batch + 1, given.side), context)
        settings: dict[str, Any] = {"vqvae": "colours", "width": given.width}
        detector = Dsr(**settings, batch=given.batch, steps=given.steps, upsampling_epochs=100)
        detector.fit(random_images(given.batch, given.side), context)
    return times.seconds


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--width", type=int, default=64, help="of the category's networks")
    parser.add_argument("--steps", type=int, default=4, help="per fit and phase")
    parser.add_argument("--rounds", type=int, default=2, help="fits per side of the comparison")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    seconds: dict[tuple[str, bool], list[float]] = {}
    for _ in range(given.rounds):
        for direct in (False, True):
            with ExitStack() as stack:
                if direct:
                    for place, name, function in (
                        (Quantiser, "nearest", direct_nearest),
                        (Quantiser, "look_up", direct_look_up),
                        (Follower, "follow", direct_follow),
                    ):
                        stack.enter_context(patch.object(place, name, function))
                    stack.enter_context(patch("benchmark.methods.dsr.replaced", direct_replaced))
                for phase, steps in fit_once(given, PHASES).items():
                    seconds.setdefault((phase, direct), []).extend(steps)
    rows = []
    for phase in PHASES:
        ours, slow = (statistics.median(seconds[phase, side]) for side in (False, True))
        rows.append([phase, len(seconds[phase, False]), 1 / ours, 1 / slow, slow / ours])
    headers = ["training", "steps timed", "steps/s", "steps/s direct", "gain"]
    print(tabulate(rows, headers, floatfmt=".3g"))
    print(
        f"\n{torch.get_num_threads()} threads, {choose_device(given.device)}, torch "
        f"{torch.__version__}, {given.side} × {given.side} pixels, batch {given.batch}, width "
        f"{given.width}, {given.precision}"
    )


if __name__ == "__main__":
    main()
