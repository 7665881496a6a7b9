"""Bootstrap intervals over test images, for image and pixel metrics.

A resample draws as many good and as many defective images as there are, with replacement. Image
metrics are computed on every resample exactly. Pooled pixel metrics come from histograms of every
image's scores: what a resample pools is then a weighted sum of histograms, and thousands of them cost
a matrix product. Bins are quantiles, finer towards the highest scores, so that an interval is off by
at most about 0.001; printed values never come from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.errors import SettingsError, StoreError, unknown
from benchmark.metrics import image_metrics, normal_threshold, pixel_metrics
from benchmark.metrics.groups import group_metrics
from benchmark.metrics.names import GROUP_METRICS, IMAGE_METRICS, PIXEL_METRICS
from benchmark.metrics.regions import label_regions
from benchmark.records.store import Scores
from benchmark.records.stored import Datasets, Stored

Array = npt.NDArray[Any]
RESAMPLES = 2000
CHUNK = 250
"""Resamples at a time: bounds the memory of their histograms."""
BINS = 4096
FPR_LIMIT = 0.3
PER_IMAGE = ("pixel_auroc_per_image", "pro_per_image")


@dataclass(frozen=True)
class Draws:
    """Resamples of one test set.

    Independent images are drawn by kind, as many good and as many defective ones as there are;
    images in groups (clips, parts) are drawn a whole group at a time, since those of one group
    resemble each other.

    Attributes:
        labels: whether each image is defective, in the order of their ids.
        bad, good: positions of the images drawn, (R, P) and (R, N); both (R, 0) for groups.
        groups: per image the number of its group, (M,); None for independent images.
        drawn: numbers of the groups drawn, (R, G); None for independent images.
    """

    labels: Array
    bad: Array
    good: Array
    groups: Array | None = None
    drawn: Array | None = None

    @classmethod
    def of(
        cls, labels: Array, resamples: int = RESAMPLES, units: Sequence[str] | None = None
    ) -> Draws:
        random = np.random.default_rng(0)
        if units is not None and len(set(units)) < len(units):
            names, groups = np.unique(units, return_inverse=True)
            if len(names) < 2:
                raise StoreError(
                    "all test images are of one group: resamples of a single one do not differ, so "
                    "they say nothing about chance"
                )
            drawn = random.integers(len(names), size=(resamples, len(names)))
            none = np.empty((resamples, 0), np.intp)
            return cls(labels, none, none, groups, drawn)
        bad, good = np.flatnonzero(labels), np.flatnonzero(~labels)
        if min(len(bad), len(good)) < 2:
            raise StoreError(
                f"{len(good)} good and {len(bad)} defective test images: resamples of a single one "
                "do not differ, so they say nothing about chance"
            )
        chosen = [
            kind[random.integers(len(kind), size=(resamples, len(kind)))] for kind in (bad, good)
        ]
        return cls(labels, *chosen)

    def weights(self, count: int) -> Iterator[Array]:
        """Yield how often each of ``count`` images was drawn, float32 (≤ CHUNK, count) at a
        time."""
        both = np.concatenate([self.bad, self.good], axis=1)
        if self.groups is not None and self.drawn is not None:
            both, count = self.drawn, int(self.groups.max()) + 1
        for part in (both[i : i + CHUNK] for i in range(0, len(both), CHUNK)):
            table = np.zeros((len(part), count), np.float32)
            np.add.at(table, (np.arange(len(part))[:, None], part), 1)
            yield table if self.groups is None else table[:, self.groups]

    def samples(self) -> Iterator[tuple[Array, Array]]:
        """Yield, for groups, per resample the positions of its images, and per image which draw it
        is of."""
        assert self.groups is not None and self.drawn is not None
        members = [np.flatnonzero(self.groups == i) for i in range(self.groups.max() + 1)]
        for row in self.drawn:
            parts = [members[group] for group in row]
            yield np.concatenate(parts), np.repeat(np.arange(len(row)), list(map(len, parts)))


@dataclass(frozen=True)
class Histograms:
    """Scores of a test set's pixels, highest bin first, images in the order of their ids.

    Attributes:
        normal, anomalous: pixels per image and bin, float32 (N, BINS).
        regions: share of each ground-truth region per bin, float32 (K, BINS).
        owner: image of each region, (K,).
        each: per image the metrics that are means over images; NaN where undefined.
    """

    normal: Array
    anomalous: Array
    regions: Array
    owner: Array
    each: dict[str, Array]


def interval(
    a: Sequence[Stored], b: Sequence[Stored], metric: str, datasets: Datasets
) -> tuple[float, float]:
    """Find the 95 % interval of the difference of two means over seeds; the same draws serve both
    sides, so that the images' own difficulty cancels.

    Args:
        a, b: the records of all seeds.
        metric: any.
        datasets: for the ground truth of pixel metrics.

    Raises:
        BenchError: scores or maps were not kept, other images, or a metric undefined on a resample.
    """
    first = a[0].scores
    units = np.asarray(first.units)[np.argsort(first.ids)].tolist()
    draws = Draws.of(_labels(first.ids, first.labels), units=units)
    for run in (*a, *b):
        same = sorted(run.scores.ids) == sorted(first.ids)
        if not same or not np.array_equal(_labels(run.scores.ids, run.scores.labels), draws.labels):
            raise StoreError("the two sides were not scored on the same images")
    values = [
        np.mean([_values(run, metric, draws, datasets) for run in side], 0) for side in (a, b)
    ]
    difference = values[0] - values[1]
    if not np.isfinite(difference).all():
        raise StoreError(f"{metric} is undefined on some resamples")
    low, high = np.quantile(difference, (0.025, 0.975))
    return float(low), float(high)


def aligned(scores: Scores) -> tuple[Array, Array]:
    """Return scores and labels of the test images in the order of their ids, both (N,)."""
    order = np.argsort(scores.ids)
    return np.asarray(scores.scores)[order], np.asarray(scores.labels, bool)[order]


def _labels(ids: Sequence[str], labels: Array) -> Array:
    return np.asarray(labels, bool)[np.argsort(ids)]


def _values(run: Stored, metric: str, draws: Draws, datasets: Datasets) -> Array:
    """Compute the metric on every resample, float64 (R,)."""
    if metric in IMAGE_METRICS or metric in GROUP_METRICS:
        scores = np.asarray(run.scores.scores)[np.argsort(run.scores.ids)]
        return image_values(scores, metric, draws, normal_threshold(run.scores.held_out))
    found = histograms(run, datasets)
    chunks = [pixel_values(found, metric, w) for w in draws.weights(len(draws.labels))]
    return np.concatenate(chunks)


def image_values(scores: Array, metric: str, draws: Draws, threshold: float | None) -> Array:
    """Compute an image metric on every resample, NaN where undefined.

    Args:
        scores: (N,), in the order of the draws' positions.
    """
    if draws.groups is not None:
        labels = draws.labels
        values = [
            getattr(group_metrics(scores[at], labels[at], draw), metric)
            if metric in GROUP_METRICS
            else getattr(image_metrics(scores[at], labels[at], threshold=threshold), metric)
            for at, draw in draws.samples()
        ]
        return np.array([np.nan if value is None else value for value in values])
    if metric in GROUP_METRICS:
        raise StoreError(f"{metric}: the data set's images do not come in groups")
    bad, good = scores[draws.bad], scores[draws.good]  # (R, P), (R, N)
    if metric == "image_auroc":
        out = np.empty(len(bad))
        for i, (p, n) in enumerate(zip(bad, np.sort(good, axis=1), strict=True)):
            below = np.searchsorted(n, p, "left") + np.searchsorted(n, p, "right")
            out[i] = below.mean() / (2 * len(n))
        return out
    labels = np.r_[np.ones(bad.shape[1], bool), np.zeros(good.shape[1], bool)]
    both = np.concatenate([bad, good], axis=1)
    found = [getattr(image_metrics(row, labels, threshold=threshold), metric) for row in both]
    return np.array([np.nan if value is None else value for value in found])


def histograms(run: Stored, datasets: Datasets) -> Histograms:
    """Bin every image's pixels. Raises BenchError when maps or masks are missing."""
    from benchmark.machine import cores
    from benchmark.records.measure import measured_pixels

    if run.maps is None:
        raise StoreError("its maps were not kept")
    category = datasets.scored(run)
    edges = _edges(run.maps)
    threads = cores()
    normal, anomalous, regions, owner = [], [], [], []
    each: dict[str, list[float]] = {name: [] for name in PER_IMAGE}
    place = np.argsort(np.argsort(run.scores.ids))  # of a test image among the sorted
    pixels = measured_pixels(run.scores, run.maps, category, run.geometry, threads)
    for i, (_, window, mask) in enumerate(pixels):
        # ascending edges, and 0 for the highest bin
        bins = BINS - 1 - np.searchsorted(edges, window.reshape(-1), "right")
        flat = mask.reshape(-1)
        normal.append(np.bincount(bins[~flat], minlength=BINS).astype(np.float32))
        anomalous.append(np.bincount(bins[flat], minlength=BINS).astype(np.float32))
        found = label_regions(mask[None])
        for k, size in enumerate(found.sizes):
            share = np.bincount(bins[flat][found.region == k], minlength=BINS) / size
            regions.append(share.astype(np.float32))
            owner.append(place[i])
        one = pixel_metrics([window], [mask]) if mask.any() else None
        for name, values in each.items():
            value = getattr(one, name, None)
            values.append(np.nan if value is None else value)
    if not regions:
        raise StoreError("no test image has a ground-truth mask")
    order = np.argsort(run.scores.ids)
    return Histograms(
        np.stack(normal)[order],
        np.stack(anomalous)[order],
        np.stack(regions),
        np.array(owner),
        {name: np.array(values)[order] for name, values in each.items()},
    )


def pixel_values(found: Histograms, metric: str, weights: Array) -> Array:
    """Compute a pixel metric on resamples.

    Args:
        found: of the test set.
        metric: one of the pixel metrics.
        weights: how often each image was drawn, (R, N).

    Returns:
        float64 (R,).
    """
    if metric in PER_IMAGE:
        values = found.each[metric]
        known = np.isfinite(values)
        counts = weights[:, known].astype(np.float64)
        means: Array = (counts @ values[known]) / counts.sum(1)
        return means
    if metric == "pixel_auroc_anomalous":
        weights = weights * (found.anomalous.sum(1) > 0)
    fp = np.cumsum(weights @ found.normal, axis=1, dtype=np.float64)
    tp = np.cumsum(weights @ found.anomalous, axis=1, dtype=np.float64)
    fpr, recall = fp / fp[:, -1:], tp / tp[:, -1:]
    if metric in ("pixel_auroc", "pixel_auroc_anomalous"):
        return _area(fpr, recall)
    if metric == "pro":
        drawn = weights[:, found.owner]
        overlap = np.cumsum(drawn @ found.regions, axis=1, dtype=np.float64)
        return _area_up_to(fpr, overlap / drawn.sum(1, keepdims=True), FPR_LIMIT)
    if metric == "pixel_ap":
        precision = tp / np.maximum(tp + fp, 1)
        steps: Array = np.diff(recall, axis=1, prepend=0)
        ap: Array = (steps * precision).sum(1)
        return ap
    misses = tp[:, -1:] - tp
    iou = tp / (tp + fp + misses)
    best: Array = iou.max(1)
    if metric == "pixel_iou_max":
        return best
    if metric == "pixel_f1_max":
        f1: Array = 2 * best / (1 + best)
        return f1
    raise SettingsError(unknown("pixel metric with an interval", metric, PIXEL_METRICS))


def _edges(maps: Array) -> Array:
    """Choose rising limits between BINS bins: half of them quantiles, half finer and finer to the
    top."""
    step = max(1, maps.size // 4_000_000)
    values = np.sort(maps.reshape(-1)[::step].astype(np.float64))
    half = BINS // 2
    shares = np.r_[np.linspace(0, 1, half), 1 - np.geomspace(1e-6, 0.3, BINS - 1 - half)]
    edges: Array = np.quantile(values, np.sort(shares))
    return edges


def _area(x: Array, y: Array) -> Array:
    """Sum the trapezoids under curves (R, B) from the origin."""
    heights = y + np.concatenate([np.zeros((len(y), 1)), y[:, :-1]], axis=1)
    area: Array = (np.diff(x, axis=1, prepend=0) * heights).sum(1) / 2
    return area


def _area_up_to(x: Array, y: Array, limit: float) -> Array:
    """Measure the area as :func:`_area` does, but up to a limit of x, and divide by the limit."""
    out = np.empty(len(x))
    for i, (a, b) in enumerate(zip(x, y, strict=True)):
        end = int(np.searchsorted(a, limit, "right"))
        last = np.interp(limit, np.r_[0, a], np.r_[0, b])
        out[i] = np.trapezoid(np.r_[0, b[:end], last], np.r_[0, a[:end], limit]) / limit
    return out
