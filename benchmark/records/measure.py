"""From stored scores to metrics: what a run does at the end of a cell and ``bench evaluate`` later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.data.dataset import Category, Sample
from benchmark.data.geometry import Geometry
from benchmark.data.loading import load_masks
from benchmark.data.masks import AnnotatedDefect
from benchmark.errors import DataError
from benchmark.metrics import PixelMeter, image_metrics, normal_threshold
from benchmark.metrics.names import METRICS, PART, Metric, measured
from benchmark.metrics.threshold import DEFAULT, NormalPixels, Normals, Rule
from benchmark.records.store import Scores

Array = npt.NDArray[Any]
NOTHING_HELD_OUT = "the protocol holds out no normal images to set a threshold"
NO_HELD_OUT_PIXELS = "the score file keeps no pixel scores of held-out images (run it again)"


def measure(
    scores: Scores,
    maps: Array | None,
    category: Category,
    geometry: Geometry,
    threads: int = 1,
    rule: str = DEFAULT,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Compute all metrics of a cell from its stored files and the data set's ground truth.

    Args:
        scores: the stored scores.
        maps: the stored maps (N, H, W), or None.
        category: for the masks; its test split must be the one that was scored.
        geometry: how masks are brought to the maps.
        threads: for decoding masks and for ranking pixels.
        rule: sets the thresholds from the held-out normal images.

    Returns:
        Metrics by name (None where undefined), and per undefined metric a word why. The image AUROC
        of a part of the scores is ``image_auroc[<its name>]``; ``aupimo_of_images`` holds that of
        every defective image by its id.
    """
    values, why = of_images(scores, rule, category.has_annotated_defects)
    pixels = measured("pixel", defects=category.has_annotated_defects)
    threshold, no_threshold = pixel_threshold(scores, rule)
    values["pixel_threshold"] = threshold
    reason = _no_pixels(maps, category)
    if reason:
        return values | dict.fromkeys(pixels), why | dict.fromkeys(pixels, reason)
    assert maps is not None
    meter = PixelMeter(threads=threads, threshold=threshold)
    for image in measured_pixels(scores, maps, category, geometry, threads):
        annotated = category.has_annotated_defects
        meter.add(
            image.window,
            image.mask,
            ids=[image.sample.id],
            types=[image.sample.defect] if annotated else None,
            defects=[image.defects] if annotated else None,
        )
    found = meter.result()
    values |= found.values
    both = found.anomalous_pixels and found.normal_pixels
    one_sided = "" if both else METRICS["pixel_auroc"].undefined
    for name, metric in pixels.items():
        if values[name] is None:
            why[name] = reason_of(metric, one_sided, no_threshold)
    each = zip(scores.ids, found.of_images["aupimo"].tolist(), strict=True)
    values["aupimo_of_images"] = {name: value for name, value in each if not isnan(value)}
    return values, why


def of_images(
    scores: Scores, rule: str = DEFAULT, by_type: bool = False
) -> tuple[dict[str, Any], dict[str, str]]:
    """Compute the image metrics of stored scores; arguments and result as in :func:`measure`."""
    labels = np.asarray(scores.labels, bool)
    threshold = normal_threshold(scores.held_out, rule)
    groups = scores.units if scores.groups else None
    types = list(scores.defects) if by_type else None
    found = image_metrics(scores.scores, labels, threshold=threshold, groups=groups, types=types)
    values: dict[str, Any] = dict(found.values)
    values |= {name: getattr(found, name) for name in ("threshold", "tp", "fp", "tn", "fn")}
    values |= {"held_out_images": len(scores.held_out), "threshold_rule": rule}
    one_sided = (
        "the test split has only good images"
        if not labels.any()
        else "the test split has only defective images"
        if labels.all()
        else ""
    )
    why = {
        name: reason_of(METRICS[name], one_sided, "" if threshold is not None else NOTHING_HELD_OUT)
        for name, value in found.values.items()
        if value is None
    }
    for part, parted in scores.parts.items():
        values[f"{PART}{part}]"] = image_metrics(parted, labels).image_auroc
        if one_sided:
            why[f"{PART}{part}]"] = one_sided
    return values, why


def pixel_threshold(scores: Scores, rule: str) -> tuple[float | None, str]:
    """Set the threshold of pixels from those of the held-out images; None with the reason."""
    if not len(scores.held_out):
        return None, NOTHING_HELD_OUT
    if scores.held_out_pixels is None:
        return None, NO_HELD_OUT_PIXELS
    return scores.held_out_pixels.threshold(Rule.parse(rule))


def reason_of(metric: Metric, one_sided: str, no_threshold: str) -> str:
    """Say why a metric is undefined."""
    if one_sided:
        return one_sided
    return no_threshold if metric.needs == "threshold" and no_threshold else metric.undefined


class HeldOutPixels:
    """Gathers what is kept of the held-out images' pixel scores, on the pixels that are measured.

    Args:
        geometry: says which these are.
        images: how many are to come.
    """

    def __init__(self, geometry: Geometry, images: int) -> None:
        self._geometry, self._images = geometry, images
        self._pixels: NormalPixels | None = None

    def add(self, maps: Array | None) -> None:
        """Add maps (B, H, W); nothing for a method without any."""
        for one in () if maps is None else maps:
            window = measured_part(one, self._geometry)
            if self._pixels is None:
                self._pixels = NormalPixels(window.size * self._images)
            self._pixels.add(window)

    def normals(self) -> Normals | None:
        """Return what a score file keeps; None without maps."""
        return self._pixels.normals() if self._pixels else None


@dataclass(frozen=True)
class MeasuredImage:
    """The pixels of a test image that count.

    Attributes:
        window: that part of its map (h, w).
        mask: ground truth bool (h, w), empty for a good image.
        defects: those of the window, where the data set annotates them one by one.
    """

    sample: Sample
    window: Array
    mask: Array
    defects: Sequence[AnnotatedDefect] = ()


def measured_pixels(
    scores: Scores, maps: Array, category: Category, geometry: Geometry, threads: int = 1
) -> Iterator[MeasuredImage]:
    """Yield the pixels that count, image by image in the order of the scores, in bounded memory.

    Raises:
        DataError: the test split is not the one that was scored; a mask is unusable.
    """
    for i, (sample, mask, defects) in enumerate(load_masks(category, geometry, threads)):
        if sample.id != scores.ids[i]:
            raise DataError(
                f"test image {i} is {sample.id!r} now and was {scores.ids[i]!r} when scored; the "
                "data set has changed: run the cell again with --force"
            )
        window = measured_part(maps[i], geometry)
        if not sample.label:
            yield MeasuredImage(sample, window, np.zeros(window.shape, bool))
        else:
            yield MeasuredImage(sample, window, mask, defects)


def _no_pixels(maps: Array | None, category: Category) -> str:
    if maps is None:
        return "the method gives no anomaly maps, or they were not kept"
    if not category.has_masks:
        return "the test split has no defective images with ground-truth masks"
    return ""


def measured_part(anomaly_map: Array, geometry: Geometry) -> Array:
    """Bring an anomaly map (H, W) to the pixels that are measured (h, w)."""
    window = geometry.map_window(anomaly_map)
    side = geometry.eval_size
    if side is None or window.shape == (side, side):
        return window
    import torch

    from benchmark.detector.maps import upsample

    return upsample(torch.from_numpy(window.copy())[None], (side, side))[0].numpy()
