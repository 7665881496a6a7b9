"""How near our own records come to the published numbers, method by method."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from benchmark.tables.compare import VERDICTS, Comparison, comparisons
from benchmark.tables.grid import DASH, Grid, Row, words

if TYPE_CHECKING:
    import pandas as pd

HEADS = (
    "Published in",
    "Category",
    "Metric",
    "Published",
    "Here",
    "Seeds",
    "Backbone",
    "Schedule",
    "Protocol",
    "Device",
    "Verdict",
)
SCHEDULE = ("epochs", "steps")


def fidelity(frame: pd.DataFrame) -> list[Grid]:
    """Make one table per method: every published number, its counterpart here, and the verdict.

    Args:
        frame: finished records, each cell once.
    """
    rows: dict[str, list[Row]] = defaultdict(list)
    for found in comparisons(frame):
        rows[str(found.rows["title"].iloc[0] or found.rows["method"].iloc[0])].append(_row(found))
    return [
        Grid(title, [[*map(words, HEADS)]], rows[title], [VERDICTS], stub=3)
        for title in sorted(rows)
    ]


def _row(found: Comparison) -> Row:
    row: pd.Series[Any] = found.rows.iloc[0]
    precision = "" if row["precision"] == "float32" else f", {row['precision']}"
    texts = (
        f"{found.layout.name}: {f'{found.method.head} {found.method.cite}'.strip()}",
        found.slot.head,
        found.method.variant(found.metric),
        found.published,
        found.here,
        str(found.rows["seed"].nunique()),
        _backbone(row),
        _schedule(row),
        str(row["protocol"]),
        f"{row['device']}{precision}",
    )
    verdict = words(found.verdict) if found.verdict else words("none", [found.why])
    return Row((*map(words, texts), verdict))


def _backbone(row: pd.Series[Any]) -> str:
    """List the frozen backbones used, else the one that the settings name (of a pre-trained
    part)."""
    named = [str(v) for k, v in row["settings"].items() if k.endswith("backbone")]
    used = [str(w["backbone"]) for w in row["weights"]]
    return ", ".join(dict.fromkeys(used or named)) or DASH


def _schedule(row: pd.Series[Any]) -> str:
    """Say how long it was trained, followed by the default where that differs."""
    defaults = row["defaults"] or {}
    texts = []
    for name in SCHEDULE:
        value, usual = row["settings"].get(name), defaults.get(name)
        if value is not None:
            other = f" (default {'none' if usual is None else usual})" if usual != value else ""
            texts.append(f"{name}={value}{other}")
    return ", ".join(texts) or DASH
