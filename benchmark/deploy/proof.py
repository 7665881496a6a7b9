"""Whether a kept or exported detector is the one that was measured: its record's test images again."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data.dataset import Category
from benchmark.deploy.judge import Array, Judge, prepare
from benchmark.errors import StoreError
from benchmark.metrics import image_metrics
from benchmark.records.frame import load_results
from benchmark.records.kept import Kept
from benchmark.records.stored import Datasets, Stored

TIMED = 16
"""Images that are timed alone, and together."""


@dataclass(frozen=True)
class Tested:
    """A kept detector's record, with the images that were scored for it.

    Attributes:
        stored: the record.
        category: its test images, in the order in which they were scored.
    """

    stored: Stored
    category: Category


@dataclass(frozen=True)
class Difference:
    """How far two sets of numbers are apart.

    Attributes:
        largest: absolute.
        of_range: the same as a share of the range (largest minus smallest) of the record's numbers.
    """

    largest: float
    of_range: float

    def text(self) -> str:
        if self.largest == 0:
            return "bit-equal"
        return f"largest difference {self.largest:.3g} ({self.of_range:.2g} of their range)"


@dataclass(frozen=True)
class Proof:
    """A detector's answers to its record's test images, beside the record.

    Attributes:
        images: how many.
        scores, maps: differences; no maps where the record keeps none.
        swapped: pairs of images that the two put into different orders, and all pairs.
        auroc: of the images, here and in the record; None with one kind of test image.
        decisions: images that got another decision; None without a threshold.
        seconds: per image alone and in batches of ``together``, decoded pixels to map.
        together: how many images are in such a batch.
    """

    images: int
    scores: Difference
    maps: Difference | None
    swapped: tuple[int, int]
    auroc: tuple[float | None, float | None]
    decisions: int | None
    seconds: tuple[float, float]
    together: int

    @property
    def equal(self) -> bool:
        """Whether every number is bit-equal."""
        return self.scores.largest == 0 and (self.maps is None or self.maps.largest == 0)

    @property
    def worst(self) -> float:
        """The largest difference as a share of the range, of scores or maps."""
        return max(self.scores.of_range, self.maps.of_range if self.maps else 0.0)

    def text(self) -> str:
        """Write it for people."""
        auroc = ["–" if v is None else f"{v:.6f}" for v in self.auroc]
        decisions = "" if self.decisions is None else f"; {self.decisions} decisions differ"
        alone, together = (1000 * seconds for seconds in self.seconds)
        maps = self.maps.text() if self.maps else "none to compare"
        return (
            f"{self.images} test images of the record, in its order\n"
            f"  scores   {self.scores.text()}\n"
            f"  maps     {maps}\n"
            f"  ranks    {self.swapped[0]} of {self.swapped[1]} pairs in another order{decisions}\n"
            f"  AUROC    {auroc[0]} here, {auroc[1]} in the record\n"
            f"  latency  {alone:.1f} ms alone, {together:.1f} ms per image in batches of "
            f"{self.together}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        maps = None if self.maps is None else vars(self.maps)
        return {**vars(self), "scores": vars(self.scores), "maps": maps}


def tested(
    kept: Kept, data_root: str | Path | None = None, plugin: Iterable[str | Path] = ()
) -> Tested:
    """Find a kept detector's record and its test images.

    Raises:
        StoreError: the record does not lie beside it.
        DataError: the images are not found, or are others now.
    """
    if not kept.record.exists():
        raise StoreError(
            f"{kept.path}: its record {kept.record.name} does not lie beside it, so there is nothing "
            "to compare with; name the detector in its results folder"
        )
    frame = load_results(kept.path.parent)
    rows = frame[frame["path"] == str(kept.record)]
    if rows.empty:
        raise StoreError(
            f"{kept.record}: is not readable as a record; run again with --keep --force"
        )
    stored = Stored(rows.iloc[0])
    return Tested(stored, Datasets(data_root, plugin).scored(stored))


def prove(judge: Judge, given: Tested, batch_size: int = 0) -> Proof:
    """Judge the record's test images, from their files on, and compare."""
    then = given.stored.scores
    scores = np.asarray(then.scores)
    kept_maps = given.stored.maps
    size = batch_size or judge.batch_size
    found: list[float] = []
    gap, low, high = 0.0, np.inf, -np.inf
    images = (sample.image for sample in given.category.test)
    for i, verdict in enumerate(judge.verdicts(images, size)):
        found.append(verdict.score)
        if kept_maps is not None and verdict.input_map is not None:
            gap = max(gap, float(np.abs(verdict.input_map - kept_maps[i]).max()))
            low, high = min(low, float(kept_maps[i].min())), max(high, float(kept_maps[i].max()))
    now = np.array(found)
    labels = np.asarray(then.labels, bool)
    threshold = judge.kept.threshold
    return Proof(
        len(now),
        _difference(float(np.abs(now - scores).max()), float(np.ptp(scores))),
        None if high < low else _difference(gap, high - low),
        swapped(now, scores),
        (image_metrics(now, labels).image_auroc, image_metrics(scores, labels).image_auroc),
        None if threshold is None else int(((now > threshold) != (scores > threshold)).sum()),
        timing(judge, given),
        min(TIMED, len(now)),
    )


def timing(judge: Judge, given: Tested) -> tuple[float, float]:
    """Time a judge on some test images: seconds per image alone (median) and together, after a
    warm-up."""
    kept = judge.kept
    samples = given.category.test[:TIMED]
    ready = [prepare(s.image, kept.geometry, kept.size, s.id) for s in samples]
    judge.judge(ready[:1])
    alone = [judge.judge([image])[0].milliseconds / 1000 for image in ready]
    judge.judge(ready)
    return statistics.median(alone), judge.judge(ready)[0].milliseconds / 1000


def swapped(a: Array, b: Array) -> tuple[int, int]:
    """Count the pairs that two scorings put into opposite orders, and all pairs.

    >>> swapped(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    (1, 3)
    """
    count = 0
    for i in range(len(a)):
        count += int((np.sign(a[i + 1 :] - a[i]) * np.sign(b[i + 1 :] - b[i]) < 0).sum())
    return count, len(a) * (len(a) - 1) // 2


def _difference(largest: float, spread: float) -> Difference:
    return Difference(largest, largest / spread if spread > 0 else float(largest > 0))
