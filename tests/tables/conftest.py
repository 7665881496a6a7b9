"""Tiny hand-made records, written through the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmark import store
from benchmark.metric_names import METRICS

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
        weights: str = "wide_resnet50_2.safetensors",
        data: str | None = None,
        cost: Mapping[str, Any] | None = None,
        status: str = "ok",
        into: Path | None = None,
    ) -> Path:
        given = {**SPADE, **(settings or {})} if method == "spade" else dict(settings or {})
        used = [{"backbone": "any", "layers": ["1"], "sha256": weights, "source": weights}]
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
                    "assets": {},
                    "precision": "float32",
                },
                "settings": given,
                "metrics": {**dict.fromkeys(METRICS, value), **(metrics or {})},
                "cost": {"latency_batch_1_seconds": 0.5, "stored_bytes": 2e6, **(cost or {})},
                "environment": {"device": "a processor"},
                "files": {},
            },
        )
        return path.record

    return write
