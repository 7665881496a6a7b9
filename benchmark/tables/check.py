"""``bench table NAME --check``: every printed cell again, from the score files.

Nothing of the tables' own arithmetic is used: metrics are measured again from stored scores and maps,
cells are found by the words that stand at their row and column, and means are taken in plain loops.
So a table whose columns were swapped, an average from before the last run, and a record changed by
hand are all seen.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import BenchError, SettingsError, StoreError
from benchmark.metrics.names import IMAGE_METRICS, METRICS
from benchmark.records.stored import Images, Stored
from benchmark.tables.derive import UNKNOWABLE, Derivation, derivations, own_cells
from benchmark.tables.grid import Grid
from benchmark.tables.render import render
from benchmark.tables.request import Request, grids, records, with_ensembles
from benchmark.tables.saved import parse
from benchmark.texts import read_text

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-6
"""Larger than what other machines' rounding does to a metric, smaller than any printed digit."""


@dataclass
class Report:
    """What was found.

    Attributes:
        checked: number of cells compared.
        wrong: a sentence per difference.
        unverified: a sentence per thing that could not be derived again.
        refused: those of them that were made from other images or masks than there are now.
    """

    checked: int = 0
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
        state = ", ".join(parts) or "all agree"
        return "\n".join([*lines, f"{self.checked} cells checked: {state}"])


def check(request: Request, saved: Path | None, data_root: str | None = None) -> Report:
    """Hold a table against the score files.

    Args:
        request: which table.
        saved: a table written earlier, in any of the formats; None for the one made now.
        data_root: of the data set, for the masks of pixel metrics.

    Raises:
        BenchError: the table cannot be made at all.
    """
    if request.name == "bibliography":
        raise SettingsError("--check is for tables; the bibliography has nothing to derive")
    report = Report()
    images = Images(data_root, request.plugin)
    if request.own:
        made, derived = _own(request, images, report)
    else:
        frame = records(replace(request, ensemble=False))
        truth = None if frame is None else rederive(frame, images, report)
        if request.ensemble and frame is not None and truth is not None:
            frame, truth = with_ensembles(frame), with_ensembles(truth)
        made = grids(request, frame)
        derived = derivations(request, truth)
    now = parse(render(made, "csv"), made[0].stub)
    found = parse(read_text(saved), made[0].stub) if saved else now
    if len(found) != len(now):
        report.wrong.append(f"{len(found)} tables in the file, {len(now)} are made from records")
    for cells, complete, derive in zip(found, now, derived, strict=False):
        for row, column in complete.keys() - cells.keys():
            report.wrong.append(f"{row}, {column}: missing")
        for (row, column), text in cells.items():
            _hold(row, column, text, derive, report)
    report.refused = images.refused
    return report


def _own(
    request: Request, images: Images, report: Report
) -> tuple[list[Grid], Iterable[Derivation]]:
    """A table of the user's, and what its cells should say."""
    from benchmark.tables import own

    file = Path(request.name)
    wanted = own.read(file)
    columns = own.resolved(wanted, request.results, request.plugin)
    made = [own.own_table(file, request.results, request.plugin)]
    truths = [None if c.rows is None else rederive(c.rows, images, report) for c in columns]
    return made, [own_cells(wanted, columns, truths)]


def _hold(row: str, column: str, text: str, derive: Derivation, report: Report) -> None:
    right = derive(row, column)
    if right is None:
        report.wrong.append(f"{row}, {column}: {text} stands where the records have nothing")
        return
    report.checked += 1
    if right == UNKNOWABLE:
        report.unverified.append(f"{column}: measured once, not derived from scores")
    elif text != right:
        report.wrong.append(f"{row}, {column}: printed {text}, should be {right}")


def rederive(frame: pd.DataFrame, images: Images, report: Report) -> pd.DataFrame:
    """The same frame with every metric measured again; differences go to the report."""
    truth = frame.copy()
    for index, row in frame.iterrows():
        stored = Stored(row)
        where = f"{row['name']} {row['category']} seed {row['seed']}"
        try:
            values = measured(stored, images)
        except StoreError as error:
            report.unverified.append(f"{where}: {error}")
            continue
        except BenchError as error:
            report.unverified.append(f"{where}, pixel metrics: {str(error).splitlines()[0]}")
            values = image_values(stored)
        if stored.files.get("maps") is None:
            report.unverified.append(f"{where}, pixel metrics: its maps were not kept")
        for name, value in values.items():
            old = row[name]
            new = math.nan if value is None else value
            if not (math.isnan(old) and math.isnan(new)) and not abs(old - new) <= TOLERANCE:
                report.wrong.append(f"record of {where}: {name} is {old}, its scores give {new}")
            truth.loc[index, name] = new
    return truth


def image_values(stored: Stored) -> dict[str, Any]:
    """Image metrics from the score file."""
    from benchmark.metrics import image_metrics, normal_threshold

    scores = stored.scores
    threshold = normal_threshold(scores.held_out)
    result = image_metrics(scores.scores, scores.labels.astype(bool), threshold=threshold)
    return {name: getattr(result, name) for name in IMAGE_METRICS}


def measured(stored: Stored, images: Images) -> dict[str, Any]:
    """All metrics that the kept files allow. Raises BenchError when files or masks are missing."""
    if stored.files.get("maps") is None:
        return image_values(stored)
    scores, maps = stored.scores, stored.maps
    path = stored.path.parent / stored.files["maps"]["name"]
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != stored.files["maps"]["sha256"]:
            raise StoreError(f"{path}: differs from what its record cites")
    category = images.scored(stored)
    from benchmark.machine import cores
    from benchmark.records.measure import measure

    threads = cores()
    values, _ = measure(scores, maps, category, stored.geometry, threads)
    return {name: value for name, value in values.items() if name in METRICS}
