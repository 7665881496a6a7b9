"""``bench evaluate``: every metric again from the stored scores. No GPU, no model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from benchmark.console import open_console
from benchmark.data.geometry import Geometry
from benchmark.data.survey import with_threshold
from benchmark.errors import DataError, OtherDataError, StoreError, sentence
from benchmark.machine import cores
from benchmark.metrics.names import METRICS
from benchmark.metrics.threshold import DEFAULT, Rule
from benchmark.places import RESULTS, expanded
from benchmark.records import claims, store
from benchmark.records.measure import measure
from benchmark.records.stored import Content, Datasets


@dataclass(frozen=True)
class Evaluated:
    """Numbers of records measured again and of those that changed, and what was not measured."""

    measured: int
    changed: int
    failed: int


def evaluate(
    results: str | PathLike[str] = RESULTS,
    *,
    data_root: str | Path | None = None,
    plugin: Iterable[str | Path] = (),
    threshold: str | None = None,
) -> Evaluated:
    """Measure again what every finished record below a folder stored, and update the records.

    Where only masks have changed since, the record is measured with today's masks and counts from
    then on as one of today's data; the output says so. A record whose images have changed, or whose
    score files are gone, is left as it is and named.

    Args:
        results: the folder.
        data_root, plugin: where the data sets are.
        threshold: the rule that sets thresholds from the held-out normal images: ``quantile:F``,
            ``max`` or ``mean+Nsd``; None is ``quantile:.95``. The records say which one it was.

    Raises:
        BenchError: no such folder or rule.
    """
    rule = threshold or DEFAULT
    Rule.parse(rule)
    folder = expanded(results)
    if not folder.is_dir():
        raise DataError(f"results folder {folder}: no such folder; check --results")
    records = [r for r in store.read_all(folder) if r["status"] == "ok"]
    datasets = Datasets(data_root, plugin)
    threads = cores()
    changed = failed = 0
    with open_console() as console:
        for record in console.track(records, "evaluating", len(records)):
            path, key = Path(record.pop("path")), record["key"]
            try:
                content = datasets.of(key)
                scores = _scores(path, record)
                masks = _only_masks(content, scores, record)
                if not masks:
                    content.check(scores, key["data"])
                changed += _again(path, record, scores, content, threads, rule) or bool(masks)
                if masks:
                    console.say(
                        f"{path}: only masks have changed since it was run ({len(masks)} of "
                        f"{len(scores.ids)} test images, the first is {masks[0]}); measured again "
                        "with those of now, from the kept scores"
                    )
            except Exception as error:  # a data set plugin may fail in any way; the others go on
                failed += 1
                text = sentence(error)
                console.say(f"not evaluated: {text if str(path) in text else f'{path}: {text}'}")
    return Evaluated(len(records) - failed, changed, failed)


def _scores(path: Path, record: dict[str, Any]) -> store.Scores:
    cited = (record.get("files") or {}).get("scores")
    if not cited:
        raise StoreError(f"{path}: cites no score file (records can be kept without)")
    return store.Scores.read(path.parent, cited)


def _only_masks(content: Content, scores: store.Scores, record: dict[str, Any]) -> list[str]:
    """List the test images whose masks are others now, where nothing else has changed."""
    if record["key"]["data"] == content.keys.fingerprint:
        return []
    masks = content.changed_masks(scores, record["key"]["data"])
    if masks and not record["files"].get("maps") and _has_pixels(record):
        raise OtherDataError(
            f"masks have changed since it was run (the first is that of {masks[0]}) and its maps "
            "were not kept: run the cell again (bench run --force)"
        )
    return masks or []


def _has_pixels(record: dict[str, Any]) -> bool:
    return any(record["metrics"].get(name) is not None for name in _pixel_metrics())


def _pixel_metrics() -> list[str]:
    return [name for name, metric in METRICS.items() if metric.level == "pixel"]


def _again(
    path: Path,
    record: dict[str, Any],
    scores: store.Scores,
    content: Content,
    threads: int,
    rule: str,
) -> bool:
    """Measure one record again; rewrites it when a number differs, or its masks.

    Returns:
        Whether a number differs.
    """
    cited = record["files"]
    maps = store.read_maps(path.parent, cited["maps"]) if cited.get("maps") else None
    geometry = Geometry.from_json(record["key"]["geometry"])
    category = with_threshold(content.in_order(scores), record["key"].get("mask_threshold"))
    metrics, undefined = measure(scores, maps, category, geometry, threads, rule)
    if maps is None:  # pixel metrics stay as they were measured before the maps were dropped
        same_rule = record["metrics"].get("threshold_rule", DEFAULT) == rule
        for name in (*_pixel_metrics(), "aupimo_of_images"):
            if record["metrics"].get(name) is None:
                continue
            if same_rule or name not in METRICS or METRICS[name].needs != "threshold":
                metrics[name] = record["metrics"][name]
                undefined.pop(name, None)
    same = metrics == record["metrics"] and undefined == record["undefined"]
    new = {**record, "metrics": metrics, "undefined": undefined}
    if record["key"]["data"] != content.keys.fingerprint:  # the scores belong to the masks of now
        masks = {s.id: m for s, m in zip(content.category.test, content.keys.masks, strict=True)}
        now = replace(scores, mask_keys=[masks[name] for name in scores.ids])
        new["files"] = {**cited, "scores": now.write_beside(path)}
        new["key"] = {**record["key"], "data": content.keys.fingerprint}
    if new != record:
        with claims.claimed(claims.place(path.parent.parent, record["key"]["category"])) as claim:
            if claim is None or store.read(path) != record:
                raise StoreError(f"{path}: a run is working on it; evaluate again after it")
            store.write(path, new)
            if new["files"] != cited:
                path.with_name(cited["scores"]["name"]).unlink(missing_ok=True)
    return not same
