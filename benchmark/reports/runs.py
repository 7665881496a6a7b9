"""Each configuration of a report: its settings, its curves, and the command that runs it again."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import StoreError
from benchmark.records.names import changed_settings
from benchmark.records.stored import Stored, one_seed
from benchmark.reports.leaderboard import rounded, run_anchor
from benchmark.tables.match import image_size

if TYPE_CHECKING:
    import pandas as pd

POINTS = 60
"""Of a curve in the page."""


@dataclass(frozen=True)
class Run:
    """A configuration: what it was, where it ran, and the command that runs it again.

    Attributes:
        anchor: of its place in the page.
        label: what it is called in the report's tables.
        changed: the settings that differ from the method's defaults.
        curves: image ROC of the first seed, by category; empty where no scores were kept.
    """

    anchor: str
    name: str
    label: str
    dataset: str
    protocol: str
    pixels: str
    cells: int
    changed: Mapping[str, Any]
    settings: Mapping[str, Any]
    weights: Sequence[str]
    devices: Sequence[str]
    environment: str
    command: str
    citation: str
    curves: Mapping[str, Any]


def runs(frame: pd.DataFrame, labels: Mapping[str, str], curves: bool) -> list[Run]:
    """Describe each configuration.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`.
        labels: short name by anchor.
        curves: whether to read the score files.
    """
    out = []
    for _, rows in frame.groupby(["dataset", "protocol", "config"], sort=True):
        row = rows.iloc[0]
        place = run_anchor(row)
        out.append(
            Run(
                place,
                str(row["name"]),
                labels.get(place, str(row["name"])),
                str(row["dataset"]),
                str(row["protocol"]),
                str(row["window"]),
                len(rows),
                changed_settings(row),
                row["settings"],
                [f"{w['backbone']}: {w['source']}" for w in row["weights"]],
                sorted({str(d) for d in rows["device"]}),
                _environment(Stored(row).record.get("environment") or {}),
                command(rows),
                str(row["citation"] or ""),
                _curves(rows) if curves else {},
            )
        )
    return out


def _curves(rows: pd.DataFrame) -> dict[str, Any]:
    """Compute the image ROC of each category, thinned to what a screen can show."""
    from benchmark.plots.curves import roc

    found = {}
    for stored in one_seed(rows):
        try:
            scores = stored.scores
        except StoreError:  # said among the pictures
            continue
        labels = np.asarray(scores.labels, bool)
        if labels.any() and not labels.all():
            x, y = roc(np.asarray(scores.scores), labels)
            kept = np.unique(np.linspace(0, len(x) - 1, POINTS).astype(int))
            found[str(stored.row["category"])] = rounded(np.stack([x, y], 1)[kept], 4)
    return found


def _environment(found: Mapping[str, Any]) -> str:
    """Say what the first of its records was made with."""
    versions = {"bench": found.get("bench"), "Python": found.get("python")}
    texts = [f"{k} {v}" for k, v in {**versions, **found.get("packages", {})}.items() if v]
    if found.get("commit"):
        texts[:1] = [f"{texts[0]} (commit {found['commit']})"]
    where = (f"{found.get('system')}, {found.get('threads')} threads",) if "system" in found else ()
    return ", ".join((*texts, *where))


def command(rows: pd.DataFrame) -> str:
    """Write the ``bench run`` that makes these records again.

    Args:
        rows: records of one configuration; one without its defaults names every setting.
    """
    row = rows.iloc[0]
    name = str(row["method"])
    parts = ["bench", "run", "--methods", name, "--dataset", str(row["source"])]
    if row["dataset"] != row["source"]:
        parts += ["--name", str(row["dataset"])]
    parts += ["--categories", *sorted(set(rows["category"]))]
    parts += ["--seeds", *map(str, sorted(set(rows["seed"])))]
    parts += ["--protocol", str(row["protocol_name"])]
    if size := image_size(row):
        parts += ["--image-size", str(size)]
    if row["keep_aspect"]:
        parts.append("--keep-aspect")
    if row["mask_threshold"] is not None and not math.isnan(row["mask_threshold"]):
        parts += ["--mask-threshold", str(int(row["mask_threshold"]))]
    for option, value in row["stress"].items():
        parts += [f"--{option}", str(value)]
    if "holdout" in str(row["protocol"]):
        parts += ["--holdout", f"{row['holdout']:g}"]
    if row["precision"] != "float32":
        parts += ["--precision", str(row["precision"])]
    if row["backbone_precision"] != "float32":
        parts += ["--backbone-precision", str(row["backbone_precision"])]
    if any(w["source"] == "random" for w in row["weights"]):
        parts += ["--weights", "random"]
    if changed := changed_settings(row):
        parts += ["--set", *(f"{_owned(name, k)}={_yaml(v)}" for k, v in sorted(changed.items()))]
    return shlex.join(parts)


def _owned(method: str, setting: str) -> str:
    """Write a setting as ``--set`` names it: an asset's has its owner before it already."""
    return setting if "." in setting else f"{method}.{setting}"


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, default_flow_style=True).split("\n")[0].strip()
