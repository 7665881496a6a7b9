"""``bench table NAME --check``: is a printed table what its score files give?

Every metric is measured again from the stored scores and maps, the table is printed again from what
was measured, and the two texts are compared line by line. So swapped columns, an average from before
the last run and a record changed by hand are all seen.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import BenchError, SettingsError, StoreError
from benchmark.metrics.names import METRICS
from benchmark.records.exchange import edited
from benchmark.records.stored import Datasets, Stored
from benchmark.tables.build import MEASURED
from benchmark.tables.render import form_of, render
from benchmark.tables.request import Request, grids
from benchmark.texts import read_text

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-6
"""Larger than what other machines' rounding does to a metric, smaller than any printed digit."""


@dataclass
class Findings:
    """The findings of a check.

    Attributes:
        wrong: a sentence per difference.
        unverified: a sentence per thing that could not be measured again.
        refused: those of them that were made from other images or masks than there are now.
    """

    wrong: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.wrong and not self.refused

    def text(self) -> str:
        lines = [f"WRONG: {w}" for w in self.wrong]
        lines += [f"not verified: {u}" for u in dict.fromkeys(self.unverified)]
        parts = [f"{len(self.wrong)} differences"] if self.wrong else []
        if self.refused:
            other = "not verified, made from other images or masks than there are now"
            parts.append(f"{len(self.refused)} records {other}")
        return "\n".join([*lines, ", ".join(parts) or "the table is what its score files give"])


def check(request: Request, saved: Path | None, datasets: Datasets | None = None) -> Findings:
    """Hold a table against the score files.

    Args:
        request: which table.
        saved: a file with a table printed earlier, in any of the formats; None for the one that
            would be printed now.
        datasets: for the masks of pixel metrics; None for ``BENCH_DATA``.

    Raises:
        BenchError: the table cannot be made at all, or the file cannot be read.
    """
    if request.name == "bibliography":
        raise SettingsError("--check is for tables; the bibliography has nothing to derive")
    found, datasets = Findings(), datasets or Datasets()
    right = grids(request, partial(measured_again, datasets=datasets, found=found))
    if request.layout and {m for s in request.layout.slots for m in s.metrics} & MEASURED.keys():
        found.unverified.append("times and bytes: measured once, not derived from scores")
    if saved is None:
        form, printed = "csv", render(grids(request), "csv")
    else:
        printed = read_text(saved, what=f"--check {saved}")
        form = form_of(printed)
    found.wrong += _differences(printed, render(right, form))
    found.refused = datasets.refused
    return found


def _differences(printed: str, right: str) -> Iterator[str]:
    """Yield the lines that are not as they should be; text around the table is left alone."""
    old, new = ([line.strip() for line in t.strip().splitlines()] for t in (printed, right))
    changes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for tag, a, b, c, d in changes:
        around = tag == "delete" and (c == 0 or c == len(new))
        if tag == "equal" or around:
            continue
        for found, wanted in zip_longest(old[a:b], new[c:d], fillvalue="nothing"):
            yield f"printed   {found}\n       should be {wanted}"


def measured_again(frame: pd.DataFrame, datasets: Datasets, found: Findings) -> pd.DataFrame:
    """Return the same frame with every metric measured again; differences become findings."""
    truth = frame.copy()
    for index, row in frame.iterrows():
        stored = Stored(row)
        where = f"{row['name']} {row['category']} seed {row['seed']}"
        if stored.exported:
            found.wrong += [f"record of {where}: {text}" for text in edited(*stored.exported)]
        try:
            values = measured(stored, datasets)
        except StoreError as error:
            found.unverified.append(f"{where}: {error}")
            continue
        except BenchError as error:
            found.unverified.append(f"{where}, pixel metrics: {str(error).splitlines()[0]}")
            values = image_values(stored)
        if stored.files.get("maps") is None:
            found.unverified.append(f"{where}, pixel metrics: its maps were not kept")
        kept = stored.record.get("metrics", {})
        for name, value in values.items():
            if name not in kept:
                continue  # a metric that is newer than the record
            old, new = row[name], math.nan if value is None else value
            if (math.isnan(old) and math.isnan(new)) or abs(old - new) <= TOLERANCE:
                continue
            found.wrong.append(f"record of {where}: {name} is {old}, its scores give {new}")
            truth.loc[index, name] = new
    return truth


def image_values(stored: Stored) -> dict[str, Any]:
    """Compute image metrics from the score file."""
    from benchmark.records.measure import of_images

    values, _ = of_images(stored.scores, stored.rule)
    return {name: value for name, value in values.items() if name in METRICS}


def measured(stored: Stored, datasets: Datasets) -> dict[str, Any]:
    """Measure all metrics that the kept files allow. Raises BenchError when files or masks are
    missing."""
    if stored.files.get("maps") is None:
        return image_values(stored)
    scores, maps = stored.scores, stored.maps
    path = stored.folder / stored.files["maps"]["name"]
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != stored.files["maps"]["sha256"]:
            raise StoreError(f"{path}: differs from what its record cites")
    category = datasets.scored(stored)
    from benchmark.machine import cores
    from benchmark.records.measure import measure

    values, _ = measure(scores, maps, category, stored.geometry, cores(), stored.rule)
    return {name: value for name, value in values.items() if name in METRICS}
