"""Records at another threshold than the one they were measured at, a view of what they stored."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from benchmark.errors import RecordWarning, StoreError
from benchmark.metrics.names import METRICS
from benchmark.metrics.threshold import Rule
from benchmark.records.measure import of_images
from benchmark.records.stored import Stored

if TYPE_CHECKING:
    import pandas as pd


def at_threshold(frame: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Set the thresholds of records anew and measure what depends on them from their scores.

    Pixel metrics at another threshold become undefined: only the maps tell them, which ``bench
    evaluate --threshold`` reads.

    Args:
        frame: finished records.
        rule: ``quantile:F``, ``max`` or ``mean+Nsd``.

    Raises:
        SettingsError: no such rule.

    Warns:
        RecordWarning: a record kept no scores; its numbers at a threshold become undefined.
    """
    Rule.parse(rule)
    decided = [name for name, metric in METRICS.items() if metric.needs == "threshold"]
    out = frame.copy()
    undefined = dict(zip(frame.index, frame["undefined"], strict=True))
    for index, row in frame.iterrows():
        stored = Stored(row)
        if stored.rule == rule:
            continue
        try:
            values, why = of_images(stored.scores, rule)
        except StoreError as error:
            values, why = {}, {}
            warnings.warn(f"no decisions at --threshold {rule}: {error}", RecordWarning, 2)
        for name in decided:
            value = values.get(name)
            out.loc[index, name] = math.nan if value is None else value
            if METRICS[name].level == "pixel":
                why[name] = f"measured at this threshold by bench evaluate --threshold {rule}"
        undefined[index] = {**row["undefined"], **why}
        out.at[index, "threshold_rule"] = rule
    return out.assign(undefined=list(undefined.values()))
