"""Tiny hand-made records, written through the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.metrics.names import METRICS
from benchmark.records import store

CROP_224 = {
    "resize": 256,
    "crop": 224,
    "filter": "bilinear",
    "antialias": True,
    "eval_crop": None,
    "eval_size": None,
}
SPADE = {
    "backbone": "wide_resnet50_2",
    "layers": [1, 2, 3],
    "descriptor": "pooled",
    "k": 50,
    "pyramid": "mean",
    "squared": False,
    "sigma": 4.0,
}
TOY: dict[str, Any] = {
    "dataset": "toy",
    "source": "folder",
    "geometry": {**CROP_224, "resize": 48, "crop": 48},
}
"""A record of the tiny data set that the fixture ``toy`` writes."""
Record = Callable[..., Path]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def record(results: Path) -> Record:
    """Writes one finished record; every metric is ``value`` unless named."""

    def write(
        category: str = "bottle",
        value: float | None = 0.9,
        *,
        method: str = "spade",
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        protocol: str = "paper",
        label: str | None = None,
        holdout: float = 0.0,
        image_size: int | None = None,
        dataset: str = "mvtec",
        source: str | None = None,
        geometry: Mapping[str, Any] | None = None,
        weights: str = "hub",
        provenance: Mapping[str, Any] | None = None,
        assets: Mapping[str, str] | None = None,
        data: str | None = None,
        cost: Mapping[str, Any] | None = None,
        status: str = "ok",
        defaults: Mapping[str, Any] | None = None,
        draws: bool | None = None,
        images: tuple[int, int] | None = None,
        described: bool = True,
        undefined: Mapping[str, str] | None = None,
        into: Path | None = None,
    ) -> Path:
        given = {**SPADE, **(settings or {})} if method == "spade" else dict(settings or {})
        used = [{"backbone": "any", "layers": ["1"], "sha256": weights, "source": weights}]
        described_as = {
            "title": "SPADE" if method == "spade" else method,
            "citation": "Someone 2020",
            **({} if draws is None else {"draws": draws}),
            "defaults": {**(SPADE if method == "spade" else {}), **(defaults or {})},
        }
        good, defective = images or (40, 40)
        found = {"train": 100, "good": good, "defective": defective}
        counted = {"images": {"found": found, "official": None}}
        path = store.CellPath(
            into or results,
            dataset,
            label or protocol,
            method,
            store.identity({"settings": given, "weights": weights}),
            category,
            seed,
        )
        store.write(
            path.record,
            {
                "status": status,
                "key": {
                    "dataset": dataset,
                    "source": source or dataset,
                    "category": category,
                    "method": method,
                    "seed": seed,
                    "protocol": {"name": protocol, "holdout": holdout, "image_size": image_size},
                    "geometry": {**CROP_224, **(geometry or {})},
                    "data": data or f"data of {category}",
                    "settings": given,
                    "version": "1",
                    "weights": used,
                    "assets": dict(assets or {}),
                    "precision": "float32",
                },
                "settings": given,
                **({"method": described_as} if described else {}),
                "provenance": counted | dict(provenance or {}),
                "undefined": dict(undefined or {}),
                "metrics": {**dict.fromkeys(METRICS, value), **(metrics or {})},
                "cost": {"latency_batch_1_seconds": 0.5, "stored_bytes": 2e6, **(cost or {})},
                "environment": {"device": "a processor"},
                "files": {},
            },
        )
        return path.record

    return write


def keep_scores(path: Path, root: Path, scores: Iterable[float], maps: bool = True) -> None:
    """Adds score files to a record of the tiny data set: four good images, then four defective."""
    from benchmark.records.stored import Datasets

    record = store.read(path)
    assert record is not None
    key = record["key"]
    content = Datasets(root).content(key["source"], key["category"])
    key["data"] = content.keys.fingerprint
    hashes = zip(content.category.test, content.keys.test, content.keys.masks, strict=True)
    tests = sorted(hashes, key=lambda t: (t[0].label, t[0].id))
    samples = [sample for sample, _, _ in tests]
    name, _, identity = path.parent.name.partition("@")
    place = (key["dataset"], path.parents[1].name, name, identity, key["category"], key["seed"])
    cell = store.CellPath(path.parents[3], *place)
    written = store.Scores(
        [s.id for s in samples],
        [image for _, image, _ in tests],
        np.array([s.label for s in samples]),
        [s.defect for s in samples],
        np.array(list(scores), float),
        np.empty(0),
        [],
        [mask for _, _, mask in tests],
    ).write(cell)
    record["files"] = {"scores": written, "maps": None}
    if maps:
        writer = store.MapWriter(cell, (len(samples), 48, 48))
        writer.add(np.random.default_rng(0).normal(size=(len(samples), 48, 48)))
        record["files"]["maps"] = writer.finish()
    del record["format"]
    store.write(path, record)
