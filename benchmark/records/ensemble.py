"""Ensembles: the mean of stored image scores over seeds, a view of existing records.

Nothing is trained: image metrics are computed on the mean score of every test image. Pixel metrics
and costs are undefined there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import BenchError
from benchmark.metrics import image_metrics, normal_threshold
from benchmark.metrics.names import METRICS, PART
from benchmark.records.names import readable_name
from benchmark.records.stored import Stored

if TYPE_CHECKING:
    import pandas as pd


def ensembles(rows: pd.DataFrame, size: int | None = None) -> pd.DataFrame:
    """Average the scores of each configuration and category over its seeds, where enough seeds were
    run and their scores were kept.

    Args:
        rows: finished records.
        size: seeds to take, lowest first; None takes all, from two on.

    Returns:
        Rows like records', with ``name`` saying what they are.
    """
    import pandas as pd

    found = []
    for _, runs in rows.groupby(["dataset", "protocol", "config", "category"], sort=False):
        runs = runs.sort_values("seed")
        members = [Stored(row) for _, row in runs.head(size or len(runs)).iterrows()]
        if len(members) < (size or 2) or runs["data"].nunique() > 1:
            continue
        if not runs["draws"].all():
            continue  # its seeds are one and the same result
        try:
            values = _measured(members)
        except BenchError:
            continue  # scores not kept: there is no such view
        row = runs.iloc[0].copy()
        others = (c for c in row.index if c.startswith(PART) or c.endswith(("_seconds", "_bytes")))
        for column in (*METRICS, *others):
            row[column] = values.get(column, math.nan)
        said = (*row["said"], f"ensemble of {len(members)}")
        row = pd.Series({**row, "said": said}, dtype="object")
        row["name"] = readable_name(row)
        row["config"] = f"{row['config']}+ensemble{len(members)}"
        found.append(row)
    return pd.DataFrame(found, columns=rows.columns).astype(rows.dtypes.to_dict())


def _measured(members: Sequence[Stored]) -> dict[str, Any]:
    """Compute image metrics of the mean score; every member has the same images in the same
    order."""
    scores = [member.scores for member in members]
    mean = np.mean([_by_id(s.ids, s.scores) for s in scores], axis=0)
    labels = _by_id(scores[0].ids, scores[0].labels).astype(bool)
    held_out = [_by_id(s.held_out_keys, s.held_out) for s in scores]
    threshold = normal_threshold(np.mean(held_out, axis=0), members[0].rule)
    groups = _by_id(scores[0].ids, scores[0].units) if scores[0].groups else None
    result = image_metrics(mean, labels, threshold=threshold, groups=groups)
    return {name: math.nan if value is None else value for name, value in result.values.items()}


def _by_id(ids: Sequence[str], values: Any) -> Any:
    return np.asarray(values)[np.argsort(ids, kind="stable")]
