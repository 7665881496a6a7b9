"""What a GPU makes of the learned methods: rates, share of its peak, memory, gain of kept features.

    python tests/speed/gpu.py [--methods stfpm rd4ad ...] [--side 256] [--steps 60] [--tiny]

Per method, on noise and random weights (neither changes the time) and in one process: training steps
and images per second, operations per second of the networks that are trained as a share of a matrix
product's on the same device, peak memory of the device (of the process without a GPU), and how much
faster the steps are than with pixels and features that stay in memory and are computed anew. ``--tiny``
takes a few small steps, to try the program on a CPU; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from tabulate import tabulate
from torch.utils.flop_counter import FlopCounterMode

from benchmark import Context, Geometry, machine
from benchmark.data.loading import DEVICE_SHARE, ImageSet
from benchmark.features.cache import FrozenFeatures
from benchmark.features.weights import WeightsFrom
from benchmark.plugins.registry import Registry

T = TypeVar("T")


class Job(NamedTuple):
    """A method's settings here, the title of the loop that is timed, and its images per step."""

    settings: dict[str, Any]
    title: str
    batch: int


JOBS = {
    "stfpm": Job({"backbone": "resnet18", "batch": 32}, "student", 32),
    "rd4ad": Job({"backbone": "resnet18", "batch": 16}, "decoder", 16),
    "igd": Job(
        {"scales": ("global",), "backbone": "squeezenet1_1", "batch": 64}, "global model", 64
    ),
    "igd_local": Job({"scales": ("local",), "encoder": "random", "batch": 64}, "local model", 64),
    "dsr": Job({"vqvae": "colours", "batch": 8}, "restoration", 8),
    "uninformed_students": Job({"teacher": "random", "stride": 4, "batch": 1}, "students", 1),
}


class Stop(Exception):
    """Enough steps have been taken."""


class Steps:
    """Progress that times the steps of one loop, and ends the fit after so many.

    Only the whole is timed: to wait for the device at every step would change what is measured.
    """

    def __init__(self, title: str, steps: int, device: torch.device) -> None:
        self.title, self.steps, self.device = title, steps, device
        self.operations = 0
        self.seconds = 0.0

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        if title != self.title:
            yield from items
            return
        start = 0.0
        for i, item in enumerate(items):
            if i == 1:  # the first warms up
                with FlopCounterMode(display=False) as counter:
                    yield item
                self.operations = counter.get_total_flops()
                continue
            yield item
            if i in (0, 1 + self.steps // 10):
                machine.wait(self.device)
                start = time.perf_counter()
                first = i
            if i == 1 + self.steps // 10 + self.steps:
                machine.wait(self.device)
                self.seconds = (time.perf_counter() - start) / (i - first)
                raise Stop


def product_rate(device: torch.device, side: int, dtype: torch.dtype) -> float:
    """Operations per second of a matrix product, median of five."""
    a = torch.rand(side, side, device=device, dtype=dtype)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        a @ a
        machine.wait(device)
        times.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(times[1:])


def noise(count: int, side: int) -> ImageSet:
    """Images of noise."""
    pixels = np.random.default_rng(0).integers(0, 255, (count, side, side, 3), np.uint8)
    return ImageSet(pixels, [str(i) for i in range(count)])


def timed(name: str, job: Job, given: argparse.Namespace, *, kept: bool) -> Steps:
    """Fit until enough steps are timed, with features kept on the device or not kept at all."""
    device = machine.choose_device(given.device)
    features = FrozenFeatures(WeightsFrom(mode="random"), device, keep=kept)
    steps = Steps(job.title, given.steps, device)
    context = Context(
        features,
        Geometry(resize=given.side),
        device=device,
        precision=given.precision,
        progress=steps,
    )
    room = int(DEVICE_SHARE * machine.device_memory(device)) if kept else 0
    images = noise(given.images, given.side).on(device, room)
    rounds = 2 + 2 * given.steps * job.batch // given.images
    longer = {"steps": None} if name == "uninformed_students" else {}
    cls: Any = Registry().method(name.partition("_local")[0])[0]
    detector = cls(**job.settings, epochs=max(rounds, 4), **longer)
    machine.reset_peak_memory(device)
    try:
        detector.fit(images, context)
    except Stop:
        return steps
    raise SystemExit(f"{name}: the fit ended before {given.steps} steps were timed")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--steps", type=int, default=60, help="timed, after a tenth of them")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    side = 8192
    if given.tiny:
        given.side, given.images, given.steps, side = 64, 8, 2, 512
    device = machine.choose_device(given.device)
    rate = product_rate(device, side, getattr(torch, given.precision))
    rows = []
    for name in given.methods:
        job = JOBS[name]
        if given.tiny:
            batch = min(job.batch, 4)
            job = job._replace(settings={**job.settings, "batch": batch}, batch=batch)
        kept = timed(name, job, given, kept=True)
        memory = machine.peak_memory(device)
        anew = timed(name, job, given, kept=False)
        rows.append(
            [
                *(name, job.batch, 1 / kept.seconds, job.batch / kept.seconds),
                kept.operations / kept.seconds / rate,
                (memory["peak_gpu_bytes"] or memory["peak_bytes"] or 0) / 1e9,
                anew.seconds / kept.seconds,
            ]
        )
        print(*rows[-1], flush=True)
    head = ["method", "batch", "steps/s", "images/s", "of peak", "GB", "gain of keeping"]
    print(tabulate(rows, head, floatfmt=".3g"))
    print(
        f"{machine.device_name(device)}, torch {torch.__version__}, {given.precision}, {given.side} "
        f"× {given.side} pixels; a matrix product: {rate / 1e12:.2f} Tera-operations per second"
    )


if __name__ == "__main__":
    main()
