"""What a cell costs beside its backbone pass, and SPADE beside its matrix products.

    python tests/speed/cells.py --data-root DATA --weights-dir WEIGHTS [--categories bottle screw]
        [--methods padim spade]

Runs PaDiM and SPADE together with one backbone under the protocol paper into a temporary folder and
prints, from their records and from measurements in the same process:

- backbone passes counted, against the number of images (latency probes apart),
- each cell's wall time without the probe, shared backbone time included, against a bare backbone
  pass over the same images (median of three),
- SPADE's time per image against its number of multiply-adds at this machine's matrix-product rate.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from tabulate import tabulate

from benchmark import Context, FeatureSpec, Geometry
from benchmark.console import PlainConsole
from benchmark.data.loading import decode_category
from benchmark.features.backbones import Backbone
from benchmark.features.cache import FrozenFeatures
from benchmark.features.weights import WeightsFrom
from benchmark.plugins.registry import Registry
from benchmark.runner.config import RunConfig
from benchmark.runner.plan import Plan, prepare
from benchmark.runner.run import execute, hashed


def bare_pass(plan: Plan, name: str, backbone: str, layers: tuple[int | str, ...]) -> float:
    """Seconds of one backbone pass over a category's decoded images, in batches of 16."""
    category, keys = hashed(plan, name)
    geometry = plan.methods[0].geometry
    images = decode_category(category, keys, [geometry], plan.threads)[geometry]
    network = Backbone(backbone, plan.features.weights, plan.features.device)
    names = network.resolve(layers)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        for part in (images.train, images.test):
            for batch in part.batches(16):
                network(batch.pixels, names)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def product_rate() -> float:
    """Multiply-adds per second of a large float32 matrix product, median of five."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2048**3 / statistics.median(times[1:])


def spade_products(backbone: str, weights: Path, size: int, k: int) -> int:
    """Multiply-adds of SPADE's nearest neighbours for one image."""
    features = FrozenFeatures(WeightsFrom(weights), torch.device("cpu"))
    context = Context(features, Geometry())
    network = context.backbone(backbone)
    layers = network(torch.zeros(1, 3, size, size), network.resolve((1, 2, 3)))
    return sum((f.shape[2] * f.shape[3]) ** 2 * k * (f.shape[1] + 1) for f in layers)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--weights-dir", required=True)
    parser.add_argument("--categories", nargs="+", default=["bottle", "screw"])
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--methods", nargs="+", default=["padim", "spade"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig.build(
            {
                "methods": given.methods,
                "dataset": "mvtec",
                "categories": given.categories,
                "data_root": given.data_root,
                "weights_dir": given.weights_dir,
                "protocol": "paper",
                "results": folder,
                "set": {m: {"backbone": given.backbone} for m in given.methods},
            }
        )
        plan = prepare(config, Registry(), PlainConsole())
        plan.console.cells(plan.size)
        results = execute(plan)
        rate = product_rate()
        rows = []
        for result in results:
            cell, record = result.cell, result.record
            assert record is not None, result.message
            spec: FeatureSpec = next(iter(cell.method.new().needs()))
            bare = bare_pass(plan, cell.category, given.backbone, tuple(spec.layers))
            cost = record["cost"]
            wall = cost["wall_seconds"] + cost["backbone_seconds"]
            per_image = cost["latency_batch_1_seconds"]
            ideal = ""
            if cell.method.name == "spade":
                macs = spade_products(given.backbone, Path(given.weights_dir), 224, 50)
                ideal = f"{macs / 1e9:.1f} G at {rate / 1e9:.0f} G/s = {macs / rate:.2f} s"
            rows.append(
                [cell.title, cost["backbone_images"], bare, wall, wall / bare, per_image, ideal]
            )
        head = ["cell", "passes in it", "bare pass s", "wall s", "ratio", "s/image", "products"]
        print(tabulate(rows, head, floatfmt=".2f"))
        counted = plan.features.counts
        print(f"backbone passes: {counted.images}; probes apart: {counted.probe_images}")


if __name__ == "__main__":
    main()
