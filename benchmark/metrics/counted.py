"""What is counted of a test set's pixels, and every metric of them as a short function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.curves import Ranking, overlap_area
from benchmark.metrics.scored import mean_of_all

PerImage = NDArray[np.float64]


@dataclass(frozen=True)
class CountedPixels:
    """Counts of a test set's pixels.

    Attributes:
        pooled: the ranking of all pixels, overlap by 8-connected region; None without an anomalous
            or a normal pixel.
        anomalous: the same of the pixels of the anomalous images alone.
        of_images: per name (``auroc``, ``pro``, ``aupimo``) one value per image, (N,), NaN where
            undefined, as for images without a marked pixel.
        types: by defect type the ranking of its images and all without a marked pixel, overlap by
            annotated defect and saturated; where defects are annotated one by one.
        called: anomalous and normal pixels strictly above the threshold; None without one.
        fpr_limit: where PRO ends.
    """

    pooled: Ranking | None
    anomalous: Ranking | None = None
    of_images: Mapping[str, PerImage] = field(default_factory=dict)
    types: Mapping[str, Ranking] = field(default_factory=dict)
    called: tuple[int, int] | None = None
    fpr_limit: float = 0.3


def pooled(function: Callable[[Ranking], float]) -> Callable[[CountedPixels], float | None]:
    """Make a metric from a function of the ranking of all pixels."""
    return lambda p: None if p.pooled is None else function(p.pooled)


def among_anomalous(
    function: Callable[[Ranking], float],
) -> Callable[[CountedPixels], float | None]:
    """Make a metric from a function of the ranking of the anomalous images' pixels."""
    return lambda p: None if p.anomalous is None else function(p.anomalous)


def over_images(
    name: str, average: Callable[[list[float]], float] | None = None
) -> Callable[[CountedPixels], float | None]:
    """Make a metric from the values per image: the mean, or another average, of those defined."""

    def of_known(p: CountedPixels) -> float | None:
        values = p.of_images[name]
        known: list[float] = values[~np.isnan(values)].tolist()
        if not known:
            return None
        return average(known) if average else sum(known) / len(known)

    return of_known


def pro(p: CountedPixels) -> float | None:
    """Return the area under the PRO curve up to the limit, over the limit (AUPRO)."""
    return None if p.pooled is None else overlap_area(p.pooled, p.fpr_limit * p.pooled.normal)


def pro_at(limit: float) -> Callable[[Ranking], float]:
    """Make a function of a ranking: AUPRO up to this false positive rate."""
    return lambda r: overlap_area(r, limit * r.normal)


def spro_at(limit: float, kind: str = "") -> Callable[[CountedPixels], float | None]:
    """Make the metric sPRO up to a false positive rate: of one defect type, or for ``""`` the mean
    over all types.

    Bergmann et al., "Beyond Dents and Scratches", IJCV 2022, section 4: the overlap of a defect
    is min(TP / saturation, 1), false positives are counted on its type's and on all good images.
    """
    area = pro_at(limit)

    def spro(p: CountedPixels) -> float | None:
        if kind:
            return area(p.types[kind]) if kind in p.types else None
        return mean_of_all([area(ranking) for ranking in p.types.values()])

    return spro


def f1(p: CountedPixels) -> float | None:
    """Return 2 TP / (2 TP + FP + FN) of all pixels at the threshold."""
    if p.pooled is None or p.called is None:
        return None
    hits, alarms = p.called
    return 2 * hits / (hits + alarms + p.pooled.anomalous)
