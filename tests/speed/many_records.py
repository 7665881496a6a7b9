"""Reading many records: ``load_results``, the summary, the report, and an exported file.

    python tests/speed/many_records.py [--categories 15] [--methods 60] [--seeds 12]

Writes records like those of a run into a temporary folder and prints the CPU seconds of each step,
the best of three: with a busy machine beside it, wall time says little. Imports are not counted.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import benchmark as ib
from benchmark import Geometry
from benchmark.metrics.names import METRICS
from benchmark.records import store
from benchmark.records.frame import COST


def write_records(results: Path, categories: int, methods: int, seeds: int) -> int:
    """Write records that differ in category, method, seed and numbers; returns how many."""
    rng = np.random.default_rng(0)
    geometry = Geometry(resize=(256, 256)).as_json()
    for method in range(methods):
        name = f"method_{method:02}"
        settings = {f"setting_{i}": i for i in range(12)} | {"backbone": "resnet18"}
        identity = store.identity({"settings": settings, "method": name})
        for category in range(categories):
            for seed in range(seeds):
                path = store.CellPath(
                    results, "study", "standard", name, identity, f"category_{category:02}", seed
                )
                key = {
                    "dataset": "study",
                    "source": "folder",
                    "category": path.category,
                    "method": name,
                    "seed": seed,
                    "protocol": {"name": "standard", "holdout": 0.1, "image_size": None},
                    "geometry": geometry,
                    "data": f"{category:064x}",
                    "settings": settings,
                    "version": "1",
                    "weights": [{"backbone": "resnet18", "layers": [1, 2], "source": "file"}],
                    "assets": {},
                    "precision": "float32",
                }
                text = {"title": name, "citation": "x", "draws": True, "defaults": settings}
                images = {"found": {"train": 200, "good": 40, "defective": 60}, "official": None}
                record = {
                    "status": "ok",
                    "key": key,
                    "settings": settings,
                    "method": text,
                    "facts": {"images": 180},
                    "provenance": {"published_weights": True, "images": images, "files": {}},
                    "metrics": {metric: float(rng.uniform(0.5, 1)) for metric in METRICS},
                    "undefined": {},
                    "cost": {cost: float(rng.uniform(0, 9)) for cost in COST},
                    "curves": {},
                    "environment": {"device": "a processor", "packages": {"torch": "2"}},
                    "files": {"scores": {"name": "x.npz", "sha256": "0" * 64}, "maps": None},
                }
                path.folder.mkdir(parents=True, exist_ok=True)
                store.write(path.record, record)
    return methods * categories * seeds


def best(work: Callable[[], object], times: int = 3) -> tuple[float, float]:
    """CPU and wall seconds, the least of several times."""
    spent = []
    for _ in range(times):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        spent.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(c for c, _ in spent), min(w for _, w in spent)


def main() -> None:
    """Write, read, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--categories", type=int, default=15)
    parser.add_argument("--methods", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=12)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "runs"
        count = write_records(results, given.categories, given.methods, given.seeds)
        steps: dict[str, Callable[[], object]] = {
            "load_results": lambda: ib.load_results(results),
            "summary": lambda: ib.table("summary", results=results),
            "report without pictures": lambda: ib.report(pictures=False, results=results),
            "export to JSON": lambda: ib.export_results(results / "all.json", results),
            "load_results of the JSON": lambda: ib.load_results(results / "all.json"),
        }
        ib.report(results / "first.html", pictures=False, results=results)  # imports
        for name, work in steps.items():
            cpu, wall = best(work)
            print(f"{name} of {count} records: {cpu:.2f} s of CPU, {wall:.2f} s")


if __name__ == "__main__":
    main()
