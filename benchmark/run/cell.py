"""One cell: fit, predict, store, measure, and the record that vouches for it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
import torch

from benchmark import machine as environment
from benchmark.data.dataset import Category
from benchmark.data.geometry import Geometry
from benchmark.data.loading import PREDICT_BATCH, Decoded, ImageSet
from benchmark.detector.base import Detector, check_prediction
from benchmark.detector.context import Context, Meters, seed_of
from benchmark.errors import BenchError, StoreError
from benchmark.records import store
from benchmark.records.measure import measure
from benchmark.run import cost
from benchmark.settings import as_json

MAX_CURVE_POINTS = 500


@dataclass
class MethodPlan:
    """A method as one run uses it.

    Attributes:
        name: as typed on the command line.
        cls, settings: the class and its resolved settings.
        geometry: of its input under the run's protocol.
        weights: per frozen backbone: name, layers, source, SHA-256 over the tensors used.
        assets: name -> SHA-256.
        provenance: where the pre-trained parts come from: whether the weights of every backbone are
            the published ones, and per asset its settings, images and backbones.
        error: why the method cannot run at all; its cells fail with it.
    """

    name: str
    cls: type[Detector]
    settings: Mapping[str, Any]
    geometry: Geometry
    weights: list[dict[str, Any]] = field(default_factory=list)
    assets: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    error: BenchError | None = None

    def new(self) -> Detector:
        """A fresh detector with these settings."""
        return self.cls(**self.settings)

    def identity(self) -> str:
        """What names its folder: settings, version, weights, assets, precision."""
        return store.identity(
            {
                "settings": as_json(self.settings),
                "version": self.cls.version,
                "weights": [[w["backbone"], w["layers"], w["sha256"]] for w in self.weights],
                "assets": self.assets,
                "precision": self.precision,
            }
        )


@dataclass
class Cell:
    """One unit of work.

    Attributes:
        method, category, seed: what is run.
        path: where its files are.
        key: what its record must equal to count as this cell's; ``data`` is filled in when the
            category has been hashed.
    """

    method: MethodPlan
    category: str
    seed: int
    path: store.CellPath
    key: dict[str, Any]

    @property
    def title(self) -> str:
        return f"{self.method.name} {self.category} seed {self.seed}"


@dataclass(frozen=True)
class Work:
    """What a cell is given.

    Attributes:
        category, images: the samples, and their pixels in the method's geometry.
        train, held_out: positions in the normal images.
        context: lent to the detector.
        keep_maps: whether the maps stay after they were measured.
        threads: for decoding masks.
        official: numbers of images the category should have, if there are any.
    """

    category: Category
    images: Decoded
    train: list[int]
    held_out: list[int]
    context: Context
    keep_maps: bool
    threads: int
    official: Mapping[str, int] | None = None

    @property
    def counts(self) -> dict[str, Any]:
        """Images of the category, and what its data set should have."""
        official = dict(self.official) if self.official else None
        return {"found": self.category.counts, "official": official}


def run_cell(cell: Cell, work: Work) -> dict[str, Any]:
    """Run a cell and write its record. The cell's lock is held by the caller.

    Returns:
        The record as written.
    """
    began = time.perf_counter()
    context, counts = work.context, work.context.features_of.counts
    passes = counts.images
    environment.reset_peak_memory(context.device)
    cell.path.sweep(keep=_cited(store.read(cell.path.record)))
    detector = cell.method.new()
    # methods draw from context.rng; a library that draws from the global state repeats itself too
    torch.manual_seed(seed_of(*context.purpose, "global") >> 1)

    train = work.images.train.subset(work.train)
    start = time.perf_counter()
    detector.fit(train, context)
    fit_seconds = time.perf_counter() - start
    start = time.perf_counter()
    held_out = _predict(detector, work.images.train.subset(work.held_out), context, cell, None)
    tests = work.images.test
    with _MapSink(cell.path, len(tests)) as sink:
        scores = _predict(detector, tests, context, cell, sink)
        files: dict[str, Any] = {"maps": sink.finish()}
    secret = work.images.unlabelled
    unlabelled = np.empty(0)
    if secret is not None:
        with _MapSink(cell.path, len(secret)) as sink:
            unlabelled = _predict(detector, secret, context, cell, sink)
            files["unlabelled_maps"] = sink.finish()
    predict_seconds = time.perf_counter() - start

    samples = work.category.test
    stored = store.Scores(
        ids=[s.id for s in samples],
        keys=tests.keys,
        labels=np.array([s.label for s in samples], np.int8),
        defects=[s.defect for s in samples],
        scores=scores,
        held_out=held_out,
        held_out_keys=[work.images.train.all_keys[i] for i in work.held_out],
        groups=[s.group for s in samples] if any(s.group for s in samples) else (),
        unlabelled_ids=[s.id for s in work.category.unlabelled],
        unlabelled=unlabelled,
    )
    files["scores"] = stored.write(cell.path)
    maps = store.read_maps(cell.path.folder, files["maps"]) if files["maps"] else None
    start = time.perf_counter()
    stored = store.Scores.read(cell.path.folder, files["scores"])
    metrics, undefined = measure(stored, maps, work.category, cell.method.geometry, work.threads)
    metric_seconds = time.perf_counter() - start
    del maps
    for name in ("maps", "unlabelled_maps"):
        if files.get(name) and not work.keep_maps:
            (cell.path.folder / files[name]["name"]).unlink()
            files[name] = None
    memory = environment.peak_memory(context.device)
    wall = time.perf_counter() - began
    record = {
        "status": "ok",
        "key": cell.key,
        "settings": as_json(cell.method.settings),
        "facts": detector.facts(),
        "provenance": {**cell.method.provenance, "images": work.counts},
        "metrics": metrics,
        "undefined": undefined,
        "cost": {
            "fit_seconds": fit_seconds + _shared_seconds(context, detector, train),
            "fit_shared_seconds": _shared_seconds(context, detector, train),
            "predict_seconds": predict_seconds,
            "metric_seconds": metric_seconds,
            "wall_seconds": wall,
            "backbone_images": counts.images - passes,
            "shared_seconds": _shared_seconds(context, detector, train, tests),
            **memory,
            **cost.stored_bytes(detector, context),
            **cost.latency(detector, tests, context),
        },
        "curves": _thin(context.meters),
        "environment": _environment(context),
        "files": files,
    }
    store.write(cell.path.record, record)
    context.checkpoint.delete()
    cell.path.sweep(keep=_cited(record))
    return record


def write_failure(cell: Cell, error: BaseException, context: Context | None) -> None:
    """Record why a cell failed, unless a finished record stands in its place."""
    try:
        existing = store.read(cell.path.record)
    except StoreError:
        return
    if existing is not None and existing["status"] == "ok":
        return
    record = {
        "status": "failed",
        "key": cell.key,
        "settings": as_json(cell.method.settings),
        "error": {
            "type": type(error).__name__,
            "message": str(error),
            "traceback": ""
            if isinstance(error, BenchError)
            else "".join(traceback.format_exception(error)),
        },
        "environment": _environment(context) if context else {},
    }
    try:
        store.write(cell.path.record, record)
    except (OSError, StoreError):
        pass  # the failure may well be a full disk; the run still reports it


class _MapSink:
    """Opens the map file at the first maps, since only they tell the shape."""

    def __init__(self, path: store.CellPath, count: int) -> None:
        self._path, self._count = path, count
        self._writer: store.MapWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, maps: torch.Tensor) -> None:
        if self._writer is None:
            self._writer = store.MapWriter(self._path, (self._count, *maps.shape[1:]))
        self._writer.add(maps.cpu().numpy())

    def finish(self) -> dict[str, str] | None:
        return self._writer.finish() if self._writer is not None else None


def _predict(
    detector: Detector, images: ImageSet, context: Context, cell: Cell, sink: _MapSink | None
) -> np.ndarray[Any, Any]:
    scores = []
    steps = -(-len(images) // PREDICT_BATCH)
    batches = images.batches(PREDICT_BATCH)
    if sink is not None:
        batches = context.progress.track(batches, "scoring", steps)
    for batch in batches:
        with torch.no_grad():
            prediction = detector.predict(batch, context)
        prediction = check_prediction(prediction, batch, cell.title)
        scores.append(prediction.scores.detach().double().cpu().numpy())
        if sink is not None and prediction.maps is not None:
            sink.add(prediction.maps.detach().float())
    return np.concatenate(scores) if scores else np.empty(0)


def _shared_seconds(context: Context, detector: Detector, *images: ImageSet) -> float:
    """Backbone seconds that these images cost, whichever cell paid for them."""
    names = {spec.backbone for spec in detector.needs()}
    keys = [key for part in images for key in part.keys]
    return sum(context.features_of.seconds(keys, context.geometry, name) for name in names)


def _environment(context: Context) -> dict[str, Any]:
    return {
        **environment.describe(context.device),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cited(record: Mapping[str, Any] | None) -> list[str]:
    files = (record or {}).get("files") or {}
    return [file["name"] for file in files.values() if file]


def _thin(meters: Meters) -> dict[str, list[tuple[int, float]]]:
    """Curves with at most a few hundred points, first and last kept."""
    out = {}
    for name, points in meters.curves.items():
        step = -(-len(points) // MAX_CURVE_POINTS)
        out[name] = points[::step] + ([points[-1]] if (len(points) - 1) % step else [])
    return out
