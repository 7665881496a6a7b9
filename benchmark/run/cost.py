"""What a detector costs: seconds, memory, bytes kept. Backbone work is listed apart."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import Any

import torch

from benchmark.data.loading import PREDICT_BATCH, ImageSet
from benchmark.detector.base import Detector
from benchmark.detector.context import Context

PROBE_SECONDS = 20.0
"""Single-image probes stop after this long; three are the least."""


def latency(detector: Detector, images: ImageSet, context: Context) -> dict[str, Any]:
    """Seconds per image from decoded pixels to the finished map, feature cache bypassed.

    Measured on at most 16 images after a warm-up: alone (median) and as one batch.
    """
    bypass = replace(context, probe=True)
    count = min(PREDICT_BATCH, len(images))

    def timed(indices: list[int]) -> float:
        batch = images.batch(indices)
        _wait(context.device)
        start = time.perf_counter()
        detector.predict(batch, bypass)
        _wait(context.device)
        return time.perf_counter() - start

    timed([0])
    began, single = time.perf_counter(), []
    for i in range(count):
        single.append(timed([i]))
        if len(single) >= 3 and time.perf_counter() - began > PROBE_SECONDS:
            break
    if statistics.median(single) * count > PROBE_SECONDS:
        count = max(1, int(PROBE_SECONDS / statistics.median(single)))
    return {
        "latency_batch_1_seconds": statistics.median(single),
        "latency_batch_n_seconds": timed(list(range(count))) / count,
        "latency_batch_n": count,
        "latency_images": len(single),
    }


def stored_bytes(detector: Detector, context: Context) -> dict[str, int]:
    """Bytes kept beyond the frozen backbones, and the backbones' own."""
    frozen = 0
    for spec in detector.needs():
        backbone = context.features_of.backbone(spec.backbone)
        frozen += backbone.parameter_bytes(backbone.resolve(spec.layers))
    return {"stored_bytes": detector.state().nbytes, "backbone_bytes": frozen}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
