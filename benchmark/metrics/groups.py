"""Metrics of image scores whose images come in groups: frames in clips, views of parts."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.metrics.image import image_metrics
from benchmark.metrics.inputs import MetricInputError, to_numpy


@dataclass(frozen=True)
class GroupMetrics:
    """Results over groups, fractions in 0..1; None where undefined.

    Attributes:
        image_auroc_per_group: mean over the groups of each one's own AUROC; a group of one kind of
            image has none and is left out. Scores are taken as they are, never rescaled per group.
        group_auroc: AUROC of the groups: each scores as its highest image, and one defective image
            makes it defective.
    """

    image_auroc_per_group: float | None
    group_auroc: float | None


def group_metrics(scores: Any, labels: Any, groups: Any) -> GroupMetrics:
    """Compute both metrics of one test set.

    scores: (N,) float, higher is more anomalous; labels: (N,) bool or 0/1; groups: (N,) names or
    numbers. Arrays, tensors or lists. Raises MetricInputError as `image_metrics` does, and for
    another number of groups.

    >>> group_metrics([0.1, 0.4, 0.3, 0.2], [0, 1, 0, 0], ["a", "a", "b", "b"])
    GroupMetrics(image_auroc_per_group=1.0, group_auroc=1.0)
    """
    values, marked, names = to_numpy(scores), to_numpy(labels).astype(bool), to_numpy(groups)
    if not len(values) == len(marked) == len(names):
        raise MetricInputError(
            f"{len(values)} scores, {len(marked)} labels and {len(names)} groups; give one label "
            "and one group per score."
        )
    _, place, sizes = np.unique(names, return_inverse=True, return_counts=True)
    order = np.argsort(place, kind="stable")
    each, top, hit = [], [], []
    for part in np.split(order, np.cumsum(sizes)[:-1]) if len(order) else []:
        area = image_metrics(values[part], marked[part]).image_auroc
        if area is not None:
            each.append(area)
        top.append(values[part].max())
        hit.append(marked[part].any())
    return GroupMetrics(
        float(np.mean(each)) if each else None,
        image_metrics(np.array(top), np.array(hit)).image_auroc if top else None,
    )
