"""One cell: fit, score, store, measure, and the record that vouches for it."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from benchmark import machine
from benchmark.data.loading import PREDICT_BATCH, ImageSet
from benchmark.detector.base import Detector
from benchmark.detector.context import Context, Meters
from benchmark.detector.scored import Scored, scored
from benchmark.errors import BenchError, DetectorError, StoreError
from benchmark.records import kept, store
from benchmark.records.claims import Claim, ClaimLostError
from benchmark.records.files import link
from benchmark.records.measure import HeldOutPixels, measure
from benchmark.runner import cost, keep
from benchmark.runner.given import Inputs
from benchmark.runner.plan import Cell
from benchmark.texts import seed_of

Array = npt.NDArray[Any]

MAX_CURVE_POINTS = 500


def run_cell(cell: Cell, given: Inputs, claim: Claim) -> dict[str, Any]:
    """Run a cell and write its record.

    Args:
        cell, given: the cell and its inputs.
        claim: of its category, held by the caller.

    Returns:
        The record as written.

    Raises:
        ClaimLostError: another process has taken the category over; nothing is written.
    """
    clock = cost.Clock(given.features, given.context)
    cell.path.sweep(keep=_standing(cell))
    detector, before = restored(cell) if cell.fitted else (fit(cell, given, clock), {})
    facts, state = before.get("facts") or _facts(cell, detector), None
    if cell.keep:
        detector, state = keep.stored_and_restored(cell, detector)
    files, peaks = score(cell, detector, given, clock)
    metrics, undefined, seconds = _measured(cell, given, files)
    scale = keep.Scale.of(cell, files, peaks) if cell.keep else None
    for name in ("maps", "unlabelled_maps"):
        if (file := files.get(name)) and not given.keep_maps:
            (cell.path.folder / file["name"]).unlink()
            files[name] = None
    record: dict[str, Any] = {
        "status": "ok",
        "key": cell.key,
        "settings": cell.method.recorded_settings(),
        "method": cell.method.description(),
        "facts": facts,
        "provenance": {**cell.method.provenance, "images": given.counts, "files": given.found},
        "metrics": metrics,
        "undefined": undefined,
        "cost": clock.finished(detector, given.images, given.train)
        | {"metric_seconds": seconds}
        | before.get("cost", {}),
        "curves": _thin(given.context.meters),
        "environment": _environment(given.context),
        "files": files,
    }
    if state is not None and scale is not None:
        info = keep.information(cell, detector, given, record, state, scale)
        files |= {"detector": kept.write_info(cell.path, info), "state": state}
    _commit(cell, record, claim)
    given.context.checkpoint.delete()
    return record


def _facts(cell: Cell, detector: Detector) -> dict[str, Any]:
    """Return what a method says of its training. Raises DetectorError where no record can hold it."""
    facts = detector.facts()
    try:
        json.dumps(facts, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DetectorError(
            f"{cell.method.name}: facts() holds what no record can ({error}); give finite numbers, "
            "texts, and lists or dicts of them"
        ) from None
    return facts


def fit(cell: Cell, given: Inputs, clock: cost.Clock) -> Detector:
    """Fit the cell's detector."""
    detector = cell.method.new()
    # methods draw from context.rng; a library that draws from the global state repeats itself too
    torch.manual_seed(seed_of(*given.context.purpose, "global") >> 1)
    with clock.fitting():
        detector.fit(given.images.train.subset(given.train), given.context)
    return detector


def restored(cell: Cell) -> tuple[Detector, dict[str, Any]]:
    """Read the detector that the clean cell kept.

    Returns:
        The detector, and what its record says of the fit: ``facts``, and ``cost``'s fit seconds.

    Raises:
        StoreError: there is none.
    """
    assert cell.fitted is not None
    record = store.read(cell.fitted.record) or {}
    cited = (record.get("files") or {}).get("detector")
    if not cited:
        raise StoreError(
            f"{cell.fitted.record}: there is no kept detector that could judge the corrupted images "
            "(its cell has failed, or is being run elsewhere); run the same command again"
        )
    found = kept.read(cell.fitted.folder / cited["name"], cited["sha256"])
    facts = {**record["facts"], "fitted_in": {"protocol": cell.fitted.protocol, **cited}}
    seconds = {"fit_seconds": record["cost"]["fit_seconds"]}
    return cell.method.new().load_state(found.state()), {"facts": facts, "cost": seconds}


def score(
    cell: Cell, detector: Detector, given: Inputs, clock: cost.Clock
) -> tuple[dict[str, dict[str, str] | None], Array]:
    """Score the held-out, the test and the unlabelled images into the cell's files.

    Returns:
        What to cite, and the highest pixel (M,) of each held-out image's map, if there are maps.
    """
    train, tests, context = given.images.train, given.images.test, given.context
    files: dict[str, dict[str, str] | None] = {}
    held_out, pixels = [], HeldOutPixels(cell.method.geometry, len(given.held_out))
    peaks = [np.empty(0)]
    for batch in train.subset(given.held_out).batches(PREDICT_BATCH):
        one = scored(detector, batch, context, cell.title)
        pixels.add(one.maps)
        if one.maps is not None:
            peaks.append(one.maps.max((1, 2)))
        held_out.append(replace(one, maps=None))
    known, known_parts = _joined(held_out, cell.title)
    scores, parts, files["maps"] = _with_maps(cell, detector, tests, context, clock.predicting)
    unlabelled = np.empty(0)
    if (secret := given.images.unlabelled) is not None:
        found = _with_maps(cell, detector, secret, context, nullcontext)
        unlabelled, _, files["unlabelled_maps"] = found
    samples = given.category.test
    stored = store.Scores(
        ids=[s.id for s in samples],
        keys=tests.keys,
        labels=np.array([s.label for s in samples], np.int8),
        defects=[s.defect for s in samples],
        scores=scores,
        held_out=known,
        held_out_keys=[train.all_keys[i] for i in given.held_out],
        mask_keys=given.mask_keys,
        groups=[s.group for s in samples] if any(s.group for s in samples) else (),
        unlabelled_ids=[s.id for s in given.category.unlabelled],
        unlabelled=unlabelled,
        parts=parts,
        held_out_parts={name: known_parts.get(name, np.empty(0)) for name in parts},
        held_out_pixels=pixels.normals(),
    )
    return files | {"scores": stored.write(cell.path)}, np.concatenate(peaks)


def copy_cell(cell: Cell, record: Mapping[str, Any], claim: Claim) -> dict[str, Any]:
    """Give a cell the record and files of another seed, for a detector that draws nothing.

    Raises ClaimLostError as :func:`run_cell` does.
    """
    files: dict[str, Any] = {}
    theirs = replace(cell.path, seed=record["key"]["seed"]).stem
    for kind, file in record["files"].items():
        if file:
            name = cell.path.stem + file["name"].removeprefix(theirs)
            link(cell.path.folder / file["name"], cell.path.folder / name)
        files[kind] = {**file, "name": name} if file else None
    facts = {**record["facts"], "fit_of_seed": record["key"]["seed"]}
    copy = {**record, "key": cell.key, "files": files, "facts": facts}
    copy.pop("path", None)
    _commit(cell, copy, claim)
    return copy


def _commit(cell: Cell, record: Mapping[str, Any], claim: Claim) -> None:
    """Write the record that vouches for the cell's files, while the claim is held."""
    claim.check()
    store.write(cell.path.record, record)
    try:
        claim.check()
    except ClaimLostError:  # in this very moment; its files may have been tidied away meanwhile
        if not all((cell.path.folder / name).exists() for name in cited(record)):
            cell.path.record.unlink(missing_ok=True)
        raise
    cell.path.sweep(keep=cited(record))


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
        "settings": cell.method.recorded_settings(),
        "method": cell.method.description(),
        "error": {
            "type": type(error).__name__,
            "message": str(error),
            "traceback": ""
            if isinstance(error, BenchError) and error.__cause__ is None
            else "".join(traceback.format_exception(error)),
        },
        "environment": _environment(context) if context else {},
    }
    try:
        store.write(cell.path.record, record)
    except (OSError, StoreError):
        pass  # the failure may well be a full disk; the run still reports it


def cited(record: Mapping[str, Any] | None) -> list[str]:
    """List the files that a record cites."""
    files = (record or {}).get("files") or {}
    return [file["name"] for file in files.values() if file]


def _standing(cell: Cell) -> list[str]:
    """Score files of the record that this one will replace."""
    try:
        return cited(store.read(cell.path.record))
    except StoreError:  # no record, and --force has been given
        return []


class _MapSink:
    """A map file that is opened at the first maps, since only they tell the shape."""

    def __init__(self, path: store.CellPath, count: int) -> None:
        self._path, self._count = path, count
        self._writer: store.MapWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, maps: Array) -> None:
        if self._writer is None:
            self._writer = store.MapWriter(self._path, (self._count, *maps.shape[1:]))
        self._writer.add(maps)

    def finish(self) -> dict[str, str] | None:
        return self._writer.finish() if self._writer is not None else None


def _joined(found: Sequence[Scored], owner: str) -> tuple[Array, dict[str, Array]]:
    """Join the batches of a split: scores (N,), and parts by name."""
    if not found:
        return np.empty(0), {}
    names = list(found[0].parts)
    for batch in found:
        if list(batch.parts) != names:
            raise DetectorError(
                f"{owner}: the parts of scores are {names} in one batch and {list(batch.parts)} in "
                "another; give every batch the same, in the same order"
            )
    parts = {name: np.concatenate([batch.parts[name] for batch in found]) for name in names}
    return np.concatenate([batch.scores for batch in found]), parts


def _with_maps(
    cell: Cell,
    detector: Detector,
    images: ImageSet,
    context: Context,
    timed: Callable[[], AbstractContextManager[None]],
) -> tuple[Array, dict[str, Array], dict[str, str] | None]:
    """Score a whole split: its scores (N,), their parts, and the file of its maps."""
    steps = -(-len(images) // PREDICT_BATCH)
    batches = []
    with _MapSink(cell.path, len(images)) as sink:
        for batch in context.progress.track(images.batches(PREDICT_BATCH), "scoring", steps):
            with timed():
                found = scored(detector, batch, context, cell.title)
            batches.append(replace(found, maps=None))
            if found.maps is not None:
                sink.add(found.maps)
        return *_joined(batches, cell.title), sink.finish()


def _measured(
    cell: Cell, given: Inputs, files: Mapping[str, dict[str, str] | None]
) -> tuple[dict[str, Any], dict[str, str], float]:
    """Measure the stored files: metrics, why some are undefined, and the seconds it took."""
    start = time.perf_counter()
    assert files["scores"] is not None
    stored = store.Scores.read(cell.path.folder, files["scores"])
    maps = store.read_maps(cell.path.folder, files["maps"]) if files["maps"] else None
    metrics, undefined = measure(stored, maps, given.category, cell.method.geometry, given.threads)
    return metrics, undefined, time.perf_counter() - start


def _environment(context: Context) -> dict[str, Any]:
    return {
        **machine.describe(context.device),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _thin(meters: Meters) -> dict[str, list[tuple[int, float]]]:
    """Thin curves to at most a few hundred points, first and last kept."""
    out = {}
    for name, points in meters.curves.items():
        step = -(-len(points) // MAX_CURVE_POINTS)
        out[name] = points[::step] + ([points[-1]] if (len(points) - 1) % step else [])
    return out
