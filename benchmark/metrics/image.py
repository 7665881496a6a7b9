"""Metrics of one score per image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.inputs import MetricInputError, as_scores, to_numpy
from benchmark.metrics.names import measured
from benchmark.metrics.scored import ScoredImages


@dataclass(frozen=True)
class ImageMetrics:
    """Image-level results.

    Every image metric of ``bench list metrics`` is an attribute, a fraction in 0..1; None where
    undefined. Those of groups and of annotated defects are there only where these were given. The
    accuracies, F1 and the four counts need a threshold; all but the accuracy need at least one
    normal and one anomalous image.
    """

    values: Mapping[str, float | None]
    threshold: float | None
    tp: int | None
    fp: int | None
    tn: int | None
    fn: int | None
    anomalous_images: int
    normal_images: int

    def __getattr__(self, name: str) -> float | None:
        return value_of(self, name)


def value_of(found: Any, name: str) -> float | None:
    """Look up a metric among the values of a result. Raises AttributeError."""
    values: Mapping[str, float | None] = vars(found).get("values", {})
    if name not in values:
        raise AttributeError(f"{type(found).__name__} has no {name!r}")
    return values[name]


def image_metrics(
    scores: Any,
    labels: Any,
    *,
    threshold: float | None = None,
    groups: Any = None,
    types: Any = None,
) -> ImageMetrics:
    """Compute all image-level metrics of one test set.

    scores: (N,) float, higher is more anomalous, finite; labels: (N,) bool or 0/1, 1 is
    anomalous; arrays, tensors or lists. An image is called anomalous where its score is strictly
    above the threshold, here and in `normal_threshold`. groups: (N,) names of clips or parts, for
    the metrics of groups; types: (N,) names of defect types, for those by type.

    AUROC, AP and F1-max are scikit-learn's definitions, ties as groups.
    image_balanced_accuracy_oracle is the best (TPR + TNR) / 2 of any threshold, image_f1_max the
    best F1: they have seen the labels. image_recall_at_1_fpr is the fraction of anomalous images
    above the 99th percentile of the normal scores, which is the ceil(0.99 n)-th smallest of them
    (NumPy's "inverted_cdf"): at most 1 % of the normal images lie above it.

    Raises MetricInputError for lengths that disagree, NaN, infinities and other labels.

    >>> found = image_metrics([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], threshold=0.4)
    >>> found.image_auroc, found.image_accuracy, found.image_recall_at_0_fpr
    (0.75, 0.75, 0.5)
    """
    images = checked(scores, labels, threshold, groups, types)
    chosen = measured("image", groups=groups is not None, defects=types is not None)
    tp, fp, tn, fn = images.called if threshold is not None else (None, None, None, None)
    return ImageMetrics(
        {name: metric.function(images) for name, metric in chosen.items()},
        threshold=threshold,
        tp=tp,
        fp=fp,
        tn=tn,
        fn=fn,
        anomalous_images=len(images.hit),
        normal_images=len(images.normal),
    )


def checked(
    scores: Any,
    labels: Any,
    threshold: float | None = None,
    groups: Any = None,
    types: Any = None,
) -> ScoredImages:
    """Check what `image_metrics` takes. Raises MetricInputError."""
    values, marked = as_scores(scores, "image scores"), to_numpy(labels)
    if marked.shape != values.shape:
        raise MetricInputError(
            f"{len(values)} image scores but labels of shape {marked.shape}; one label per score."
        )
    if not np.isin(marked, (0, 1)).all():
        raise MetricInputError(
            f"image labels hold {sorted(set(marked.tolist()))[:6]}; only 0 (normal) and 1 "
            "(anomalous) are allowed."
        )
    if threshold is not None and not np.isfinite(threshold):
        raise MetricInputError(f"threshold {threshold}; a finite number or None is allowed.")
    return ScoredImages(
        values,
        marked.astype(np.bool_),
        threshold,
        _names(groups, len(values), "group"),
        _names(types, len(values), "defect type"),
    )


def _names(names: Any, count: int, what: str) -> NDArray[Any] | None:
    if names is None:
        return None
    found = to_numpy(names)
    if found.shape != (count,):
        raise MetricInputError(
            f"{count} image scores but {len(found)} {what}s; one {what} per score."
        )
    return found
