"""Pixel-level metrics: from maps in memory at once, or gathered image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.metrics.curves import Curves
from benchmark.metrics.image import value_of
from benchmark.metrics.inputs import Floats, blocks, to_numpy
from benchmark.metrics.names import measured
from benchmark.metrics.ranking import Scores, usable_threads
from benchmark.metrics.saturated import Defect
from benchmark.metrics.store import ScoreStore
from benchmark.metrics.tally import GOOD, Tally


@dataclass(frozen=True)
class PixelMetrics:
    """Pixel-level results.

    Every pixel metric of ``bench list metrics`` is an attribute, a fraction in 0..1; None where
    undefined or not asked for. Those over single images (per image, AUPIMO, over the anomalous
    images alone) are means over the images whose own value is defined, and None where `variants`
    is off; sPRO is there only where annotated defects were given.

    Attributes:
        of_images: one value per image, float64 (N,), of ``auroc``, ``pro`` and ``aupimo``; NaN
            where undefined, as for an image without a marked pixel.
    """

    values: Mapping[str, float | None]
    images: int
    anomalous_images: int
    regions: int
    anomalous_pixels: int
    normal_pixels: int
    fpr_limit: float
    of_images: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, compare=False)
    curves: Curves | None = None

    def __getattr__(self, name: str) -> float | None:
        return value_of(self, name)


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
    threshold: float | None = None,
    types: Sequence[str] | None = None,
    defects: Sequence[Sequence[Defect]] | None = None,
) -> PixelMetrics:
    """Compute all pixel-level metrics of one test set, exact, from one ranking.

    maps: (N, H, W) float16, bfloat16, float32 or float64, higher is more anomalous, finite, or a
    list of (H, W) of any sizes; masks: alike, bool, 0/1 or 0/255; arrays or torch tensors.
    fpr_limit: where PRO ends, 0 < limit <= 1. variants: also those per image and over the
    anomalous images. curves: also ROC, PR and PRO, at most 1000 points each. overwrite: maps may
    be sorted in place, which saves a copy of them where no compiled kernel counts (without numba,
    or float64). ids: N names for error messages. threads: at most as many work, None is one per
    core; the results don't depend on it. threshold: for F1; a pixel is called anomalous strictly
    above it. types and defects, for sPRO: N names of defect types, and per image its defects, each
    with a mask (H, W) bool and the number of pixels at which it saturates.

    Scores are ranked by value, ties as one group, -0.0 as 0.0. AUROC and AP are scikit-learn's.
    PRO is the mean overlap of the 8-connected regions, integrated over the false positive rate
    (Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021). pro_per_image is that of
    the code of RD4AD (Deng and Li, CVPR 2022) at all thresholds: the axis of each image ends at
    its highest rate below the limit. Without an anomalous or a normal pixel all are undefined.

    Raises MetricInputError, a ValueError, for shapes that disagree, scores of another type, NaN
    and infinities, and masks with other values; the message names the image.

    >>> maps = np.array([[[0.1, 0.9], [0.2, 0.3]], [[0.4, 0.1], [0.1, 0.8]]])  # (N, H, W)
    >>> masks = np.array([[[0, 255], [0, 0]], [[0, 0], [0, 0]]])
    >>> found = pixel_metrics(maps, masks)
    >>> found.pixel_auroc, found.regions, found.normal_pixels
    (1.0, 1, 7)
    """
    whole = _as_one(maps)
    expected = 0 if whole is None else whole.size
    tally = Tally(fpr_limit, variants, curves, usable_threads(threads), expected, threshold)
    pieces: dict[str, list[Floats]] = {}
    for examined in tally.examine(blocks(maps, masks, ids), types, defects):
        if whole is None:
            for scores, kind in zip(examined.maps, examined.kinds, strict=True):
                pieces.setdefault(kind, []).append(scores.reshape(-1))
    if whole is not None:
        pieces = _cut(whole, tally.kinds) if variants or defects else {GOOD: [whole]}
    return _metrics(tally, pieces, overwrite)


def _metrics(
    tally: Tally, pieces: Mapping[str, Sequence[Scores]], overwrite: bool = False
) -> PixelMetrics:
    """Apply every pixel metric of the table to what was counted."""
    found, drawn = tally.measure(pieces, overwrite)
    chosen = measured("pixel", defects=tally.has_defects)
    return PixelMetrics(
        {name: metric.function(found) for name, metric in chosen.items()},
        **tally.counts,
        fpr_limit=found.fpr_limit,
        of_images=found.of_images,
        curves=drawn,
    )


def _as_one(maps: Any) -> Floats | None:
    """View all maps as one flat array that shares their memory; None where they don't allow it."""
    if isinstance(maps, list | tuple) or str(maps.dtype) == "torch.bfloat16":
        return None
    array = to_numpy(maps)
    if array.dtype not in (np.float32, np.float64) or not array.flags.c_contiguous:
        return None
    return array.reshape(-1)


def _cut(whole: Floats, kinds: Sequence[str]) -> dict[str, list[Floats]]:
    """Join neighbouring images of one kind into one piece."""
    pixels = len(whole) // max(1, len(kinds))
    pieces: dict[str, list[Floats]] = {}
    begin = 0
    for kind, same in groupby(kinds):
        end = begin + len(list(same))
        pieces.setdefault(kind, []).append(whole[begin * pixels : end * pixels])
        begin = end
    return pieces


class PixelMeter:
    """The metrics of `pixel_metrics`, gathered image by image; the result is identical.

    Anomalous scores are kept in memory, 8 bytes per anomalous pixel (12 for float64). All scores
    wait for the result in memory up to `memory_limit` bytes and beyond that in an unnamed file
    in `spill_dir`, None for the system's place. Other settings: as in pixel_metrics.

    >>> import numpy as np
    >>> meter = PixelMeter()
    >>> meter.add(np.array([[0.1, 0.9]]), np.array([[0, 1]]))  # one image (H, W)
    >>> meter.add(np.zeros((3, 2, 2)), np.zeros((3, 2, 2), dtype=bool))  # a batch (B, H, W)
    >>> found = meter.result()
    >>> found.images, found.pixel_auroc
    (4, 1.0)
    """

    def __init__(
        self,
        fpr_limit: float = 0.3,
        *,
        variants: bool = True,
        curves: bool = False,
        threads: int | None = None,
        memory_limit: int = 1 << 30,
        spill_dir: Path | str | None = None,
        threshold: float | None = None,
    ) -> None:
        self._tally = Tally(
            fpr_limit, variants, curves, usable_threads(threads), threshold=threshold
        )
        self._store = ScoreStore(memory_limit, spill_dir)

    def add(
        self,
        maps: Any,
        masks: Any,
        ids: str | Sequence[str] | None = None,
        types: Sequence[str] | None = None,
        defects: Sequence[Sequence[Defect]] | None = None,
    ) -> None:
        """Add one image (H, W) or a batch (B, H, W), or a list of images, with the masks.

        ids: a name, or one per image, for error messages; by default the number of the image.
        types, defects: as in pixel_metrics, one per image. A batch with an error raises
        MetricInputError and leaves the meter as it was.
        """
        if not isinstance(maps, list | tuple) and len(maps.shape) == 2:
            maps, masks = to_numpy(maps)[None], to_numpy(masks)[None]
        if ids is None:
            ids = [str(len(self._tally.kinds) + i) for i in range(len(maps))]
        elif isinstance(ids, str):
            ids = [ids]
        for examined in self._tally.examine(blocks(maps, masks, ids), types, defects):
            for scores, kind in zip(examined.maps, examined.kinds, strict=True):
                self._store.append(kind, scores.reshape(-1))

    def result(self) -> PixelMetrics:
        """Return the metrics of all images so far; more may be added afterwards."""
        kinds = set(self._tally.kinds)
        return _metrics(self._tally, {kind: list(self._store.pieces(kind)) for kind in kinds})
