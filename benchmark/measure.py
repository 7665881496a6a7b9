"""From stored scores to metrics: what a run does at the end of a cell and ``bench evaluate`` later."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.dataset import Category
from benchmark.errors import DataError
from benchmark.geometry import Geometry
from benchmark.loading import load_masks
from benchmark.metrics import PixelMeter, image_metrics, normal_threshold
from benchmark.store import Scores

Array = npt.NDArray[Any]

IMAGE_METRICS = (
    "image_auroc",
    "image_ap",
    "image_f1_max",
    "image_accuracy",
    "image_balanced_accuracy",
    "image_balanced_accuracy_oracle",
    "image_recall_at_0_fpr",
    "image_recall_at_1_fpr",
)
PIXEL_METRICS = (
    "pixel_auroc",
    "pixel_ap",
    "pro",
    "pixel_f1_max",
    "pixel_iou_max",
    "pixel_auroc_per_image",
    "pixel_auroc_anomalous",
    "pro_per_image",
)
METRICS = {
    "image_auroc": "area under the ROC curve of the image scores",
    "image_ap": "average precision of the image scores",
    "image_f1_max": "best F1 over all thresholds",
    "image_accuracy": "fraction right at the threshold set on held-out normal images",
    "image_balanced_accuracy": "mean of the good and the defective fraction right, same threshold",
    "image_balanced_accuracy_oracle": "the same at the best test threshold: an upper bound",
    "image_recall_at_0_fpr": "defects found without any false alarm",
    "image_recall_at_1_fpr": "defects found at 1 % false alarms",
    "pixel_auroc": "area under the ROC curve over all test pixels",
    "pixel_ap": "average precision over all test pixels",
    "pro": "per-region overlap, area up to 30 % false positives (AUPRO)",
    "pixel_f1_max": "best pixel F1 over all thresholds",
    "pixel_iou_max": "best intersection over union over all thresholds",
    "pixel_auroc_per_image": "mean over defective images of each one's own pixel AUROC (IGD)",
    "pixel_auroc_anomalous": "pixel AUROC over defective images only (PatchCore, MKD)",
    "pro_per_image": "mean over defective images of each one's own PRO (RD4AD's code)",
}


def measure(
    scores: Scores, maps: Array | None, category: Category, geometry: Geometry, threads: int = 1
) -> tuple[dict[str, Any], dict[str, str]]:
    """All metrics of a cell from its stored files and the data set's ground truth.

    Args:
        scores: the stored scores.
        maps: the stored maps (N, H, W), or None.
        category: for the masks; its test split must be the one that was scored.
        geometry: how masks are brought to the maps.
        threads: for decoding masks.

    Returns:
        Metrics by name (None where undefined), and per undefined metric a word why.
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
    reason = _no_pixels(maps, category)
    if reason:
        return values, why | dict.fromkeys(PIXEL_METRICS, reason)
    assert maps is not None
    meter = PixelMeter()
    for i, (sample, mask) in enumerate(load_masks(category, geometry, threads)):
        if sample.id != scores.ids[i]:
            raise DataError(
                f"test image {i} is {sample.id!r} now and was {scores.ids[i]!r} when scored; the "
                "data set has changed: run the cell again with --force"
            )
        window = _at_eval_size(geometry.map_window(maps[i]), geometry)
        if not sample.label:
            mask = np.zeros(window.shape, bool)
        meter.add(window, mask, ids=[sample.id])
    pixel = meter.result()
    for name in PIXEL_METRICS:
        values[name] = getattr(pixel, name)
        if values[name] is None:
            why[name] = "no normal or no anomalous pixel in the part that is measured"
    return values, why


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

    from benchmark.maps import upsample

    return upsample(torch.from_numpy(window.copy())[None], (side, side))[0].numpy()
