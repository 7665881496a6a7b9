"""Student-teacher methods: training steps with cached teacher features, and cost per image.

    python tests/speed/student_teacher.py [--backbone resnet18] [--side 256] [--steps 4]

On random pixels and random weights (neither changes the time) and in one process:

- training steps per second of STFPM, RD4AD and SimpleNet at their papers' batch sizes, with the
  backbone's features in the cache and with the cache switched off, alternating, median of all steps
  but each fit's first,
- seconds per image and bytes kept of the student-teacher methods beside SPADE and PaDiM, as a
  record's cost block has them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from tabulate import tabulate

from benchmark import Context, Geometry
from benchmark.data.loading import ImageSet
from benchmark.features.cache import FrozenFeatures
from benchmark.features.weights import WeightsFrom
from benchmark.machine import choose_device
from benchmark.plugins.registry import Registry
from benchmark.runner import cost

T = TypeVar("T")
TRAINED = (("stfpm", "student", 32), ("rd4ad", "decoder", 16), ("simplenet", "discriminator", 8))
"""Methods, the title of their loop, images of a step."""


class StepTimes:
    """Progress that times the steps of the loop with this title, the first left out."""

    def __init__(self, title: str, device: torch.device) -> None:
        self.title, self.device = title, device
        self.seconds: list[float] = []

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        for i, item in enumerate(items):
            start = time.perf_counter()
            yield item
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            if title == self.title and i > 0:
                self.seconds.append(time.perf_counter() - start)


def new_context(given: argparse.Namespace, *, cached: bool = True) -> Context:
    device = choose_device(given.device)
    features = FrozenFeatures(WeightsFrom(mode="random"), device, keep=cached)
    return Context(features, Geometry(resize=given.side), device=device)


def random_images(count: int, side: int) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 255, (count, side, side, 3), np.uint8)
    return ImageSet(pixels, [str(i) for i in range(count)])


def training_rows(given: argparse.Namespace) -> list[list[Any]]:
    """Method, batch, seconds per step cached and not, gain."""
    rows = []
    for name, title, batch in TRAINED:
        settings: dict[str, Any] = {"backbone": given.backbone, "batch": batch, "epochs": 1}
        if name == "simplenet":
            settings |= {"width": 384, "hidden": 256}  # the records' heads; the paper's are wider
        if name == "stfpm":
            settings["validation"] = 1e-6  # a single image, so that the epoch's end costs nothing
        images = random_images(batch * given.steps + (name == "stfpm"), given.side)
        cls = Registry().method(name)[0]
        warm = new_context(given)
        for part in images.batches(16):
            warm.features(part, cls(**settings).needs()[0])
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(given.rounds):
            for cached in (True, False):
                context = warm if cached else new_context(given, cached=False)
                context.progress = times = StepTimes(title, context.device)
                cls(**settings).fit(images, context)
                seconds[cached] += times.seconds
        on, off = statistics.median(seconds[True]), statistics.median(seconds[False])
        rows.append([name, batch, len(seconds[True]), 1 / on, 1 / off, off / on])
    return rows


def cost_rows(given: argparse.Namespace) -> list[list[Any]]:
    """Method, seconds per image alone and in a batch, megabytes kept and of the backbone."""
    backbone = given.backbone
    students = {"teacher": "random", "fields": (65,), "steps": 1}
    methods: list[tuple[str, dict[str, Any], str]] = [
        ("spade", {"backbone": backbone, "descriptor": 3}, backbone),
        ("padim", {"backbone": backbone}, backbone),
        ("stfpm", {"backbone": backbone, "epochs": 1, "batch": 8}, backbone),
        ("rd4ad", {"backbone": backbone, "epochs": 1, "batch": 8}, backbone),
        ("uninformed_students", {**students, "stride": 4}, "p = 65, every 4th pixel"),
    ]
    if given.dense:
        methods.append(("uninformed_students", students, "p = 65, every pixel"))
    rows = []
    images = random_images(given.images, given.side)
    for name, settings, note in methods:
        context = new_context(given)
        detector = Registry().method(name)[0](**settings).fit(images, context)
        with torch.no_grad():
            found = cost.latency(detector, images, context)
        kept = cost.stored_bytes(detector, context)
        rows.append(
            [
                name,
                note,
                found["latency_batch_1_seconds"],
                found["latency_batch_n_seconds"],
                found["latency_batch_n"],
                kept["stored_bytes"] / 1e6,
                kept["backbone_bytes"] / 1e6,
            ]
        )
    return rows


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4, help="per fit")
    parser.add_argument("--rounds", type=int, default=2, help="fits per side of the comparison")
    parser.add_argument("--images", type=int, default=16, help="to fit and score for the costs")
    parser.add_argument("--dense", action="store_true", help="describe every pixel, too (slow)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    headers = ["method", "batch", "steps timed", "steps/s cached", "steps/s not", "gain"]
    print(tabulate(training_rows(given), headers, floatfmt=".3g"))
    headers = ["method", "", "s/image alone", "s/image batch", "batch", "MB kept", "MB backbone"]
    print("\n" + tabulate(cost_rows(given), headers, floatfmt=".3g"))
    print(
        f"\n{torch.get_num_threads()} threads, {choose_device(given.device)}, torch "
        f"{torch.__version__}, {given.side} × {given.side} pixels; SPADE and PaDiM fitted on "
        f"{given.images} images (SPADE's bytes and time grow with them)"
    )


if __name__ == "__main__":
    main()
