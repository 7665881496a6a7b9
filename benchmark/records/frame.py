"""Records as a tidy pandas DataFrame: what every table and picture is made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.metrics.names import METRICS, PART
from benchmark.metrics.threshold import DEFAULT
from benchmark.places import expanded
from benchmark.records.exchange import read_results
from benchmark.records.names import backbone_precision, readable_name, told_apart

if TYPE_CHECKING:
    import pandas as pd

COST = (
    "fit_seconds",
    "predict_seconds",
    "latency_batch_1_seconds",
    "latency_batch_n_seconds",
    "stored_bytes",
    "backbone_bytes",
    "peak_bytes",
    "peak_gpu_bytes",
    "wall_seconds",
)
STRESS = ("shots", "contaminate", "corrupt")
COLUMNS = (
    "dataset",
    "source",
    "source_settings",
    "protocol",
    "method",
    "config",
    "name",
    "said",
    "category",
    "seed",
    "status",
    "window",
    "geometry",
    "protocol_name",
    "holdout",
    "image_size",
    "keep_aspect",
    "mask_threshold",
    "stress",
    "settings",
    "title",
    "citation",
    "defaults",
    "draws",
    "random_weights",
    "weights",
    "assets",
    "provenance",
    "undefined",
    "precision",
    "backbone_precision",
    "version",
    "threshold_rule",
    "data",
    "device",
    "good_images",
    "defective_images",
    "path",
    "results",
)


def load_results(
    results: str | PathLike[str] | Sequence[str | PathLike[str]] = "results/runs",
) -> pd.DataFrame:
    """Load records as a frame: one row per record, metrics and costs as columns.

    Columns: ``dataset``, ``protocol`` (the folder's name, such as ``paper-holdout0.1``), ``method``,
    ``config`` (method and hash), ``name`` (readable: the method and the settings that differ from
    its defaults), ``said`` (these settings, one text each), ``category``, ``seed``, ``status`` (``ok`` or ``failed``), ``window`` (which pixels
    are measured, in words), every metric of ``bench list metrics`` (fractions; NaN where undefined),
    ``image_auroc[<part>]`` for the parts of scores that a method names (IGD's four terms), the costs (seconds and bytes), ``settings``, ``title``, ``citation`` and ``defaults`` (what the
    method said when it ran; None in records that do not keep it), ``draws`` (whether a seed changes
    anything), ``random_weights``, ``threshold_rule`` (how the threshold was set), ``data`` (fingerprint), ``device``, ``good_images`` and
    ``defective_images`` (of the test split; NaN in records that do not count them), ``path`` and the
    rest of a record's key.

    Args:
        results: one folder of records or several; a file of :func:`benchmark.export_results` counts
            as one.

    Raises:
        StoreError: no such folder or file, or a file that is none of ours.
    """
    import pandas as pd

    folders = [results] if isinstance(results, str | PathLike) else list(results)
    rows = []
    for folder in map(expanded, folders):
        rows += [_row(record, folder) for record in read_results(folder)]
    parts = sorted({name for row in rows for name in row if name.startswith(PART)})
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *METRICS, *parts, *COST])
    numbers = [*METRICS, *parts, *COST, "good_images", "defective_images"]
    frame = frame.astype(dict.fromkeys(numbers, "float64"))
    for row, said in zip(rows, told_apart(rows), strict=True):
        row["said"] = said
    frame["said"] = pd.Series([row["said"] for row in rows], dtype="object")
    frame["name"] = pd.Series([readable_name(row) for row in rows], dtype="object")
    return frame


def _row(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    path = Path(record["path"])
    key = record["key"]
    metrics, cost = record.get("metrics", {}), record.get("cost", {})
    provenance = record.get("provenance", {})
    method = record.get("method", {})
    images = (provenance.get("images") or {}).get("found") or {}
    return {
        "dataset": key["dataset"],
        "source": key["source"],
        "source_settings": key.get("source_settings", {}),
        "protocol": path.parent.parent.name,
        "method": key["method"],
        "config": path.parent.name,
        "category": key["category"],
        "seed": key["seed"],
        "status": record["status"],
        "window": window(key["geometry"], key.get("mask_threshold")),
        "geometry": key["geometry"],
        "protocol_name": key["protocol"]["name"],
        "holdout": key["protocol"]["holdout"],
        "image_size": key["protocol"]["image_size"],
        "keep_aspect": key["protocol"].get("keep_aspect", False),
        "mask_threshold": key.get("mask_threshold"),
        "stress": {k: key["protocol"][k] for k in STRESS if k in key["protocol"]},
        "settings": record.get("settings", key["settings"]),
        "title": method.get("title"),
        "citation": method.get("citation"),
        "defaults": method.get("defaults"),
        "draws": method.get("draws", True),
        "random_weights": random_weights(key["weights"], provenance),
        "weights": key["weights"],
        "assets": key["assets"],
        "provenance": provenance,
        "undefined": record.get("undefined") or {},
        "precision": key["precision"],
        "backbone_precision": backbone_precision(key["weights"]),
        "version": key["version"],
        "threshold_rule": metrics.get("threshold_rule", DEFAULT),
        "data": key["data"],
        "device": record.get("environment", {}).get("device"),
        "good_images": images.get("good"),
        "defective_images": images.get("defective"),
        "path": str(path),
        "results": str(folder),
        **{name: metrics.get(name) for name in METRICS},
        **{name: value for name, value in metrics.items() if name.startswith(PART)},
        **{name: cost.get(name) for name in COST},
    }


def random_weights(weights: Iterable[Mapping[str, Any]], provenance: Mapping[str, Any]) -> bool:
    """Tell whether a backbone, or one that an asset was taught by, is not pre-trained."""
    sources = [w["source"] for w in weights]
    for asset in (provenance.get("assets") or {}).values():
        sources += (asset.get("backbones") or {}).values()
    return "random" in sources


def window(geometry: Mapping[str, Any], mask_threshold: int | None = None) -> str:
    """Say in words which pixels are measured. Numbers of different windows are never ranked
    together.

    >>> window({"resize": 256, "crop": 224, "eval_crop": None, "eval_size": None})
    'shorter side 256, central 224'
    """
    resize = geometry["resize"]
    parts = ["native size"]
    if isinstance(resize, int):
        parts = [f"shorter side {resize}"]
    elif resize is not None:
        parts = [f"{resize[0]}×{resize[1]}"]
    if geometry["crop"]:
        parts.append(f"central {geometry['crop']}")
    if geometry["eval_crop"]:
        parts.append(f"measured on the central {geometry['eval_crop']}")
    if geometry["eval_size"]:
        parts.append(f"at {geometry['eval_size']}×{geometry['eval_size']}")
    if mask_threshold is not None:
        parts.append(f"masks above {mask_threshold}")
    return ", ".join(parts)
