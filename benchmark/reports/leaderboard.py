"""What may be ranked together: a leaderboard, quality against latency, and who wins where."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from benchmark.errors import StoreError
from benchmark.metrics.names import METRICS, SHOWN
from benchmark.records.names import short_names
from benchmark.records.select import category_groups, few_images, rankable
from benchmark.reports.averages import Array, Averages, averages, frontier
from benchmark.statistics.ranks import rank
from benchmark.tables.live import Value, seeds_text, undefined, winners
from benchmark.tables.ranking import fields, verdict

if TYPE_CHECKING:
    import pandas as pd

RANKED = "image_auroc"
"""What the average rank is of."""
COSTS = (
    ("fit_seconds", "fit (s)", 1.0, 1),
    ("latency_batch_1_seconds", "one image (ms)", 1e3, 1),
    ("latency_batch_n_seconds", "one of a batch (ms)", 1e3, 1),
    ("stored_bytes", "stored (MB)", 1e-6, 1),
    ("backbone_bytes", "backbone (MB)", 1e-6, 1),
    ("peak_bytes", "peak memory (MB)", 1e-6, 0),
)


@dataclass(frozen=True)
class Measured:
    """A number and what is printed for it."""

    value: float
    text: str
    best: bool = False

    @property
    def sortable(self) -> str:
        """For sorting in the browser; undefined ones come last."""
        return "" if math.isnan(self.value) else repr(self.value)


@dataclass(frozen=True)
class Standing:
    """A configuration in a leaderboard.

    Attributes:
        number: its place in the block's data.
        label: short name.
        name: readable name.
        run: anchor of its settings, command and curves.
        random: whether its weights are random.
        rank: average rank over the categories, 1 is the best.
        numbers: one per metric of the block.
    """

    number: int
    label: str
    name: str
    run: str
    random: bool
    rank: Measured
    numbers: Sequence[Measured]


@dataclass(frozen=True)
class Block:
    """The results that may be ranked together.

    Attributes:
        anchor: of the block in the page.
        title: data set, protocol and measured pixels.
        categories, metrics: in the order of tables; the five that are shown unasked first.
        board: best average rank first.
        notes: sentences below the leaderboard.
        shared: sentences on what the configurations have in common.
        legend: sentences on what short names stand for.
        costs: per configuration and device: short name, device, texts of COSTS.
        data: for the charts and tables that the browser makes.
    """

    anchor: str
    title: str
    categories: Sequence[str]
    metrics: Sequence[str]
    board: Sequence[Standing]
    notes: Sequence[str]
    shared: Sequence[str]
    legend: Sequence[str]
    costs: Sequence[tuple[int, str, str, Sequence[Measured]]]
    data: Mapping[str, Any]


def anchor(*parts: str) -> str:
    """Make an anchor that stays the same when the report is made again.

    >>> anchor("run", "mvtec", "paper", "padim@0a1b")
    'run-mvtec-paper-padim@0a1b'
    """
    return re.sub(r"[^\w.@=-]+", "-", "-".join(parts)).strip("-").lower()


def run_anchor(row: Mapping[str, Any] | pd.Series[Any]) -> str:
    """Name the place of a record's configuration."""
    return anchor("run", row["dataset"], row["protocol"], row["config"])


def block(title: str, part: pd.DataFrame) -> Block:
    """Put together what is said of one block.

    Args:
        title, part: of :func:`benchmark.records.select.blocks`.
    """
    every = [c for _, group in category_groups(part) for c in group]
    metrics = [
        m for m in (*SHOWN, *(m for m in METRICS if m not in SHOWN)) if part[m].notna().any()
    ]
    first = {str(row["name"]): row for _, row in part.drop_duplicates("name").iterrows()}
    names = list(first)
    labels = short_names(part)
    found = averages(part, names, every, metrics)
    ranks, said = _ranks(part)
    texts = _texts(part, found, every, metrics)
    board = [
        Standing(
            i,
            labels.of[name],
            name,
            run_anchor(first[name]),
            bool(first[name]["random_weights"]),
            _number(ranks.get(name, math.nan), 2),
            [column[i] for column in texts],
        )
        for i, name in enumerate(names)
    ]
    lead = [-1 if m == RANKED else 0 for m in metrics]
    board.sort(
        key=lambda s: (
            _last(s.rank.value),
            [k * _last(n.value, -1) for k, n in zip(lead, s.numbers, strict=True)],
        )
    )
    trivial = _trivial(part, every)
    runs = {labels.of[str(n)]: rows for n, rows in part.groupby("name", sort=False)}
    notes = [
        *said,
        seeds_text(runs),
        *few_images(part),
        *_read(trivial, found, every, metrics),
        *undefined(part, SHOWN),
    ]
    costs, devices = _costs(part, names, found.means, metrics)
    data = {
        "title": title,
        "metrics": metrics,
        "methods": [
            {"label": labels.of[n], "name": n, "run": run_anchor(row)} for n, row in first.items()
        ],
        "categories": every,
        "images": _images(part, every),
        "ranked": [rankable(part, [c]) for c in every],
        "cells": rounded(found.cells),
        "spreads": None if np.isnan(found.spreads).all() else rounded(found.spreads),
        "means": rounded(found.means),
        "devices": devices,
        "trivial": [trivial.get(c) for c in every],
    }
    return Block(
        anchor("block", title),
        title,
        every,
        metrics,
        board,
        notes,
        labels.shared,
        labels.sentences(),
        [(i, labels.of[names[i]], device, numbers) for i, device, numbers in costs],
        data,
    )


def rounded(values: Array, decimals: int = 5) -> Any:
    """Turn an array into lists for JSON, None for NaN."""
    plain = np.round(values, decimals).astype(object)
    plain[np.isnan(values)] = None
    return plain.tolist()


def _last(value: float, sign: int = 1) -> float:
    """Sort what is undefined behind all else."""
    return sign * math.inf if math.isnan(value) else value


def _number(value: float, decimals: int) -> Measured:
    return Measured(value, "–" if math.isnan(value) else f"{value:.{decimals}f}")


def _ranks(part: pd.DataFrame) -> tuple[dict[str, float], list[str]]:
    """Rank the configurations that have all categories; the sentences say what that is worth."""
    if part["name"].nunique() < 2:
        return {}, []
    try:
        field = next(fields(part, RANKED))
    except StoreError:
        return {}, ["No average rank: no two methods were run on the same categories."]
    found = rank(field.names, field.values)
    count = len(field.categories)
    ranks = {name: float(place) for name, place in zip(found.names, found.ranks, strict=True)}
    over = f"{count} categor{'y' if count == 1 else 'ies'}"
    return ranks, [f"Ranked by {RANKED} over {over}. {verdict(found, count)}", *field.notes]


def _texts(
    part: pd.DataFrame, found: Averages, every: Sequence[str], metrics: Sequence[str]
) -> list[list[Measured]]:
    """Write the average of each metric and configuration, the best of each metric marked."""
    ranked = rankable(part, every)
    columns = []
    for metric, means, deviations in zip(metrics, found.means, found.deviations, strict=True):
        values = [
            Value(float(m), None if math.isnan(d) else float(d))
            for m, d in zip(means, deviations, strict=True)
        ]
        best = winners(values, metric) if ranked else [False] * len(values)
        columns.append([Measured(v.mean, v.text(), b) for v, b in zip(values, best, strict=True)])
    return columns


def _trivial(part: pd.DataFrame, every: Sequence[str]) -> dict[str, tuple[str, float]]:
    """Find the best score that looks at no defect, by category; none in records that have none."""
    found: dict[str, tuple[str, float]] = {}
    for category, provenance in zip(part["category"], part["provenance"], strict=True):
        for name, auroc in ((provenance.get("files") or {}).get("shortcuts") or {}).items():
            if category in every and auroc > found.get(category, ("", 0.0))[1]:
                found[category] = (name, round(auroc, 5))
    return found


def _read(
    trivial: Mapping[str, tuple[str, float]],
    found: Averages,
    every: Sequence[str],
    metrics: Sequence[str],
) -> list[str]:
    """Say where a score that looks at no defect does as well as the best method."""
    if not trivial or RANKED not in metrics:
        return []
    best = np.nan_to_num(found.cells[metrics.index(RANKED)], nan=0.0).max(axis=0)
    beaten = [
        f"{c} ({trivial[c][0]}: {trivial[c][1]:.3f})"
        for c, value in zip(every, best, strict=True)
        if c in trivial and trivial[c][1] >= value
    ]
    if not beaten:
        return []
    text = "Scores that look at no defect do as well as the best method in "
    return [f"{text}{', '.join(beaten)}: there, {RANKED} says little about finding defects."]


def _images(part: pd.DataFrame, every: Sequence[str]) -> Any:
    counts = part.groupby("category")[["good_images", "defective_images"]].min()
    return rounded(counts.reindex(list(every)).to_numpy(float), 0)


def _costs(
    part: pd.DataFrame, names: Sequence[str], means: Array, metrics: Sequence[str]
) -> tuple[list[tuple[int, str, list[Measured]]], list[dict[str, Any]]]:
    """Average the costs per configuration and device, and find each device's frontiers."""
    table = part.assign(device=part["device"].fillna("unknown device"))
    table = table.groupby(["name", "device"], sort=False)[[column for column, *_ in COSTS]].mean()
    costs = []
    for place, row in table.iterrows():
        name, device = cast(tuple[str, str], place)
        numbers = [
            _number(float(row[column]) * factor, decimals) for column, _, factor, decimals in COSTS
        ]
        costs.append((names.index(str(name)), str(device), numbers))
    devices = []
    for device in dict.fromkeys(d for _, d, _ in costs):
        here = table.xs(device, level="device").reindex(list(names))
        seconds = here["latency_batch_1_seconds"].to_numpy(float)
        if np.isfinite(seconds).sum() < 2:
            continue
        signs = [1 if METRICS[m].better == "higher" else -1 for m in metrics]
        devices.append(
            {
                "name": device,
                "ms": rounded(seconds * 1e3, 3),
                "stored": rounded(here["stored_bytes"].to_numpy(float) * 1e-6, 1),
                "frontiers": [
                    frontier(seconds.tolist(), (k * row).tolist())
                    for k, row in zip(signs, means, strict=True)
                ],
            }
        )
    return costs, devices
