"""Steps and scores of methods that rebuild images, beside plain ports of the same.

    python tests/speed/learned.py [--threads 1] [--steps 5] [--side 256]

On random pixels and random weights (neither changes the time), alternating in one process, median of
all rounds but the first. What is shared and what the ports do instead:

- ``riad``, a training step: the three thirds of all images are painted in one pass, and masks are made
  at once; the port makes masks square by square and paints third by third, with pytorch-msssim's
  similarity and a gradient magnitude by convolutions.
- ``ssim_ae``, a training step: network and similarity keep channels last; the port has the default
  layout and pytorch-msssim.
- ``ssim_ae_grey``, the same with images of one channel, whose similarity is computed as that of one image
  of as many channels.
- ``deep_svdd``, a step of pre-training on 200 digits: the networks keep channels last, the port has the
  default layout.
- ``ssim_ae``, scoring a texture: 64 crops go through the network at once; the port takes crop by crop.

Backbone features that are kept from epoch to epoch (``simplenet``) are in student_teacher.py.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pytorch_msssim import ssim
from tabulate import tabulate
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import Batch, Context, Geometry
from benchmark.data.loading import ImageSet
from benchmark.methods._parts.crops import fold
from benchmark.methods._parts.reconstruction import CROP, STRIDE
from benchmark.methods.deep_svdd.networks import LeNetAutoEncoder
from benchmark.methods.riad import Riad
from benchmark.methods.riad.painter import SETS, Painter, shared_out
from benchmark.methods.ssim_ae import SsimAe

Step = Callable[[], Any]


def learning(network: nn.Module, loss: Callable[[], Tensor]) -> Step:
    """A function that takes one step of Adam."""
    adam = torch.optim.Adam(network.parameters(), 1e-4)

    def step() -> None:
        adam.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        adam.step()

    return step


def plain_thirds(images: Tensor, side: int, rng: np.random.Generator) -> list[Tensor]:
    """Which pixels each third of the squares hides, square by square: three of (B, 1, H, W)."""
    count, _, height, width = images.shape
    out = np.zeros((SETS, count, 1, height, width), np.float32)
    columns = width // side
    for image in range(count):
        for place, square in enumerate(rng.permutation(height // side * columns)):
            top, left = square // columns * side, square % columns * side
            out[place % SETS, image, 0, top : top + side, left : left + side] = 1
    return list(torch.from_numpy(out))


def plain_steepness(images: Tensor) -> Tensor:
    """Gradient magnitude of the median-filtered mean channel, by convolutions."""
    grey = F.pad(images.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    height, width = images.shape[2:]
    grey = F.unfold(grey, 3).median(1).values.view(-1, 1, height, width)
    kernel = torch.tensor([[1.0, 0, -1]] * 3) / 3
    both = F.conv2d(
        F.pad(grey, (1, 1, 1, 1), mode="replicate"), torch.stack([kernel, kernel.T])[:, None]
    )
    steep: Tensor = (both.square().sum(1, keepdim=True) + 1e-12).sqrt()
    return steep


def plain_msgms(x: Tensor, y: Tensor) -> Tensor:
    """Average 1 - gradient magnitude similarity over four scales."""
    total = torch.zeros(())
    for scale in range(4):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        a, b = plain_steepness(x), plain_steepness(y)
        total = total + (1 - (2 * a * b + 0.0026) / (a**2 + b**2 + 0.0026)).mean() / 4
    return total


def riad(given: argparse.Namespace, context: Context) -> tuple[Step, Step]:
    images, side = torch.rand(4, 3, given.side, given.side), 8
    ours = Riad(width=given.width)
    ours.build()
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    port = Painter(given.width)

    def fast() -> Tensor:
        loss: Tensor = ours._loss(images, shared_out(images.shape, side, generator), context)
        return loss

    def plain() -> Tensor:
        painted = torch.zeros_like(images)
        for hidden in plain_thirds(images, side, rng):
            painted = painted + (port((2 * images - 1) * (1 - hidden)) + 1) / 2 * hidden
        alike: Tensor = ssim(images, painted, data_range=1.0)
        return 4 * F.mse_loss(painted, images) + plain_msgms(images, painted) + 1 - alike

    return learning(ours.painter_, fast), learning(port, plain)


def auto_encoders(side: int, channels: int = 3) -> tuple[SsimAe, nn.Module]:
    """Ours and a port's, the same network in the default layout."""
    ours = SsimAe()
    ours.inputs_ = {"sides": [side, side], "cropped": False, "channels": channels}
    ours.build()
    port = ours.network((side, side), channels)
    return ours, port.to(memory_format=torch.contiguous_format)


def ssim_ae(given: argparse.Namespace, context: Context, channels: int = 3) -> tuple[Step, Step]:
    images = torch.rand(given.batch, channels, given.side, given.side)
    ours, port = auto_encoders(given.side, channels)

    def plain() -> Tensor:
        rebuilt = port(images.contiguous()).contiguous()
        alike: Tensor = ssim(images, rebuilt, data_range=1.0)
        return 1 - alike

    generator = torch.Generator()
    return (
        learning(ours.network_, lambda: ours.loss(images, generator)),
        learning(port, plain),
    )


def ssim_ae_grey(given: argparse.Namespace, context: Context) -> tuple[Step, Step]:
    return ssim_ae(given, context, 1)


def deep_svdd(given: argparse.Namespace, context: Context) -> tuple[Step, Step]:
    images = torch.rand(200, 1, 28, 28)

    def rise(inside: int, outside: int, padding: int) -> list[nn.Module]:
        conv = nn.ConvTranspose2d(inside, outside, 5, padding=padding, bias=False)
        return [nn.LeakyReLU(), nn.Upsample(scale_factor=2.0), conv]

    def fall(inside: int, outside: int) -> list[nn.Module]:
        conv = nn.Conv2d(inside, outside, 5, padding=2, bias=False)
        return [conv, nn.BatchNorm2d(outside, 1e-4, affine=False), nn.LeakyReLU(), nn.MaxPool2d(2)]

    port = nn.Sequential(
        *(*fall(1, 8), *fall(8, 4), nn.Flatten(), nn.Linear(4 * 7 * 7, 32, bias=False)),
        *(nn.Unflatten(1, (2, 4, 4)), *rise(2, 4, 2), nn.BatchNorm2d(4, 1e-4, affine=False)),
        *(*rise(4, 8, 3), nn.BatchNorm2d(8, 1e-4, affine=False), *rise(8, 1, 2), nn.Sigmoid()),
    )

    def loss(network: nn.Module) -> Callable[[], Tensor]:
        return lambda: (network(images) - images).square().flatten(1).sum(1).mean()

    ours = LeNetAutoEncoder((28, 28), 1)
    return learning(ours, loss(ours)), learning(port, loss(port))


def ssim_ae_texture(given: argparse.Namespace, context: Context) -> tuple[Step, Step]:
    pixels = np.random.default_rng(0).integers(0, 255, (2, given.side, given.side, 3), np.uint8)
    ours = SsimAe(crops="always", batch=1, steps=1).fit(ImageSet(pixels, ["0", "1"]), context)
    batch = Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255, ("0", "1"))
    images = batch.pixels
    starts = range(0, given.side - CROP + 1, STRIDE)

    @torch.no_grad()
    def plain() -> Tensor:
        parts = [
            ours.errors(images[i : i + 1, :, top : top + CROP, left : left + CROP])
            for i in range(len(images))
            for top in starts
            for left in starts
        ]
        whole: Tensor = fold(torch.cat(parts), len(images), (given.side, given.side), STRIDE)
        return whole

    return lambda: ours.predict(batch, context), plain


CASES = {
    "riad, training step": riad,
    "ssim_ae, training step": ssim_ae,
    "ssim_ae, training step, grey": ssim_ae_grey,
    "deep_svdd, pre-training step": deep_svdd,
    "ssim_ae, scoring a texture": ssim_ae_texture,
}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8, help="of auto-encoders")
    parser.add_argument("--width", type=int, default=16, help="of RIAD's finest stage")
    parser.add_argument("--steps", type=int, default=5, help="rounds, the first left out")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    context = Context.alone(geometry=Geometry(resize=given.side))
    rows = []
    for name, case in CASES.items():
        seconds: tuple[list[float], list[float]] = ([], [])
        both = case(given, context)
        for _ in range(given.steps):
            for step, taken in zip(both, seconds, strict=True):
                start = time.perf_counter()
                step()
                taken.append(time.perf_counter() - start)
        ours, port = (statistics.median(taken[1:]) for taken in seconds)
        rows.append([name, ours, port, port / ours])
    print(tabulate(rows, ["", "s", "s, plain port", "gain"], floatfmt=".3g"))
    print(f"\n{torch.get_num_threads()} threads, torch {torch.__version__}, side {given.side}")


if __name__ == "__main__":
    main()
