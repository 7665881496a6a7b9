"""The same metrics for each defect type by itself, against all normal images."""

from collections.abc import Sequence
from typing import Any

from benchmark.metrics.image import ImageMetrics, image_metrics
from benchmark.metrics.inputs import MetricInputError, to_numpy
from benchmark.metrics.pixel import PixelMetrics, pixel_metrics


def pixel_metrics_by_type(
    maps: Any,
    masks: Any,
    types: Sequence[str],
    *,
    normal: str = "good",
    ids: Sequence[str] | None = None,
    **options: Any,
) -> dict[str, PixelMetrics]:
    """Measure each defect type by pixel: its own images and all those of type `normal`.

    maps and masks: as in pixel_metrics; types: (N,) one name per image; options: those of
    pixel_metrics. Returns the types in order of their names, `normal` left out. Raises
    MetricInputError as pixel_metrics does.

    >>> import numpy as np
    >>> maps = np.array([[[0.9, 0.1]], [[0.1, 0.3]], [[0.2, 0.2]]])
    >>> masks = np.array([[[1, 0]], [[1, 0]], [[0, 0]]])
    >>> by_type = pixel_metrics_by_type(maps, masks, ["cut", "hole", "good"])
    >>> {name: found.pixel_auroc for name, found in by_type.items()}
    {'cut': 1.0, 'hole': 0.0}
    """
    names = [str(i) for i in range(len(types))] if ids is None else ids
    return {
        kind: pixel_metrics(
            [maps[i] for i in chosen],
            [masks[i] for i in chosen],
            ids=[names[i] for i in chosen],
            **options,
        )
        for kind, chosen in _chosen(types, len(maps), normal).items()
    }


def image_metrics_by_type(
    scores: Any,
    labels: Any,
    types: Sequence[str],
    *,
    normal: str = "good",
    threshold: float | None = None,
) -> dict[str, ImageMetrics]:
    """Measure each defect type by image: its own images and all those of type `normal`.

    scores, labels, threshold: as in image_metrics; types: (N,) one name per image.

    >>> found = image_metrics_by_type([0.9, 0.1, 0.2], [1, 1, 0], ["cut", "hole", "good"])
    >>> {name: metrics.image_auroc for name, metrics in found.items()}
    {'cut': 1.0, 'hole': 0.0}
    """
    values, marked = to_numpy(scores), to_numpy(labels)
    return {
        kind: image_metrics(values[chosen], marked[chosen], threshold=threshold)
        for kind, chosen in _chosen(types, len(values), normal).items()
    }


def _chosen(types: Sequence[str], count: int, normal: str) -> dict[str, list[int]]:
    if len(types) != count:
        raise MetricInputError(f"{len(types)} defect types for {count} images; give one each.")
    return {
        kind: [i for i, name in enumerate(types) if name in (kind, normal)]
        for kind in sorted(set(types) - {normal})
    }
