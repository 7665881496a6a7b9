"""What is remembered of each image as it passes, and how the metrics follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.anomalous import order_scores
from benchmark.metrics.curves import (
    Ranking,
    auroc,
    average_precision,
    best_f1_and_iou,
    overlap_area,
    thinned_curves,
)
from benchmark.metrics.inputs import Block, Bools, Floats, MetricInputError
from benchmark.metrics.ranking import Scores, count_below, each
from benchmark.metrics.regions import label_regions

Ints = NDArray[np.int64]
RegionIds = NDArray[np.integer[Any]]

CURVE_POINTS = 1000


@dataclass(frozen=True)
class Examined:
    """A checked block of maps (B, H, W) and which of them are anomalous (B,).

    scores, region (P,): those of the anomalous pixels, the regions numbered from 0; sizes (K,).
    per_image: AUROC and PRO of each anomalous image by itself, where asked for.
    """

    maps: Floats
    anomalous: Bools
    scores: Floats
    region: RegionIds
    sizes: Ints
    per_image: Sequence[tuple[float | None, float | None]]


class Tally:
    """Counts and anomalous scores of the images examined so far; holds no normal score.

    expected: the number of pixels to come, 0 if not known.
    """

    def __init__(
        self, fpr_limit: float, variants: bool, curves: bool, threads: int, expected: int = 0
    ) -> None:
        if not 0 < fpr_limit <= 1:
            raise MetricInputError(f"fpr_limit {fpr_limit}: allowed is 0 < fpr_limit <= 1.")
        self.is_anomalous: list[bool] = []
        self._expected = expected
        self._fpr_limit = fpr_limit
        self._variants = variants
        self._curves = curves
        self._threads = threads
        self._pixels = 0
        self._pixels_of_anomalous = 0
        self._scores: list[Floats] = []
        self._region: list[RegionIds] = []
        self._sizes: list[Ints] = []
        self._regions = 0
        self._per_image: list[tuple[float | None, float | None]] = []

    def examine(self, blocks: Iterable[Block]) -> list[Examined]:
        """Check and remember blocks: all of them, or none if one raises MetricInputError."""
        found = each(self._examine, blocks, self._threads)
        for examined in found:
            self._remember(examined)
        return found

    def _examine(self, block: Block) -> Examined:
        block = block.checked()
        maps, masks = block.maps, block.masks
        anomalous = np.any(masks.reshape(len(masks), -1), axis=1)
        if not anomalous.any():
            none = np.zeros(0, dtype=np.int64)
            return Examined(maps, anomalous, maps.reshape(-1)[:0], none, none, [])
        pixels = label_regions(masks)
        scores = maps[masks]
        per_image = []
        if self._variants:
            # The pixels come image by image, and so do the regions.
            ends = np.searchsorted(pixels.image, np.arange(len(maps) + 1))
            for i in np.flatnonzero(anomalous):
                own = slice(ends[i], ends[i + 1])
                region = pixels.region[own]
                sizes = pixels.sizes[region.min() : region.max() + 1]
                region = region - region.min()
                per_image.append(
                    self._measure_image(maps[i].reshape(-1), scores[own], region, sizes)
                )
        return Examined(maps, anomalous, scores, pixels.region, pixels.sizes, per_image)

    def _measure_image(
        self, image: Floats, scores: Floats, region: Ints, sizes: Ints
    ) -> tuple[float | None, float | None]:
        """Compute AUROC and PRO of one anomalous image by itself, flat; None where undefined."""
        normal = len(image) - len(scores)
        if not normal:
            return None, None
        ordered = order_scores(scores, region, sizes)
        counted = count_below([image], ordered.values, expected=self._expected or self._pixels)
        ranking = ordered.ranking(*counted, normal)
        end = _last_alarms(ranking, image, ordered.values[::-1], self._fpr_limit * normal)
        return auroc(ranking), overlap_area(ranking, end) if end else None

    def _remember(self, examined: Examined) -> None:
        maps, anomalous = examined.maps, examined.anomalous
        self.is_anomalous.extend(anomalous.tolist())
        self._pixels += maps.size
        self._pixels_of_anomalous += int(anomalous.sum()) * maps[0].size
        if len(examined.scores):
            self._scores.append(examined.scores)
            self._region.append((examined.region + self._regions).astype(np.uint32))
            self._sizes.append(examined.sizes)
            self._regions += len(examined.sizes)
        self._per_image.extend(examined.per_image)

    def measure(
        self, anomalous: Iterable[Scores], good: Iterable[Scores], overwrite: bool = False
    ) -> dict[str, Any]:
        """Compute the fields of PixelMetrics from the scores of the anomalous and of the good
        images.

        Without variants it doesn't matter which of the two holds which image.
        """
        hits = sum(len(scores) for scores in self._scores)
        normal = self._pixels - hits
        found: dict[str, Any] = {
            "pixel_auroc": None,
            "pixel_ap": None,
            "pro": None,
            "pixel_f1_max": None,
            "pixel_iou_max": None,
            "pixel_auroc_per_image": _mean([area for area, _ in self._per_image]),
            "pixel_auroc_anomalous": None,
            "pro_per_image": _mean([pro for _, pro in self._per_image]),
            "images": len(self.is_anomalous),
            "anomalous_images": sum(self.is_anomalous),
            "regions": self._regions,
            "anomalous_pixels": hits,
            "normal_pixels": normal,
            "fpr_limit": self._fpr_limit,
            "curves": None,
        }
        if not hits or not normal:
            return found
        ordered = order_scores(
            np.concatenate(self._scores),
            np.concatenate(self._region),
            np.concatenate(self._sizes),
            self._threads,
        )
        count = partial(
            count_below,
            values=ordered.values,
            threads=self._threads,
            overwrite=overwrite,
            expected=self._pixels,
        )
        below, up_to = count(anomalous)
        normal_beside = self._pixels_of_anomalous - hits
        if self._variants and normal_beside:
            found["pixel_auroc_anomalous"] = auroc(ordered.ranking(below, up_to, normal_beside))
        more = count(good)
        ranking = ordered.ranking(below + more[0], up_to + more[1], normal)
        found["pixel_auroc"] = auroc(ranking)
        found["pixel_ap"] = average_precision(ranking)
        found["pro"] = overlap_area(ranking, self._fpr_limit * normal)
        found["pixel_f1_max"], found["pixel_iou_max"] = best_f1_and_iou(ranking)
        if self._curves:
            found["curves"] = thinned_curves(ranking, CURVE_POINTS)
        return found


def _last_alarms(r: Ranking, image: Floats, values: Floats, limit: float) -> int:
    """Find the largest number of false alarms below `limit` that any threshold of an image gives.

    values (U,): the anomalous scores of the ranking, falling.
    """
    # The limit falls after all scores whose alarms stay below it: look between that and the next.
    passed = int(np.searchsorted(r.alarms, limit))
    alarms = int(r.alarms[passed - 1]) if passed else 0
    between = np.ones(len(image), dtype=np.bool_)
    if passed:
        between &= image < values[passed - 1]
    if passed < len(values):
        between &= image > values[passed]
    gap = image[between]
    room = int(np.ceil(limit)) - 1 - alarms
    if room >= len(gap):
        return alarms + len(gap)
    edge = len(gap) - 1 - room
    return alarms + int(np.count_nonzero(gap > np.partition(gap, edge)[edge]))


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
