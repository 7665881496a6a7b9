"""Pixel-level metrics: from maps in memory at once, or gathered image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.metrics.curves import Curves
from benchmark.metrics.inputs import Floats, blocks, to_numpy
from benchmark.metrics.ranking import usable_threads
from benchmark.metrics.store import ScoreStore
from benchmark.metrics.tally import Tally


@dataclass(frozen=True)
class PixelMetrics:
    """Pixel-level results, fractions in 0..1; None where undefined or not asked for.

    The first five pool the pixels of all images. pixel_auroc_per_image and pro_per_image are
    means over those anomalous images whose own value is defined; pixel_auroc_anomalous pools the
    pixels of the anomalous images only. These three are None too where `variants` is off.
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
    """Compute all pixel-level metrics of one test set, exact, from one ranking.

    maps: (N, H, W) float16, bfloat16, float32 or float64, higher is more anomalous, finite, or a
    list of (H, W) of any sizes; masks: alike, bool, 0/1 or 0/255; arrays or torch tensors.
    fpr_limit: where PRO ends, 0 < limit <= 1. variants: also those per image and over the
    anomalous images. curves: also ROC, PR and PRO, at most 1000 points each. overwrite: maps may
    be sorted in place, which saves a copy of them where no compiled kernel counts (without numba,
    or float64). ids: N names for error messages. threads: at most as many work, None is one per
    core; the results don't depend on it.

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
    tally = Tally(fpr_limit, variants, curves, usable_threads(threads), expected)
    pieces: dict[bool, list[Floats]] = {True: [], False: []}
    for examined in tally.examine(blocks(maps, masks, ids)):
        if whole is None:
            for scores, anomalous in zip(examined.maps, examined.anomalous, strict=True):
                pieces[bool(anomalous)].append(scores.reshape(-1))
    if whole is not None:
        pieces = _cut(whole, tally.is_anomalous) if variants else {True: [whole], False: []}
    return PixelMetrics(**tally.measure(pieces[True], pieces[False], overwrite))


def _as_one(maps: Any) -> Floats | None:
    """View all maps as one flat array that shares their memory; None where they don't allow it."""
    if isinstance(maps, list | tuple) or str(maps.dtype) == "torch.bfloat16":
        return None
    array = to_numpy(maps)
    if array.dtype not in (np.float32, np.float64) or not array.flags.c_contiguous:
        return None
    return array.reshape(-1)


def _cut(whole: Floats, is_anomalous: Sequence[bool]) -> dict[bool, list[Floats]]:
    """Join neighbouring images of one kind into one piece."""
    pixels = len(whole) // max(1, len(is_anomalous))
    change = np.flatnonzero(np.diff(is_anomalous)) + 1
    pieces: dict[bool, list[Floats]] = {True: [], False: []}
    for begin, end in zip([0, *change], [*change, len(is_anomalous)], strict=True):
        if end > begin:
            pieces[is_anomalous[begin]].append(whole[begin * pixels : end * pixels])
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
    ) -> None:
        self._tally = Tally(fpr_limit, variants, curves, usable_threads(threads))
        self._store = ScoreStore(memory_limit, spill_dir)

    def add(self, maps: Any, masks: Any, ids: str | Sequence[str] | None = None) -> None:
        """Add one image (H, W) or a batch (B, H, W), or a list of images, with the masks.

        ids: a name, or one per image, for error messages; by default the number of the image. A
        batch with an error raises MetricInputError and leaves the meter as it was.
        """
        if not isinstance(maps, list | tuple) and len(maps.shape) == 2:
            maps, masks = to_numpy(maps)[None], to_numpy(masks)[None]
        if ids is None:
            ids = [str(len(self._tally.is_anomalous) + i) for i in range(len(maps))]
        elif isinstance(ids, str):
            ids = [ids]
        for examined in self._tally.examine(blocks(maps, masks, ids)):
            for scores, anomalous in zip(examined.maps, examined.anomalous, strict=True):
                self._store.append(bool(anomalous), scores.reshape(-1))

    def result(self) -> PixelMetrics:
        """Return the metrics of all images so far; more may be added afterwards."""
        found = self._tally.measure(self._store.pieces(True), self._store.pieces(False))
        return PixelMetrics(**found)
