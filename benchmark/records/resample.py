"""Bootstrap intervals over test images, for image and pixel metrics.

A resample draws as many good and as many defective images as there are, with replacement. Image
metrics are computed on every resample exactly. Pooled pixel metrics come from histograms of every
image's scores: what a resample pools is then a weighted sum of histograms, and thousands of them cost
a matrix product. Bins are quantiles, finer towards the highest scores, so that an interval is off by
at most about 0.001; printed values never come from them. Values of single images stay as they are:
AUPIMO's false positive rates are those of all good images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.errors import SettingsError, StoreError, unknown
from benchmark.metrics import PixelMeter, normal_threshold
from benchmark.metrics.counted import CountedPixels
from benchmark.metrics.curves import Ranking
from benchmark.metrics.names import METRICS
from benchmark.metrics.regions import label_regions
from benchmark.metrics.scored import ScoredImages
from benchmark.metrics.tally import GOOD
from benchmark.records.store import Scores
from benchmark.records.stored import Datasets, Stored

Array = npt.NDArray[Any]
RESAMPLES = 2000
CHUNK = 250
"""Resamples at a time: bounds the memory of their histograms."""
BINS = 4096


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

    def samples(self) -> Iterator[tuple[Array, Array | None]]:
        """Yield per resample the positions of its images and, for groups, per image which draw it
        is of."""
        if self.groups is None or self.drawn is None:
            yield from ((at, None) for at in np.concatenate([self.bad, self.good], axis=1))
            return
        members = [np.flatnonzero(self.groups == i) for i in range(self.groups.max() + 1)]
        for row in self.drawn:
            parts = [members[group] for group in row]
            yield np.concatenate(parts), np.repeat(np.arange(len(row)), list(map(len, parts)))


@dataclass(frozen=True)
class Shares:
    """Parts of regions or annotated defects per bin.

    Attributes:
        share: of each one's overlap per bin, float32 (K, BINS); a row adds up to 1.
        owner: image of each, (K,).
    """

    share: Array
    owner: Array


@dataclass(frozen=True)
class Histograms:
    """Scores of a test set's pixels, highest bin first, images in the order of their ids.

    Attributes:
        normal, anomalous: pixels per image and bin, float32 (N, BINS).
        regions: of the ground-truth regions.
        of_images: per name one value per image (N,), NaN where undefined; as CountedPixels has it.
        called: anomalous and normal pixels of each image above the threshold, (N, 2); None without
            one.
        kinds: per image its defect type, (N,), ``""`` for one without a marked pixel.
        defects: of the annotated defects; None for a data set without.
    """

    normal: Array
    anomalous: Array
    regions: Shares
    of_images: dict[str, Array]
    called: Array | None = None
    kinds: Array | None = None
    defects: Shares | None = None


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


def resampled(runs: Sequence[Stored], metric: str, datasets: Datasets) -> Array:
    """Compute a metric, the mean over seeds, on every resample of the test images, float64 (R,).

    Args:
        runs: the records of all seeds of one configuration and category.
        metric: any.
        datasets: for the ground truth of pixel metrics.

    Raises:
        BenchError: scores or maps were not kept, or a metric is undefined on a resample.
    """
    first = runs[0].scores
    units = np.asarray(first.units)[np.argsort(first.ids)].tolist()
    draws = Draws.of(_labels(first.ids, first.labels), units=units)
    values: Array = np.mean([_values(run, metric, draws, datasets) for run in runs], 0)
    if not np.isfinite(values).all():
        raise StoreError(f"{metric} is undefined on some resamples")
    return values


def aligned(scores: Scores) -> tuple[Array, Array]:
    """Return scores and labels of the test images in the order of their ids, both (N,)."""
    order = np.argsort(scores.ids)
    return np.asarray(scores.scores)[order], np.asarray(scores.labels, bool)[order]


def _labels(ids: Sequence[str], labels: Array) -> Array:
    return np.asarray(labels, bool)[np.argsort(ids)]


def _values(run: Stored, metric: str, draws: Draws, datasets: Datasets) -> Array:
    """Compute the metric on every resample, float64 (R,)."""
    if metric not in METRICS:
        raise SettingsError(unknown("metric", metric, METRICS))
    if METRICS[metric].level == "image":
        order = np.argsort(run.scores.ids)
        scores, types = np.asarray(run.scores.scores)[order], np.asarray(run.scores.defects)[order]
        threshold = normal_threshold(run.scores.held_out, run.rule)
        return image_values(scores, metric, draws, threshold, types)
    found = histograms(run, datasets)
    chunks = [pixel_values(found, metric, w) for w in draws.weights(len(draws.labels))]
    return np.concatenate(chunks)


def image_values(
    scores: Array, metric: str, draws: Draws, threshold: float | None, types: Array | None = None
) -> Array:
    """Compute an image metric on every resample, NaN where undefined.

    Args:
        scores: (N,), in the order of the draws' positions.
        metric: one of the image metrics.
        draws: the resamples.
        threshold: for the metrics that need one.
        types: (N,) defect types, for the metrics by type.
    """
    needs, function = METRICS[metric].needs, METRICS[metric].function
    if needs == "groups" and draws.groups is None:
        raise StoreError(f"{metric}: the data set's images do not come in groups")
    values = [
        function(
            ScoredImages(
                scores[at],
                draws.labels[at],
                threshold,
                draw,
                types[at] if needs == "defects" and types is not None else None,
            )
        )
        for at, draw in draws.samples()
    ]
    return np.array([np.nan if value is None else value for value in values])


def histograms(run: Stored, datasets: Datasets) -> Histograms:
    """Bin every image's pixels. Raises BenchError when maps or masks are missing."""
    from benchmark.machine import cores
    from benchmark.records.measure import measured_pixels, pixel_threshold

    if run.maps is None:
        raise StoreError("its maps were not kept")
    category = datasets.scored(run)
    edges = _edges(run.maps)
    threshold, _ = pixel_threshold(run.scores, run.rule)
    meter = PixelMeter(threads=cores())
    normal, anomalous, called, kinds = [], [], [], []
    regions: list[tuple[int, Array]] = []
    defects: list[tuple[int, Array]] = []
    place = np.argsort(np.argsort(run.scores.ids))  # of a test image among the sorted
    for i, image in enumerate(
        measured_pixels(run.scores, run.maps, category, run.geometry, cores())
    ):
        meter.add(image.window, image.mask, ids=[image.sample.id])
        # ascending edges, and 0 for the highest bin
        bins = BINS - 1 - np.searchsorted(edges, image.window, "right")
        normal.append(_binned(bins[~image.mask]))
        anomalous.append(_binned(bins[image.mask]))
        kinds.append(image.sample.defect if image.mask.any() else GOOD)
        if threshold is not None:
            above = image.window > np.float64(threshold)
            hits = int(np.count_nonzero(above & image.mask))
            called.append((hits, int(np.count_nonzero(above)) - hits))
        found = label_regions(image.mask[None])
        for k, size in enumerate(found.sizes):
            share = _binned(bins[image.mask][found.region == k]) / size
            regions.append((place[i], share.astype(np.float32)))
        for defect in image.defects:
            hit = np.minimum(np.cumsum(_binned(bins[defect.mask])), defect.saturation)
            share = np.diff(hit, prepend=0) / defect.saturation
            defects.append((place[i], share.astype(np.float32)))
    if not regions:
        raise StoreError("no test image has a ground-truth mask")
    order = np.argsort(run.scores.ids)
    return Histograms(
        np.stack(normal)[order].astype(np.float32),
        np.stack(anomalous)[order].astype(np.float32),
        _shares(regions),
        {name: values[order] for name, values in meter.result().of_images.items()},
        np.array(called, np.float64)[order] if called else None,
        np.array(kinds)[order],
        _shares(defects) if defects else None,
    )


def pixel_values(found: Histograms, metric: str, weights: Array) -> Array:
    """Compute a pixel metric on resamples, NaN where undefined.

    Args:
        found: of the test set.
        metric: one of the pixel metrics.
        weights: how often each image was drawn, (R, N).

    Returns:
        float64 (R,).
    """
    known = [name for name, one in METRICS.items() if one.level == "pixel"]
    if metric not in known:
        raise SettingsError(unknown("pixel metric with an interval", metric, known))
    function = METRICS[metric].function
    values = [function(counted) for counted in _resampled(found, weights)]
    return np.array([np.nan if value is None else value for value in values])


def _resampled(found: Histograms, weights: Array) -> Iterator[CountedPixels]:
    """Yield what is counted on each resample."""
    pooled = _rankings(found, weights, found.regions)
    marked = weights * (found.anomalous.sum(1) > 0)
    anomalous = _rankings(found, marked, found.regions)
    types = {}
    if found.defects is not None and found.kinds is not None:
        for kind in sorted(set(found.kinds[found.defects.owner])):
            own = weights * ((found.kinds == kind) | (found.kinds == GOOD))
            types[kind] = _rankings(found, own, found.defects)
    for i, row in enumerate(weights):
        drawn = np.repeat(np.arange(len(row)), row.astype(np.int64))
        called = None if found.called is None else row @ found.called
        yield CountedPixels(
            pooled[i],
            anomalous[i],
            {name: values[drawn] for name, values in found.of_images.items()},
            {kind: ranking for kind, each in types.items() if (ranking := each[i]) is not None},
            None if called is None else (int(called[0]), int(called[1])),
        )


def _rankings(found: Histograms, weights: Array, shares: Shares) -> list[Ranking | None]:
    """Rank the pixels of each resample, those of a bin as equal; None without both classes."""
    fp = np.cumsum(weights @ found.normal, axis=1, dtype=np.float64)
    tp = np.cumsum(weights @ found.anomalous, axis=1, dtype=np.float64)
    drawn = weights[:, shares.owner]
    overlap = np.cumsum(drawn @ shares.share, axis=1, dtype=np.float64)
    overlap /= np.maximum(drawn.sum(1, keepdims=True), 1)
    return [_ranking(*row) for row in zip(fp, tp, overlap, strict=True)]


def _ranking(fp: Array, tp: Array, overlap: Array) -> Ranking | None:
    """Rank the pixels of one resample from its cumulative counts per bin, (BINS,) each."""
    alarms, hits = np.rint(fp).astype(np.int64), np.rint(tp).astype(np.int64)
    if not alarms[-1] or not hits[-1]:
        return None
    held = np.flatnonzero(np.diff(hits, prepend=0))  # bins with an anomalous pixel
    above = np.concatenate([[0], alarms[:-1]])
    total = int(hits[-1]), int(alarms[-1])
    return Ranking(hits[held], above[held], alarms[held], overlap[held], *total)


def _binned(bins: Array) -> Array:
    return np.bincount(bins, minlength=BINS)


def _shares(found: Sequence[tuple[int, Array]]) -> Shares:
    return Shares(np.stack([share for _, share in found]), np.array([owner for owner, _ in found]))


def _edges(maps: Array) -> Array:
    """Choose rising limits between BINS bins: half of them quantiles, half finer and finer to the
    top."""
    step = max(1, maps.size // 4_000_000)
    values = np.sort(maps.reshape(-1)[::step].astype(np.float64))
    half = BINS // 2
    shares = np.r_[np.linspace(0, 1, half), 1 - np.geomspace(1e-6, 0.3, BINS - 1 - half)]
    edges: Array = np.quantile(values, np.sort(shares))
    return edges
