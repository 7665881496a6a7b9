"""Pixel-level metrics: from maps in memory at once, or gathered image by image."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.curves import (
    Curves,
    Ranking,
    auroc,
    average_precision,
    best_f1_and_iou,
    curves,
    overlap_area,
)
from benchmark.metrics.inputs import Block, Bools, Floats, MetricInputError, blocks
from benchmark.metrics.ranking import count_below
from benchmark.metrics.regions import label_regions

Ints = NDArray[np.int64]

CURVE_POINTS = 1000


@dataclass(frozen=True)
class PixelMetrics:
    """Pixel-level results, fractions in 0..1; None where undefined or not asked for.

    The first five pool the pixels of all images. pixel_auroc_per_image and pro_per_image are
    means over the anomalous images, each measured by itself; pixel_auroc_anomalous pools the
    pixels of the anomalous images only. These three are None too where `variants` was off.
    """

    pixel_auroc: float | None
    pixel_ap: float | None
    pro: float | None
    pixel_f1_max: float | None
    pixel_iou_max: float | None
    pixel_auroc_per_image: float | None
    pixel_auroc_anomalous: float | None
    pro_per_image: float | None
    images: int
    anomalous_images: int
    regions: int
    anomalous_pixels: int
    normal_pixels: int
    fpr_limit: float
    curves: Curves | None = None


def pixel_metrics(
    maps: Any,
    masks: Any,
    *,
    fpr_limit: float = 0.3,
    variants: bool = True,
    curves: bool = False,
    overwrite: bool = False,
    ids: Sequence[str] | None = None,
    threads: int | None = None,
) -> PixelMetrics:
    """All pixel-level metrics of one test set, exact, from one ranking.

    maps: (N, H, W) float16, bfloat16, float32 or float64, higher is more anomalous, finite; or a
    list of (H, W) of any sizes. masks: the same shapes, bool, 0/1 or 0/255. Arrays or tensors.
    ids: N names for error messages. Raises MetricInputError, a ValueError, for anything else.
    """
    meter = PixelMeter(fpr_limit, variants=variants, curves=curves, threads=threads)
    for block in blocks(maps, masks, ids):
        meter._take(block)
    return meter.result()


class PixelMeter:
    """The metrics of `pixel_metrics`, gathered image by image; the results are identical."""

    def __init__(
        self,
        fpr_limit: float = 0.3,
        *,
        variants: bool = True,
        curves: bool = False,
        threads: int | None = None,
        memory_limit: int = 1 << 30,
    ) -> None:
        if not 0 < fpr_limit <= 1:
            raise MetricInputError(f"fpr_limit {fpr_limit}; a fraction in 0 < limit <= 1.")
        self.fpr_limit = fpr_limit
        self.variants = variants
        self.curves = curves
        self.threads = threads or os.cpu_count() or 1
        self.memory_limit = memory_limit
        self._images = 0
        self._pixels = 0
        self._anomalous_images = 0
        self._scores: list[Floats] = []
        self._regions: list[Ints] = []
        self._sizes: list[Ints] = []
        self._region_count = 0
        self._pieces: list[tuple[Floats, bool]] = []
        self._per_image: list[tuple[float | None, float | None]] = []

    def add(self, maps: Any, masks: Any, ids: Any = None) -> None:
        """Add one image (H, W) or a batch (B, H, W) and its masks; ids: a name, or B of them."""
        if len(np.shape(maps)) == 2:
            maps, masks = maps[None], masks[None]
            ids = None if ids is None else [ids] if isinstance(ids, str) else ids
        if ids is None:
            ids = [str(self._images + i) for i in range(len(maps))]
        for block in blocks(maps, masks, ids):
            self._take(block)

    def _take(self, block: Block) -> None:
        maps, masks = block.maps, block.masks
        anomalous: Bools = np.any(masks.reshape(len(masks), -1), axis=1)
        self._images += len(maps)
        self._pixels += maps.size
        self._anomalous_images += int(anomalous.sum())
        for image, bad in zip(maps, anomalous, strict=True):
            self._pieces.append((image.reshape(-1).copy(), bool(bad)))
        if not anomalous.any():
            return
        pixels = label_regions(masks)
        scores = maps[masks]
        self._scores.append(scores)
        self._regions.append(pixels.region + self._region_count)
        self._sizes.append(pixels.sizes)
        self._region_count += len(pixels.sizes)
        if self.variants:
            for i in np.flatnonzero(anomalous):
                mine = pixels.image == i
                region = np.unique(pixels.region[mine], return_inverse=True)[1]
                normal = maps[i][~masks[i]]
                self._per_image.append(self._measure_image(scores[mine], region, normal))

    def _measure_image(
        self, scores: Floats, region: Ints, normal: Floats
    ) -> tuple[float | None, float | None]:
        """AUROC and PRO of one anomalous image by itself."""
        if not len(normal):
            return None, None
        values, ranked = _sort_anomalous(scores, region, np.bincount(region))
        below, up_to = count_below([normal], values)
        ranking = ranked(len(normal), below, up_to)
        # The axis ends at the last threshold whose false positive rate is below the limit.
        allowed = int(np.ceil(self.fpr_limit * len(normal))) - 1
        edge = len(normal) - 1 - allowed
        last = int(np.count_nonzero(normal > np.partition(normal, edge)[edge]))
        return auroc(ranking), overlap_area(ranking, last) if last else None

    def result(self) -> PixelMetrics:
        """The metrics of all images so far; more may be added afterwards."""
        hits = sum(len(scores) for scores in self._scores)
        normal = self._pixels - hits
        found: dict[str, float | None] = dict.fromkeys(
            ["pixel_auroc", "pixel_ap", "pro", "pixel_f1_max", "pixel_iou_max"]
            + ["pixel_auroc_anomalous", "pixel_auroc_per_image", "pro_per_image"]
        )
        shapes = None
        if hits and normal:
            scores = np.concatenate(self._scores)
            values, ranked = _sort_anomalous(
                scores, np.concatenate(self._regions), np.concatenate(self._sizes)
            )
            own = np.sort(scores)
            own_below = np.searchsorted(own, values, "left")
            own_up_to = np.searchsorted(own, values, "right")
            bad = count_below([piece for piece, tag in self._pieces if tag], values)
            good = count_below([piece for piece, tag in self._pieces if not tag], values)
            bad_below, bad_up_to = bad[0] - own_below, bad[1] - own_up_to
            r = ranked(normal, bad_below + good[0], bad_up_to + good[1])
            found["pixel_auroc"] = auroc(r)
            found["pixel_ap"] = average_precision(r)
            found["pixel_f1_max"], found["pixel_iou_max"] = best_f1_and_iou(r)
            found["pro"] = overlap_area(r, self.fpr_limit * normal)
            if self.curves:
                shapes = curves(r, CURVE_POINTS)
            if self.variants:
                bad_normal = sum(len(piece) for piece, tag in self._pieces if tag) - hits
                if bad_normal:
                    found["pixel_auroc_anomalous"] = auroc(ranked(bad_normal, bad_below, bad_up_to))
                found["pixel_auroc_per_image"] = _mean(area for area, _ in self._per_image)
                found["pro_per_image"] = _mean(pro for _, pro in self._per_image)
        return PixelMetrics(
            **found,
            images=self._images,
            anomalous_images=self._anomalous_images,
            regions=self._region_count,
            anomalous_pixels=hits,
            normal_pixels=normal,
            fpr_limit=self.fpr_limit,
            curves=shapes,
        )


def _sort_anomalous(scores: Floats, region: Ints, sizes: Ints) -> Any:
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    values = ordered[first]
    weights = 1.0 / sizes[region[order]]
    found = np.cumsum(weights[::-1])[::-1] / len(sizes)

    def ranked(normal: int, below: Ints, up_to: Ints) -> Ranking:
        return Ranking(
            hits=(len(scores) - first)[::-1],
            above=(normal - up_to)[::-1],
            alarms=(normal - below)[::-1],
            overlap=found[first][::-1],
            anomalous=len(scores),
            normal=normal,
        )

    return values, ranked


def _mean(values: Iterator[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
