"""IGD's training: images per second of both scales, beside a plain port of the same model.

    python tests/speed/igd.py [--device cpu] [--threads 1] [--steps 3] [--patches 64] [--images 8]

On random pixels and random weights (neither changes the time), alternating in one process, median
of all steps but the first. The plain port has the same networks and losses, written the obvious
way: the encoder runs in every step, upsampling and pooling are steps of their own, MS-SSIM is
pytorch-msssim's where it takes the size, encoder and decoder run once for their own step and once
more for the critic's. An image of the local scale is 225 patches.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import POOLED, Context, Geometry
from benchmark.data.loading import ImageSet
from benchmark.features.cache import FrozenFeatures
from benchmark.features.weights import WeightsFrom
from benchmark.machine import choose_device
from benchmark.methods.igd import Igd
from benchmark.methods.igd.gsvdd import Gsvdd
from benchmark.methods.igd.model import (
    MS_SSIM,
    ScaleModel,
    critic_loss,
    generator_losses,
    interpolated,
)
from benchmark.methods.igd.networks import LATENT, Critic, ImageNorm
from benchmark.methods.igd.resampling_conv import DoublingConv, HalvingConv
from benchmark.methods.igd.training import ScaleTraining
from benchmark.methods.igd.views import Views

PLACES = 225
PEAK = {
    "H100": {"float32": 67e12, "bfloat16": 989e12},
    "H200": {"float32": 67e12, "bfloat16": 989e12},
}
"""Floating-point operations per second that the maker gives, dense."""


class PlainDoubling(nn.Module):
    """Nearest-neighbour upsampling, then the convolution."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return nn.Conv2d.forward(self.conv, F.interpolate(x, scale_factor=2.0, mode="nearest"))


class PlainHalving(nn.Module):
    """The convolution, then the mean of every 2 × 2."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(nn.Conv2d.forward(self.conv, x), 2)


class PlainNorm(nn.Module):
    """Layer normalisation with parameters (C, H, W)."""

    def __init__(self, norm: ImageNorm) -> None:
        super().__init__()
        height, width, channels = norm.normalized_shape
        self.norm = nn.LayerNorm((channels, height, width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x)
        return out


PLAIN: dict[type[nn.Module], Any] = {
    DoublingConv: PlainDoubling,
    HalvingConv: PlainHalving,
    ImageNorm: PlainNorm,
}


def made_plain(module: nn.Module) -> nn.Module:
    """The module with every fast layer replaced, in place, in the default memory layout."""
    for name, child in module.named_children():
        kind = PLAIN.get(type(child))
        setattr(module, name, made_plain(child) if kind is None else kind(child))
    return module.to(memory_format=torch.contiguous_format)


class PlainTraining:
    """The steps of a plain port.

    Args:
        model, critic: of this scale, made plain.
        encode: pixels in [0, 1] and normalised to features.
        context: device and precision.
    """

    def __init__(self, model: ScaleModel, critic: Critic, encode: Any, context: Context) -> None:
        self.model, self.critic, self.encode, self.context = model, critic, encode, context
        self.generator_adam = torch.optim.Adam(model.trained(), 1e-4, weight_decay=1e-6)
        self.critic_adam = torch.optim.Adam(critic.parameters(), 1e-4)

    def step(self, pixels: Tensor, x: Tensor) -> None:
        codes, rebuilt, between, alpha = self._decode(pixels, x)
        with self.context.autocast():
            guess = self.critic(between)
        parts = generator_losses(self.model, x, rebuilt, codes, guess)
        self.generator_adam.zero_grad()
        torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
        self.generator_adam.step()
        with torch.no_grad():
            _, rebuilt, between, alpha = self._decode(pixels, x)
        with self.context.autocast():
            guess = self.critic(between)
            on_blend = self.critic(torch.lerp(rebuilt.float(), x, 0.2))
        self.critic_adam.zero_grad()
        loss = critic_loss(guess, alpha, on_blend, published=False)
        loss.backward()
        self.critic_adam.step()

    def _decode(self, pixels: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        with self.context.autocast():
            with torch.no_grad():
                features = self.encode(pixels, x)
            codes = self.model.code(features).float()
            alpha = torch.rand(len(x), device=x.device) / 2
            mixed = interpolated(codes, alpha)
            return codes, self.model.decoder(codes), self.model.decoder(mixed), alpha


def new_context(given: argparse.Namespace) -> Context:
    device = choose_device(given.device)
    features = FrozenFeatures(WeightsFrom(mode="random"), device)
    return Context(features, Geometry(), device=device, precision=given.precision)


def new_model(detector: Igd, scale: str, context: Context) -> ScaleModel:
    side, width = (256, detector_width(detector, context)) if scale == "global" else (32, 512)
    model = ScaleModel(scale, (side, side), width, Gsvdd(LATENT))
    return model.to(context.device)


def detector_width(detector: Igd, context: Context) -> int:
    backbone = context.backbone(detector.backbone)
    return backbone(torch.zeros(1, 3, 64, 64), (POOLED,))[0].shape[1]


def fast_step(detector: Igd, scale: str, batch: int, context: Context) -> Any:
    """A function that takes one step of the method's own training, features kept."""
    pixels = np.random.default_rng(0).integers(0, 255, (max(4, batch), 256, 256, 3), np.uint8)
    if scale == "local":
        pixels = pixels[:4]
    images = ImageSet(pixels, [str(i) for i in range(len(pixels))])
    model = new_model(detector, scale, context)
    places = -(-batch // len(pixels)) if scale == "local" else None
    views = Views(images, model.sides, 16 if scale == "local" else 1, places, True, context)
    if scale == "global":
        views.keep_given(
            [torch.randn(len(views), model.code.in_features, device=context.device)] * 2
        )
    else:
        views.keep(model.body, model.code.in_features)
    training = ScaleTraining(model, views, detector._schedule(scale, False), context)
    training.e_step(0)
    return lambda i: training.step(np.arange(batch), i)


def plain_step(detector: Igd, scale: str, batch: int, context: Context) -> Any:
    """A function that takes one step of the plain port."""
    model = new_model(detector, scale, context)
    critic = Critic(scale, model.sides).to(context.device)
    made_plain(model)
    made_plain(critic)
    model.to(context.device).train()
    critic.to(context.device)
    if model.body is not None:
        model.body.eval()
    backbone = context.backbone(detector.backbone)

    def encode(pixels: Tensor, x: Tensor) -> Tensor:
        if model.body is not None:
            out: Tensor = model.body(x)
            return out
        return backbone(pixels, (POOLED,))[0]

    if scale == "global":
        import pytorch_msssim

        similarity = pytorch_msssim.MS_SSIM(
            data_range=4.7579, size_average=False, weights=list(MS_SSIM[scale][0])
        )
        model.similarity.forward = lambda x, y: similarity(x, y.float())
    training = PlainTraining(model, critic, encode, context)
    pixels = torch.rand(batch, 3, *model.sides, device=context.device)
    return lambda i: training.step(pixels, (pixels - 0.45) / 0.225)


def timed(step: Any, number: int, device: torch.device) -> float:
    start = time.perf_counter()
    step(number)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def flops(step: Any) -> int:
    """Multiplications and additions of a step's convolutions and matrix products."""
    from torch.utils.flop_counter import FlopCounterMode

    counter: AbstractContextManager[Any] = FlopCounterMode(display=False)
    with counter as found:
        step(0)
    return int(found.get_total_flops())


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--steps", type=int, default=3, help="timed, per scale and way")
    parser.add_argument("--patches", type=int, default=64, help="per step of the local scale")
    parser.add_argument("--images", type=int, default=8, help="per step of the global scale")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    context = new_context(given)
    detector = Igd(backbone=given.backbone)
    rows = []
    for scale, batch in (("local", given.patches), ("global", given.images)):
        ways = {
            "kept": fast_step(detector, scale, batch, context),
            "plain": plain_step(detector, scale, batch, context),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for i in range(given.steps + 1):
            for name, step in ways.items():
                spent = timed(step, i, context.device)
                if i:
                    seconds[name].append(spent)
        fast, plain = (statistics.median(seconds[name]) for name in ("kept", "plain"))
        images = batch / PLACES if scale == "local" else batch
        work = {name: flops(step) for name, step in ways.items()}
        rows.append(
            [scale, batch, 1 / fast, images / fast, images / plain, plain / fast]
            + [work["kept"] / 1e9, work["plain"] / 1e9, share_of_peak(work["kept"] / fast, context)]
        )
    headers = ["scale", "batch", "steps/s", "images/s", "plain", "gain"]
    headers += ["GFLOP/step", "plain", "% of peak"]
    print(tabulate(rows, headers, floatfmt=".3g", missingval="-"))
    print(
        f"\n{torch.get_num_threads()} threads, {context.device}, {given.precision}, torch "
        f"{torch.__version__}; {given.steps} steps each, alternating"
    )


def share_of_peak(rate: float, context: Context) -> float | None:
    """Percent of the GPU's published rate, or None where that is not known."""
    if context.device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(context.device)
    known = [peaks[context.precision] for model, peaks in PEAK.items() if model in name]
    return 100 * rate / known[0] if known else None


if __name__ == "__main__":
    main()
