"""What a detector costs: seconds, memory, bytes kept.

``fit_seconds`` and ``predict_seconds`` are what the method would take alone on these images: its own
time and its backbones' over the training or the test images, whichever cell of the run paid for
them; writing files, measuring and the held-out images are in neither. ``backbone_seconds`` is the
backbones' share of the two. ``wall_seconds`` is what the cell really took in this run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from benchmark import machine
from benchmark.data.loading import PREDICT_BATCH, Decoded, ImageSet
from benchmark.detector.base import Detector
from benchmark.detector.context import Context
from benchmark.features.cache import FrozenFeatures

PROBE_SECONDS = 20.0
"""Single-image probes stop after this long; three are the least."""


class Clock:
    """Clocks of one cell, started when it is made.

    Attributes:
        own: seconds of ``fit`` and ``predict`` without the backbones'.
    """

    def __init__(self, features: FrozenFeatures, context: Context) -> None:
        self._features, self._context = features, context
        self._began, self._passes = time.perf_counter(), features.counts.images
        self.own = {"fit": 0.0, "predict": 0.0}
        machine.reset_peak_memory(context.device)

    def fitting(self) -> AbstractContextManager[None]:
        """Time a fit."""
        return self._own("fit")

    def predicting(self) -> AbstractContextManager[None]:
        """Time the scoring of a batch; adds up."""
        return self._own("predict")

    @contextmanager
    def _own(self, work: str) -> Iterator[None]:
        start, before = time.perf_counter(), self._features.counts.seconds
        yield
        machine.wait(self._context.device)
        backbone = self._features.counts.seconds - before
        self.own[work] += time.perf_counter() - start - backbone

    def finished(self, detector: Detector, images: Decoded, train: Sequence[int]) -> dict[str, Any]:
        """Return the record's costs. Call it when everything else is done: it runs the latency
        probe."""
        wall = time.perf_counter() - self._began
        passes = self._features.counts.images - self._passes
        memory = machine.peak_memory(self._context.device)
        shared = [
            self._shared(detector, part) for part in (images.train.subset(train), images.test)
        ]
        return {
            "fit_seconds": self.own["fit"] + shared[0],
            "predict_seconds": self.own["predict"] + shared[1],
            "backbone_seconds": sum(shared),
            "wall_seconds": wall,
            "backbone_images": passes,
            **memory,
            **stored_bytes(detector, self._context),
            **latency(detector, images.test, self._context),
        }

    def _shared(self, detector: Detector, images: ImageSet) -> float:
        """Sum the backbone seconds that these images cost, whichever cell paid for them."""
        names = {spec.backbone for spec in detector.needs() if spec.read}
        geometry = self._context.geometry
        return sum(self._features.seconds(images.keys, geometry, name) for name in names)


def latency(detector: Detector, images: ImageSet, context: Context) -> dict[str, Any]:
    """Measure seconds per image from decoded pixels to the finished map, feature cache bypassed.

    Measured on at most 16 images after a warm-up: alone (median) and as one batch.
    """
    bypass = replace(context, probe=True)
    count = min(PREDICT_BATCH, len(images))

    def timed(indices: list[int]) -> float:
        batch = images.batch(indices)
        machine.wait(context.device)
        start = time.perf_counter()
        detector.predict(batch, bypass)
        machine.wait(context.device)
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
    """Count the bytes kept beyond the frozen backbones, and the backbones' own."""
    frozen = 0
    for spec in detector.needs():
        backbone = context.backbone(spec.backbone)
        frozen += backbone.parameter_bytes(backbone.resolve(spec.layers))
    return {"stored_bytes": detector.state().nbytes, "backbone_bytes": frozen}
