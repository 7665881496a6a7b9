"""THE table of metrics: whatever measures, resamples, tabulates or reports reads it.

A metric is one entry, and its place here is its place in tables. Its function takes what all
metrics of its level are computed from, :class:`ScoredImages` or :class:`CountedPixels`, and gives
a fraction or None. docs/adding-a-metric.md shows how to add one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from benchmark.metrics import counted, groups, scored
from benchmark.metrics.counted import among_anomalous, over_images, pooled, pro_at, spro_at
from benchmark.metrics.curves import auroc, average_precision, best_f1, best_iou
from benchmark.metrics.scored import (
    LOGICAL,
    STRUCTURAL,
    auroc_of_type,
    kept_at,
    missed_at,
    ranked,
    recall_at,
)

PART = "image_auroc["
"""Before the name of a part of the scores, with ``]`` behind it: the image AUROC of that part."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        text: what it is, in one line.
        function: of :class:`benchmark.metrics.scored.ScoredImages` for an image metric, of
            :class:`benchmark.metrics.counted.CountedPixels` for a pixel metric; gives a fraction in
            0..1, or None where it is undefined.
        level: of images or of pixels.
        default: whether tables show it unasked.
        better: which direction is better.
        needs: a threshold; or a data set whose images come in groups, or whose defects are
            annotated one by one: of others it is not measured at all.
        undefined: the reason where it is None though there are good and defective images (or
            pixels).
    """

    text: str
    function: Callable[[Any], float | None]
    level: Literal["image", "pixel"] = "image"
    default: bool = False
    better: Literal["higher", "lower"] = "higher"
    needs: Literal["", "threshold", "groups", "defects"] = ""
    undefined: str = ""


_CLASSES = "no normal or no anomalous pixel in the part that is measured"
_COARSE = "the good test images have too few pixels to resolve false alarm rates of 1e-5"
_TYPE = "the test split has no such defects"


def _image(text: str, function: Callable[[Any], float | None], **further: Any) -> Metric:
    return Metric(text, function, "image", **further)


def _pixel(text: str, function: Callable[[Any], float | None], **further: Any) -> Metric:
    return Metric(text, function, "pixel", **{"undefined": _CLASSES, **further})


METRICS: dict[str, Metric] = {
    "image_auroc": _image(
        "area under the ROC curve of the image scores", ranked(auroc), default=True
    ),
    "image_accuracy": _image(
        "fraction right at the threshold set on held-out normal images",
        scored.accuracy,
        default=True,
        needs="threshold",
    ),
    "pixel_auroc": _pixel(
        "area under the ROC curve over all test pixels", pooled(auroc), default=True
    ),
    "pro": _pixel(
        "per-region overlap, area up to 30 % false positives (AUPRO)", counted.pro, default=True
    ),
    "pixel_ap": _pixel(
        "average precision over all test pixels", pooled(average_precision), default=True
    ),
    "image_ap": _image("average precision of the image scores", ranked(average_precision)),
    "image_balanced_accuracy": _image(
        "mean of the good and the defective fraction right, same threshold",
        scored.balanced_accuracy,
        needs="threshold",
    ),
    "image_balanced_accuracy_oracle": _image(
        "oracle: the same at the best test threshold, an upper bound",
        ranked(scored.best_balanced_accuracy),
    ),
    "image_f1": _image(
        "F1 at the threshold set on held-out normal images", scored.f1, needs="threshold"
    ),
    "image_f1_max": _image(
        "oracle: F1 at the best test threshold, an upper bound (F1-max)", ranked(best_f1)
    ),
    "image_recall_at_0_fpr": _image("defects found without any false alarm", recall_at(0)),
    "image_recall_at_1_fpr": _image("defects found at 1 % false alarms", recall_at(1)),
    "image_tnr_at_0_fnr": _image("good parts kept without a missed defect", kept_at(0)),
    "image_tnr_at_2_fnr": _image("good parts kept at 2 % missed defects", kept_at(2)),
    "image_tnr_at_5_fnr": _image("good parts kept at 5 % missed defects", kept_at(5)),
    "image_fnr_at_0_fpr": _image(
        "defects missed without a good part lost", missed_at(0), better="lower"
    ),
    "image_fnr_at_2_fpr": _image(
        "defects missed at 2 % good parts lost", missed_at(2), better="lower"
    ),
    "image_fnr_at_5_fpr": _image(
        "defects missed at 5 % good parts lost", missed_at(5), better="lower"
    ),
    "image_auroc_per_group": _image(
        "mean over clips or parts of each one's own image AUROC (macro)",
        groups.auroc_per_group,
        needs="groups",
        undefined="no group has both good and defective images",
    ),
    "group_auroc": _image(
        "AUROC of clips or parts, each as its highest image (Real-IAD's sample level)",
        groups.group_auroc,
        needs="groups",
        undefined="every group has a defective image",
    ),
    "image_auroc_over_types": _image(
        "mean over defect types of each one's image AUROC against all good images (MVTec LOCO)",
        scored.auroc_over_types,
        needs="defects",
    ),
    "image_auroc_structural": _image(
        "image AUROC of structural anomalies alone (MVTec LOCO)",
        auroc_of_type(STRUCTURAL),
        needs="defects",
        undefined=_TYPE,
    ),
    "image_auroc_logical": _image(
        "image AUROC of logical anomalies alone (MVTec LOCO)",
        auroc_of_type(LOGICAL),
        needs="defects",
        undefined=_TYPE,
    ),
    "pixel_f1": _pixel(
        "pixel F1 at the threshold set on the held-out normal images' pixels",
        counted.f1,
        needs="threshold",
    ),
    "pixel_f1_max": _pixel(
        "oracle: pixel F1 at the best test threshold, an upper bound (F1-max)", pooled(best_f1)
    ),
    "pixel_iou_max": _pixel(
        "oracle: pixel intersection over union at the best test threshold", pooled(best_iou)
    ),
    "pro_at_5_fpr": _pixel(
        "per-region overlap, area up to 5 % false positives (AUPRO)", pooled(pro_at(0.05))
    ),
    "aupimo": _pixel(
        "mean over defective images of recall at 1e-5 to 1e-4 false alarms on good images",
        over_images("aupimo"),
        undefined=_COARSE,
    ),
    "aupimo_median": _pixel(
        "the same, median over defective images", over_images("aupimo", median), undefined=_COARSE
    ),
    "pixel_auroc_per_image": _pixel(
        "mean over defective images of each one's own pixel AUROC (IGD)", over_images("auroc")
    ),
    "pixel_auroc_anomalous": _pixel(
        "pixel AUROC over defective images only (PatchCore, MKD)", among_anomalous(auroc)
    ),
    "pro_per_image": _pixel(
        "mean over defective images of each one's own PRO (RD4AD's code)", over_images("pro")
    ),
    "spro_at_5_fpr": _pixel(
        "saturated overlap per annotated defect, area up to 5 % false positives, mean over defect "
        "types (MVTec LOCO)",
        spro_at(0.05),
        needs="defects",
    ),
    "spro_at_5_fpr_structural": _pixel(
        "sPRO up to 5 % of structural anomalies alone",
        spro_at(0.05, STRUCTURAL),
        needs="defects",
        undefined=_TYPE,
    ),
    "spro_at_5_fpr_logical": _pixel(
        "sPRO up to 5 % of logical anomalies alone",
        spro_at(0.05, LOGICAL),
        needs="defects",
        undefined=_TYPE,
    ),
    "spro_at_30_fpr": _pixel(
        "sPRO up to 30 %, mean over defect types", spro_at(0.3), needs="defects"
    ),
    "spro_at_30_fpr_structural": _pixel(
        "sPRO up to 30 % of structural anomalies alone",
        spro_at(0.3, STRUCTURAL),
        needs="defects",
        undefined=_TYPE,
    ),
    "spro_at_30_fpr_logical": _pixel(
        "sPRO up to 30 % of logical anomalies alone",
        spro_at(0.3, LOGICAL),
        needs="defects",
        undefined=_TYPE,
    ),
}


SHOWN = tuple(name for name, metric in METRICS.items() if metric.default)
"""What tables show unasked, and first."""


def measured(
    level: Literal["image", "pixel"], *, groups: bool = False, defects: bool = False
) -> dict[str, Metric]:
    """Choose the metrics of a level that a data set has.

    >>> "group_auroc" in measured("image"), "group_auroc" in measured("image", groups=True)
    (False, True)
    """
    left_out = {"groups": not groups, "defects": not defects}
    return {
        name: metric
        for name, metric in METRICS.items()
        if metric.level == level and not left_out.get(metric.needs, False)
    }
