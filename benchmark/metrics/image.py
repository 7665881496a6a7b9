"""Metrics of one score per image."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.metrics.curves import Ranking, auroc, average_precision, best_f1_and_iou
from benchmark.metrics.inputs import (
    Bools,
    Floats,
    MetricInputError,
    as_floats,
    refuse_non_finite,
    to_numpy,
)


@dataclass(frozen=True)
class ImageMetrics:
    """Image-level results, fractions in 0..1; None where undefined.

    Areas, F1, oracle and recalls need at least one normal and one anomalous image; the accuracies
    and the four counts need a threshold, the balanced accuracy both classes as well.
    """

    image_auroc: float | None
    image_ap: float | None
    image_f1_max: float | None
    image_accuracy: float | None
    image_balanced_accuracy: float | None
    image_balanced_accuracy_oracle: float | None
    image_recall_at_0_fpr: float | None
    image_recall_at_1_fpr: float | None
    threshold: float | None
    tp: int | None
    fp: int | None
    tn: int | None
    fn: int | None
    anomalous_images: int
    normal_images: int


def image_metrics(scores: Any, labels: Any, *, threshold: float | None = None) -> ImageMetrics:
    """Compute all image-level metrics of one test set.

    scores: (N,) float, higher is more anomalous, finite; labels: (N,) bool or 0/1, 1 is
    anomalous; arrays, tensors or lists. An image is called anomalous where its score is strictly
    above the threshold, here and in `normal_threshold`.

    AUROC, AP and F1-max are scikit-learn's definitions, ties as groups.
    image_balanced_accuracy_oracle is the best (TPR + TNR) / 2 of any threshold: it has seen the
    labels. image_recall_at_0_fpr is the fraction of anomalous images above the highest normal
    score, image_recall_at_1_fpr that above the 99th percentile of the normal scores, which is the
    ceil(0.99 n)-th smallest of them (NumPy's "inverted_cdf"): at most 1 % of the normal images
    lie above it.

    Raises MetricInputError for lengths that disagree, NaN, infinities and other labels.

    >>> found = image_metrics([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], threshold=0.4)
    >>> found.image_auroc, found.image_accuracy, found.image_recall_at_0_fpr
    (0.75, 0.75, 0.5)
    """
    values, marked = _checked(scores, labels)
    hit, normal = np.sort(values[marked]), np.sort(values[~marked])
    ranked = rank_images(hit, normal)
    f1 = area = precision = oracle = recall_0 = recall_1 = None
    if ranked is not None:
        f1, _ = best_f1_and_iou(ranked)
        area, precision = auroc(ranked), average_precision(ranked)
        rates = ranked.hits / len(hit) - ranked.alarms / len(normal)
        oracle = float((rates.max() + 1) / 2)
        recall_0 = float(np.mean(hit > normal[-1]))
        recall_1 = float(np.mean(hit > normal[_ceil_percent(99, len(normal)) - 1]))
    tp = fp = tn = fn = accuracy = balanced = None
    if threshold is not None:
        if not np.isfinite(threshold):
            raise MetricInputError(f"threshold {threshold}; a finite number or None is allowed.")
        tp, fp = int(np.sum(hit > threshold)), int(np.sum(normal > threshold))
        fn, tn = len(hit) - tp, len(normal) - fp
        accuracy = (tp + tn) / len(values) if len(values) else None
        balanced = (tp / len(hit) + tn / len(normal)) / 2 if ranked is not None else None
    return ImageMetrics(
        image_auroc=area,
        image_ap=precision,
        image_f1_max=f1,
        image_accuracy=accuracy,
        image_balanced_accuracy=balanced,
        image_balanced_accuracy_oracle=oracle,
        image_recall_at_0_fpr=recall_0,
        image_recall_at_1_fpr=recall_1,
        threshold=threshold,
        tp=tp,
        fp=fp,
        tn=tn,
        fn=fn,
        anomalous_images=len(hit),
        normal_images=len(normal),
    )


def normal_threshold(held_out_scores: Any) -> float | None:
    """Set a threshold from held-out normal images alone; None without any.

    held_out_scores: (n,) float. It is the ceil(0.95 (n + 1))-th smallest score, the largest where
    n < 19: a new normal image scores above it with a probability of at most about 5 % (split
    conformal prediction). A score strictly above it is called anomalous. Raises MetricInputError
    for NaN and infinities.

    >>> normal_threshold([0.3, 0.1, 0.2])
    0.3
    """
    values = np.sort(_scores(held_out_scores, "held-out scores"))
    if not len(values):
        return None
    return float(values[min(_ceil_percent(95, len(values) + 1), len(values)) - 1])


def rank_images(hit: Floats, normal: Floats) -> Ranking | None:
    """Rank sorted anomalous and normal scores; None if either is empty."""
    if not len(hit) or not len(normal):
        return None
    values, counts = np.unique(hit, return_counts=True)
    alarms = len(normal) - np.searchsorted(normal, values, "left")
    above = len(normal) - np.searchsorted(normal, values, "right")
    hits = np.cumsum(counts[::-1])
    return Ranking(
        hits, above[::-1], alarms[::-1], hits / len(hit), anomalous=len(hit), normal=len(normal)
    )


def _ceil_percent(percent: int, n: int) -> int:
    """Return ceil(percent / 100 * n), in integers because 0.95 has no exact float."""
    return -(-percent * n // 100)


def _scores(scores: Any, what: str) -> Floats:
    values = to_numpy(scores)
    if values.ndim != 1:
        raise MetricInputError(f"{what} of shape {values.shape}; one score per image, (N,).")
    if not len(values):
        return np.zeros(0, dtype=np.float64)
    values = as_floats(values, what)
    refuse_non_finite(values, what)
    return values


def _checked(scores: Any, labels: Any) -> tuple[Floats, Bools]:
    values, marked = _scores(scores, "image scores"), to_numpy(labels)
    if marked.shape != values.shape:
        raise MetricInputError(
            f"{len(values)} image scores but labels of shape {marked.shape}; one label per score."
        )
    if not np.isin(marked, (0, 1)).all():
        raise MetricInputError(
            f"image labels hold {sorted(set(marked.tolist()))[:6]}; only 0 (normal) and 1 "
            "(anomalous) are allowed."
        )
    return values, marked.astype(np.bool_)
