"""PatchCore's choice of a coreset beside a step-by-step loop over all descriptors.

    python tests/speed/coreset.py --data-root DATA --weights-dir WEIGHTS [--category bottle]
        [--share 0.01] [--steps 100]

Projects a category's descriptors as PatchCore does (ResNet-18, 224 of 256 pixels) and prints wall and
processor seconds for the whole coreset, and for so many steps of a loop that reads all descriptors
in each step, scaled up to the whole; and whether both choose the same.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark import Context, Geometry
from benchmark.data.loading import ImageSet, decode_samples, hash_category
from benchmark.detector.context import Quiet
from benchmark.features.weights import WeightsFrom
from benchmark.methods._parts.coreset import farthest_first
from benchmark.plugins.registry import Registry


def step_by_step(points: Tensor, count: int, starts: Tensor) -> list[int]:
    """One product of all points with the one chosen last per step, the minimum kept in place."""
    points = points - points.mean(0)
    norms = points.square().sum(1)
    far = torch.stack([(points - points[s]).norm(dim=1) for s in starts.tolist()]).mean(0).square_()
    chosen: list[int] = []
    distances = torch.empty_like(far)
    for _ in range(count):
        chosen.append(int(far.argmax()))
        torch.addmv(norms, points, points[chosen[-1]], alpha=-2, out=distances)
        torch.minimum(far, distances.add_(norms[chosen[-1]]), out=far)
    return chosen


def timed(what: str, scale: float, function: Any, *arguments: Any) -> Any:
    wall, cpu = time.perf_counter(), time.process_time()
    out = function(*arguments)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what}: {wall * scale:.1f} s, {cpu * scale:.1f} processor seconds")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--weights-dir", type=Path, required=True)
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    geometry = Geometry(resize=256, crop=224)
    category = Registry().dataset("mvtec")(given.data_root / "mvtec").category(given.category)
    pixels = decode_samples(category.train, [geometry], given.threads)[geometry]
    train = ImageSet(pixels, hash_category(category, given.threads).train)
    context = Context.alone(geometry=geometry, weights=WeightsFrom(given.weights_dir))
    patchcore: Any = Registry().method("patchcore")[0]
    points = patchcore(backbone="resnet18")._projected(train, context)
    starts = torch.arange(10) * (len(points) // 10)
    count = int(len(points) * given.share)
    print(f"{len(points)} descriptors, {count} chosen, {given.threads} threads")
    ours = timed("candidates", 1, farthest_first, points, count, starts, Quiet())
    steps = min(given.steps, count)
    plain = timed(f"all, {steps} steps scaled", count / steps, step_by_step, points, steps, starts)
    print(f"the first {steps} are the same: {ours[:steps].tolist() == plain}")


if __name__ == "__main__":
    main()
