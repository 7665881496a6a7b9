"""What is remembered of each image as it passes, and what is counted of them all in the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.anomalous import OrderedScores, order_scores
from benchmark.metrics.aupimo import aupimo_of_images, contributions
from benchmark.metrics.counted import CountedPixels, PerImage
from benchmark.metrics.curves import Curves, Ranking, thinned_curves
from benchmark.metrics.inputs import Block, Bools, Floats, MetricInputError
from benchmark.metrics.ranking import Scores, count_below, each
from benchmark.metrics.regions import label_regions
from benchmark.metrics.saturated import Defect, SaturatedScores, check_defects
from benchmark.metrics.single import measure_image

Ints = NDArray[np.int64]
Counts = tuple[Ints, Ints]
RegionIds = NDArray[np.integer[Any]]

CURVE_POINTS = 1000
GOOD, ANOMALOUS = "", "anomalous"
"""Kinds of images; where defects are annotated, anomalous ones are of their defect type instead."""


@dataclass(frozen=True)
class Examined:
    """A checked block of maps (B, H, W).

    masks (B, H, W), where defects are annotated, else none; kinds (B,): what each image is; scores, region (P,): those of the anomalous pixels, the regions
    numbered from 0; sizes (K,); pixels: anomalous pixels of each anomalous image; called: anomalous
    and all pixels above the threshold; per_image: AUROC and PRO of each anomalous image by itself,
    where asked for; defects: those of each image, where they are annotated.
    """

    maps: Floats
    masks: Bools
    kinds: Sequence[str]
    scores: Floats
    region: RegionIds
    sizes: Ints
    pixels: Sequence[int]
    called: tuple[int, int]
    per_image: Sequence[tuple[float | None, float | None]]
    defects: Sequence[Sequence[Defect]]


@dataclass(frozen=True)
class _Annotated:
    """A block, and per image its defect type and defects where they are annotated."""

    block: Block
    types: Sequence[str]
    defects: Sequence[Sequence[Defect]]


class Tally:
    """Counts and anomalous scores of the images examined so far; holds no normal score.

    expected: the number of pixels to come, 0 if not known; threshold: for the pixels called
    anomalous.
    """

    def __init__(
        self,
        fpr_limit: float,
        variants: bool,
        curves: bool,
        threads: int,
        expected: int = 0,
        threshold: float | None = None,
    ) -> None:
        if not 0 < fpr_limit <= 1:
            raise MetricInputError(f"fpr_limit {fpr_limit}: allowed is 0 < fpr_limit <= 1.")
        self.kinds: list[str] = []
        self._expected = expected
        self._fpr_limit = fpr_limit
        self._variants = variants
        self._curves = curves
        self._threads = threads
        self._threshold = threshold
        self._called = [0, 0]
        self._pixels: dict[str, int] = {}  # by kind
        self._sizes_of_good: set[int] = set()
        self._scores: list[Floats] = []
        self._region: list[RegionIds] = []
        self._sizes: list[Ints] = []
        self._regions = 0
        self._marked: list[int] = []  # pixels of each anomalous image
        self._per_image: list[tuple[float | None, float | None]] = []
        self._saturated: dict[str, SaturatedScores] = {}
        self.has_defects = False

    def examine(
        self,
        blocks: Iterable[Block],
        types: Sequence[str] | None = None,
        defects: Sequence[Sequence[Defect]] | None = None,
    ) -> list[Examined]:
        """Check and remember blocks: all of them, or none if one raises MetricInputError.

        types, defects: one per image, both or neither.
        """
        annotated = list(_annotated(blocks, types, defects))
        found = each(self._examine, annotated, self._threads)
        self.has_defects |= defects is not None
        for examined in found:
            self._remember(examined)
        return found

    def _examine(self, given: _Annotated) -> Examined:
        block = given.block.checked()
        maps, masks = block.maps, block.masks
        anomalous = np.any(masks.reshape(len(masks), -1), axis=1)
        for i, defects in enumerate(given.defects):
            check_defects(masks[i].shape, masks[i], defects, block.ids[i])
        types = given.types or [ANOMALOUS] * len(masks)
        kinds = [kind or ANOMALOUS if a else GOOD for kind, a in zip(types, anomalous, strict=True)]
        scores = maps[masks] if anomalous.any() else maps.reshape(-1)[:0]
        called = self._called_in(scores), self._called_in(maps)
        kept = masks if given.defects else masks[:0]
        if not anomalous.any():
            none = np.zeros(0, dtype=np.int64)
            return Examined(maps, kept, kinds, scores, none, none, [], called, [], given.defects)
        found = label_regions(masks)
        # The pixels come image by image, and so do the regions.
        ends = np.searchsorted(found.image, np.arange(len(maps) + 1))
        per_image = []
        for i in np.flatnonzero(anomalous).tolist() if self._variants else ():
            own = slice(ends[i], ends[i + 1])
            region = found.region[own]
            sizes = found.sizes[region.min() : region.max() + 1]
            region = region - region.min()
            flat = maps[i].reshape(-1)
            expected = self._expected or sum(self._pixels.values())
            per_image.append(
                measure_image(flat, scores[own], region, sizes, self._fpr_limit, expected)
            )
        pixels = np.diff(ends)[anomalous].tolist()
        region, sizes = found.region, found.sizes
        return Examined(
            maps, kept, kinds, scores, region, sizes, pixels, called, per_image, given.defects
        )

    def _called_in(self, scores: Floats) -> int:
        """Count the scores strictly above the threshold; 0 without one."""
        if self._threshold is None:
            return 0
        limit = scores.dtype.type(self._threshold)
        if limit > self._threshold:  # rounded up: what lies above it is the same from the one below
            limit = np.nextafter(limit, -np.inf, dtype=scores.dtype)
        return int(np.count_nonzero(scores > limit))

    def _remember(self, examined: Examined) -> None:
        size = examined.maps[0].size
        self.kinds.extend(examined.kinds)
        for kind in examined.kinds:
            self._pixels[kind] = self._pixels.get(kind, 0) + size
            if kind == GOOD:
                self._sizes_of_good.add(size)
        self._called[0] += examined.called[0]
        self._called[1] += examined.called[1] - examined.called[0]
        if len(examined.scores):
            self._scores.append(examined.scores)
            self._region.append((examined.region + self._regions).astype(np.uint32))
            self._sizes.append(examined.sizes)
            self._regions += len(examined.sizes)
        self._marked.extend(examined.pixels)
        self._per_image.extend(examined.per_image)
        for i, defects in enumerate(examined.defects):
            if (kind := examined.kinds[i]) != GOOD:
                saturated = self._saturated.setdefault(kind, SaturatedScores())
                saturated.add(examined.maps[i], examined.masks[i], defects)

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of images, regions and pixels, by the names of PixelMetrics."""
        hits = sum(self._marked)
        return {
            "images": len(self.kinds),
            "anomalous_images": len(self._marked),
            "regions": self._regions,
            "anomalous_pixels": hits,
            "normal_pixels": sum(self._pixels.values()) - hits,
        }

    def measure(
        self, pieces: Mapping[str, Sequence[Scores]], overwrite: bool = False
    ) -> tuple[CountedPixels, Curves | None]:
        """Count the scores of all images, by kind; draw the curves where asked for.

        Without variants and annotated defects it doesn't matter which kind holds which image.
        """
        hits, normal = sum(self._marked), self.counts["normal_pixels"]
        of_images = {
            "auroc": self._spread([area for area, _ in self._per_image]),
            "pro": self._spread([pro for _, pro in self._per_image]),
            "aupimo": self._spread(self._aupimo(pieces.get(GOOD, [])) if self._variants else []),
        }
        if not hits or not normal:
            return CountedPixels(None, None, of_images, fpr_limit=self._fpr_limit), None
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
            expected=sum(self._pixels.values()),
        )
        counted = {kind: count(found) for kind, found in pieces.items()}
        good = counted.pop(GOOD, None) or _no_counts(len(ordered.values))
        beside = _no_counts(len(ordered.values))
        for own in counted.values():
            beside = _added(beside, own)
        beside_normal = normal - self._pixels.get(GOOD, 0)
        below, up_to = _added(good, beside)
        ranking = ordered.ranking(below, up_to, normal)
        anomalous = None
        if self._variants and beside_normal:
            anomalous = ordered.ranking(*beside, beside_normal)
        found = CountedPixels(
            ranking,
            anomalous,
            of_images,
            self._types(ordered, {kind: _added(good, own) for kind, own in counted.items()}),
            (self._called[0], self._called[1]) if self._threshold is not None else None,
            self._fpr_limit,
        )
        return found, thinned_curves(ranking, CURVE_POINTS) if self._curves else None

    def _types(self, ordered: OrderedScores, counted: Mapping[str, Counts]) -> dict[str, Ranking]:
        """Rank the annotated defects of each type among its images' and the good ones' pixels."""
        found = {}
        for kind, saturated in sorted(self._saturated.items()):
            pixels = self._pixels[kind] + self._pixels.get(GOOD, 0)
            ranking = saturated.ranking(ordered.values, *counted[kind], pixels)
            if ranking is not None:
                found[kind] = ranking
        return found

    def _aupimo(self, good: Sequence[Scores]) -> list[float | None]:
        """Compute AUPIMO of each anomalous image."""
        if not self._marked or not good:
            return [None] * len(self._marked)
        by_size: dict[int, list[Scores]] = {}
        for piece in good:
            # Pieces that join several images are cut from maps of one size.
            size = len(piece) if len(self._sizes_of_good) > 1 else min(self._sizes_of_good)
            by_size.setdefault(size, []).append(piece)
        images = self.kinds.count(GOOD)
        return aupimo_of_images(contributions(by_size, images), self._scores, self._marked)

    def _spread(self, values: Sequence[float | None]) -> PerImage:
        """Give every image a place: NaN for those without a value."""
        spread = np.full(len(self.kinds), np.nan)
        if values:
            marked = np.array([kind != GOOD for kind in self.kinds])
            spread[marked] = [np.nan if value is None else value for value in values]
        return spread


def _no_counts(values: int) -> Counts:
    return np.zeros(values, np.int64), np.zeros(values, np.int64)


def _added(one: Counts, other: Counts) -> Counts:
    return one[0] + other[0], one[1] + other[1]


def _annotated(
    blocks: Iterable[Block],
    types: Sequence[str] | None,
    defects: Sequence[Sequence[Defect]] | None,
) -> Iterator[_Annotated]:
    """Give each block its part of the annotations. Raises MetricInputError for other numbers."""
    if (types is None) != (defects is None):
        raise MetricInputError("defect types and defects go together; give both or neither.")
    begin = 0
    for block in blocks:
        part = slice(begin, begin + len(block.ids))
        begin = part.stop
        yield _Annotated(block, (types or ())[part], (defects or ())[part])
    if types is not None and defects is not None and not len(types) == len(defects) == begin:
        raise MetricInputError(
            f"{len(types)} defect types and {len(defects)} lists of defects for {begin} images; "
            "give one each per image."
        )
