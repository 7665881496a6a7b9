"""How near our own records come to the published numbers, method by method."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from benchmark.tables.compare import HEADS, VERDICTS, Comparison, comparisons, verdict_rows
from benchmark.tables.grid import Grid, Text, words

if TYPE_CHECKING:
    import pandas as pd

SCHEDULE = ("epochs", "steps")


def fidelity(frame: pd.DataFrame) -> list[Grid]:
    """Make one table per method: every published number, its counterpart here, and the verdict.

    Args:
        frame: finished records, each cell once.
    """
    found: dict[str, list[Comparison]] = defaultdict(list)
    for one in comparisons(frame):
        found[str(one.rows["title"].iloc[0] or one.rows["method"].iloc[0])].append(one)
    return [
        Grid(title, HEADS, list(verdict_rows(found[title], _heading)), [VERDICTS], stub=2)
        for title in sorted(found)
    ]


def _heading(found: Comparison) -> Text:
    """Say what is compared: the published column, and how the run was made."""
    row: pd.Series[Any] = found.rows.iloc[0]
    precision = "" if row["precision"] == "float32" else f", {row['precision']}"
    run = [
        _backbone(row),
        _schedule(row),
        f"protocol {row['protocol']}",
        f"{row['device']}{precision}",
    ]
    return words(f"{found.column}; run here: {', '.join(text for text in run if text)}")


def _backbone(row: pd.Series[Any]) -> str:
    """List the frozen backbones used, else the one that the settings name (of a pre-trained
    part)."""
    named = [str(v) for k, v in row["settings"].items() if k.endswith("backbone")]
    used = [str(w["backbone"]) for w in row["weights"]]
    return ", ".join(dict.fromkeys(used or named))


def _schedule(row: pd.Series[Any]) -> str:
    """Say how long it was trained, followed by the default where that differs."""
    defaults = row["defaults"] or {}
    texts = []
    for name in SCHEDULE:
        value, usual = row["settings"].get(name), defaults.get(name)
        if value is not None:
            other = f" (default {'none' if usual is None else usual})" if usual != value else ""
            texts.append(f"{name}={value}{other}")
    return ", ".join(texts)
