"""``bench evaluate``: every metric again from the stored scores. No GPU, no model."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmark.console import open_console
from benchmark.data.dataset import Category
from benchmark.data.geometry import Geometry
from benchmark.data.loading import hash_category
from benchmark.errors import BenchError, DataError
from benchmark.machine import cores
from benchmark.metrics.names import PIXEL_METRICS
from benchmark.records import store
from benchmark.records.measure import measure
from benchmark.records.stored import Images


def evaluate(given: Namespace) -> int:
    """Measure again what every finished record below ``--results`` stored, and update the records.

    A record whose data set has changed since, or whose score files are gone, is left as it is and
    named.
    """
    results = Path(given.results)
    if not results.is_dir():
        raise DataError(f"results folder {results}: no such folder; check --results")
    records = [r for r in store.read_all(results) if r["status"] == "ok"]
    images = Images(given.data_root, given.plugin)
    threads = cores()
    seen: dict[tuple[str, str, str], tuple[Category, str]] = {}
    changed = failed = 0
    with open_console() as console:
        for record in console.track(records, "evaluating", len(records)):
            path = Path(record.pop("path"))
            key = record["key"]
            place = (key["source"], str(key.get("source_settings")), key["category"])
            try:
                if place not in seen:
                    category = images.of(key)
                    seen[place] = (category, hash_category(category, threads).fingerprint)
                category, fingerprint = seen[place]
                if fingerprint != key["data"]:
                    raise DataError(
                        f"{path}: was made from other data under the same name "
                        f"(fingerprint {key['data']} then, {fingerprint} now)"
                    )
                changed += _again(path, record, category, threads)
            except BenchError as error:
                failed += 1
                console.say(f"not evaluated: {error}")
    print(f"{len(records) - failed} records evaluated, {changed} of them changed, {failed} not")
    return 1 if failed else 0


def _again(path: Path, record: dict[str, Any], category: Category, threads: int) -> bool:
    """Measure one record again; rewrites it when a number differs. Returns whether one did."""
    files = record["files"]
    scores = store.Scores.read(path.parent, files["scores"])
    maps = store.read_maps(path.parent, files["maps"]) if files.get("maps") else None
    geometry = Geometry.from_json(record["key"]["geometry"])
    metrics, undefined = measure(scores, maps, category, geometry, threads)
    if maps is None:  # pixel metrics stay as they were measured before the maps were dropped
        for name in PIXEL_METRICS:
            metrics[name] = record["metrics"].get(name)
            if metrics[name] is not None:
                undefined.pop(name, None)
    if metrics == record["metrics"] and undefined == record["undefined"]:
        return False
    store.write(path, {**record, "metrics": metrics, "undefined": undefined})
    return True
