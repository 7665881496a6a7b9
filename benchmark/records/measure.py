"""From stored scores to metrics: what a run does at the end of a cell and ``bench evaluate`` later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.data.dataset import Category, Sample
from benchmark.data.geometry import Geometry
from benchmark.data.loading import load_masks
from benchmark.errors import DataError
from benchmark.metrics import PixelMeter, image_metrics, normal_threshold
from benchmark.metrics.groups import group_metrics
from benchmark.metrics.names import GROUP_METRICS, IMAGE_METRICS, PART, PIXEL_METRICS
from benchmark.records.store import Scores

Array = npt.NDArray[Any]


def measure(
    scores: Scores, maps: Array | None, category: Category, geometry: Geometry, threads: int = 1
) -> tuple[dict[str, Any], dict[str, str]]:
    """Compute all metrics of a cell from its stored files and the data set's ground truth.

    Args:
        scores: the stored scores.
        maps: the stored maps (N, H, W), or None.
        category: for the masks; its test split must be the one that was scored.
        geometry: how masks are brought to the maps.
        threads: for decoding masks and for ranking pixels.

    Returns:
        Metrics by name (None where undefined), and per undefined metric a word why. The image AUROC
        of a part of the scores is ``image_auroc[<its name>]``.
    """
    values: dict[str, Any] = dict.fromkeys([*IMAGE_METRICS, *PIXEL_METRICS])
    why: dict[str, str] = {}
    labels = np.asarray(scores.labels, bool)
    threshold = normal_threshold(scores.held_out)
    image = image_metrics(scores.scores, labels, threshold=threshold)
    for name in IMAGE_METRICS:
        values[name] = getattr(image, name)
    values |= {name: getattr(image, name) for name in ("threshold", "tp", "fp", "tn", "fn")}
    values["held_out_images"] = len(scores.held_out)
    one_sided = (
        "the test split has only good images"
        if not labels.any()
        else "the test split has only defective images"
        if labels.all()
        else ""
    )
    for name in IMAGE_METRICS:
        if values[name] is None:
            why[name] = one_sided or "the protocol holds out no normal images to set a threshold"
    for part, found in scores.parts.items():
        values[f"{PART}{part}]"] = image_metrics(found, labels).image_auroc
        if one_sided:
            why[f"{PART}{part}]"] = one_sided
    if scores.groups:
        groups = group_metrics(scores.scores, labels, scores.units)
        for name in GROUP_METRICS:
            values[name] = getattr(groups, name)
            if values[name] is None:
                why[name] = one_sided or GROUP_METRICS[name]
    reason = _no_pixels(maps, category)
    if reason:
        return values, why | dict.fromkeys(PIXEL_METRICS, reason)
    assert maps is not None
    meter = PixelMeter(threads=threads)
    for sample, window, mask in measured_pixels(scores, maps, category, geometry, threads):
        meter.add(window, mask, ids=[sample.id])
    pixel = meter.result()
    for name in PIXEL_METRICS:
        values[name] = getattr(pixel, name)
        if values[name] is None:
            why[name] = "no normal or no anomalous pixel in the part that is measured"
    return values, why


def measured_pixels(
    scores: Scores, maps: Array, category: Category, geometry: Geometry, threads: int = 1
) -> Iterator[tuple[Sample, Array, Array]]:
    """Yield the pixels that count, image by image in the order of the scores, in bounded memory.

    Yields:
        (sample, part of its map (h, w), ground truth bool (h, w), empty for a good image).

    Raises:
        DataError: the test split is not the one that was scored; a mask is unusable.
    """
    for i, (sample, mask) in enumerate(load_masks(category, geometry, threads)):
        if sample.id != scores.ids[i]:
            raise DataError(
                f"test image {i} is {sample.id!r} now and was {scores.ids[i]!r} when scored; the "
                "data set has changed: run the cell again with --force"
            )
        window = _at_eval_size(geometry.map_window(maps[i]), geometry)
        yield sample, window, mask if sample.label else np.zeros(window.shape, bool)


def _no_pixels(maps: Array | None, category: Category) -> str:
    if maps is None:
        return "the method gives no anomaly maps, or they were not kept"
    if not category.has_masks:
        return "the test split has no defective images with ground-truth masks"
    return ""


def _at_eval_size(window: Array, geometry: Geometry) -> Array:
    side = geometry.eval_size
    if side is None or window.shape == (side, side):
        return window
    import torch

    from benchmark.detector.maps import upsample

    return upsample(torch.from_numpy(window.copy())[None], (side, side))[0].numpy()
