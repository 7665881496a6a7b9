"""Keeping a cell's fitted detector beside its record.

What is scored and measured is the detector as it was read back from its file, so that nobody can get
another one out of it later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from benchmark.data.loading import PREDICT_BATCH
from benchmark.detector.base import Detector
from benchmark.detector.scored import scored
from benchmark.detector.state import State
from benchmark.metrics import normal_threshold
from benchmark.records import kept, store
from benchmark.records.frame import random_weights
from benchmark.runner.given import Inputs
from benchmark.runner.plan import Cell

Array = npt.NDArray[Any]
ALONE = 8
"""Test images that are also scored alone, to tell what another batch size changes."""


@dataclass(frozen=True)
class Scale:
    """What the maps of a cell tell about its colours and outlines.

    Attributes:
        peaks: float (M,), the highest pixel of each held-out normal image's map.
        limits: between which maps are shown: the lowest and the highest pixel of the test images'
            maps, the threshold of pixels at most half way up; None without maps.
    """

    peaks: Array
    limits: tuple[float, float] | None

    @classmethod
    def of(cls, cell: Cell, files: Mapping[str, Any], peaks: Array) -> Self:
        """Read the limits from the cell's stored maps."""
        if not files["maps"]:
            return cls(peaks, None)
        maps = store.read_maps(cell.path.folder, files["maps"])
        low, high = float(maps.min()), float(maps.max())
        if (threshold := normal_threshold(peaks)) is not None:  # test images may all be good
            high = max(high, low + 2 * (threshold - low))
        return cls(peaks, (low, high))


def stored_and_restored(cell: Cell, detector: Detector) -> tuple[Detector, dict[str, str]]:
    """Write a fitted detector's state and read it back: a new detector, and what to cite."""
    cited = kept.write_state(cell.path, detector.state())
    state = State.load(cell.path.folder / cited["name"])
    return cell.method.new().load_state(state), cited


def information(
    cell: Cell,
    detector: Detector,
    given: Inputs,
    record: Mapping[str, Any],
    state: Mapping[str, str],
    scale: Scale,
) -> dict[str, Any]:
    """Gather what is needed to use a kept detector, and to say what it is.

    Returns:
        JSON values: the record's ``key``, ``settings``, ``method``, ``metrics``, ``cost``,
        ``provenance`` and ``environment``; ``state`` (name and SHA-256); ``input`` (height, width);
        ``threshold``: of images and of pixels, the number of held-out normal images that set them,
        and the share of new normal images that at most will lie above; ``map_limits``; ``batch``
        and ``alone``: in what batches it was scored, and by how much at most a score and a pixel
        changed when some images were scored alone.
    """
    scores = store.Scores.read(cell.path.folder, record["files"]["scores"])
    count = len(scores.held_out)
    threshold, pixel = normal_threshold(scores.held_out), normal_threshold(scale.peaks)
    return {
        **{name: record[name] for name in ("key", "settings", "method", "metrics", "cost")},
        **{name: record[name] for name in ("provenance", "environment")},
        "config": cell.path.folder.name,
        "protocol": cell.path.protocol,
        "random_weights": random_weights(record["key"]["weights"], record["provenance"]),
        "state": dict(state),
        "trained_on": len(given.train),
        "input": list(given.images.test.size),
        "threshold": {
            "image": threshold,
            "pixel": pixel,
            "held_out_images": count,
            "false_alarms": _false_alarms(scores.held_out, threshold),
        },
        "map_limits": scale.limits,
        "batch": PREDICT_BATCH,
        "alone": _alone(detector, given, scores.scores),
    }


def _false_alarms(held_out: Array, threshold: float | None) -> float | None:
    """Bound the probability that a new normal image lies above the threshold (split conformal
    prediction)."""
    if threshold is None:
        return None
    place = int((np.asarray(held_out) <= threshold).sum())
    return (len(held_out) + 1 - place) / (len(held_out) + 1)


def _alone(detector: Detector, given: Inputs, scores: Array) -> dict[str, Any]:
    """Score some test images alone; by how much that differs from the batches of the record."""
    context, tests = replace(given.context, probe=True), given.images.test
    count = min(ALONE, len(tests))
    alone = [
        float(scored(detector, tests.batch([i]), context, "alone").scores[0]) for i in range(count)
    ]
    spread = float(np.ptp(scores)) or 1.0
    return {
        "images": count,
        "largest_difference": float(np.abs(np.array(alone) - scores[:count]).max()),
        "of_range": float(np.abs(np.array(alone) - scores[:count]).max()) / spread,
    }
