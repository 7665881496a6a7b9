"""A detector's checked answer to a batch, as numbers to store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch

from benchmark.data.batch import Batch
from benchmark.detector.base import Detector, check_prediction
from benchmark.detector.context import Context

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Scored:
    """Scores and parts float64 (B,), maps float32 (B, H, W) or None."""

    scores: Array
    parts: Mapping[str, Array]
    maps: Array | None


def scored(detector: Detector, batch: Batch, context: Context, owner: str) -> Scored:
    """Score a batch and check the result; ``owner`` is what an error calls the detector.

    Raises:
        DetectorError: as :func:`benchmark.detector.base.check_prediction`.
    """
    with torch.no_grad():
        prediction = detector.predict(batch, context)
    prediction = check_prediction(prediction, batch, owner)
    maps = prediction.maps if context.wants_maps else None
    return Scored(
        prediction.scores.detach().double().cpu().numpy(),
        {name: p.detach().double().cpu().numpy() for name, p in prediction.parts.items()},
        None if maps is None else maps.detach().float().cpu().numpy(),
    )
