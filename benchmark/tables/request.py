"""Which table, of which records: from a request to the finished table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import SettingsError, StoreError, unknown
from benchmark.tables import TABLES
from benchmark.tables.grid import Grid
from benchmark.tables.layout import Layout

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.tables.build import View


@dataclass(frozen=True)
class Request:
    """Which table, of which records.

    Attributes:
        name: a key of :data:`benchmark.tables.TABLES`, or a YAML file.
        results: folders of records.
        metric: names, for the live tables.
        dataset, protocol, methods: which records; None for all.
        view: of a paper's table: ``published``, ``run`` or ``both``.
        common: average over the categories that all have, instead of a dash.
        ensemble: of the live tables: also the mean scores over the seeds of every configuration.
    """

    name: str
    results: Sequence[str | Path] = ("results/runs",)
    metric: Sequence[str] | None = None
    dataset: str | None = None
    protocol: str | None = None
    methods: Sequence[str] | None = None
    view: View = "both"
    common: bool = False
    ensemble: bool = False

    @property
    def layout(self) -> Layout | None:
        """The paper's layout; None for a live table or the user's own.

        Raises:
            SettingsError: no such table.
        """
        if self.own:
            return None
        if self.name not in TABLES:
            raise SettingsError(unknown("table", self.name, TABLES) + "; or a FILE.yaml of yours")
        table = TABLES[self.name]
        if not isinstance(table, Layout):
            return None
        if self.metric:
            raise SettingsError(
                f"table {self.name} has its own metrics; --metric is for per-category and summary"
            )
        return table

    @property
    def own(self) -> bool:
        """Whether the table is described in a file of the user's."""
        return self.name.endswith((".yaml", ".yml"))


def records(request: Request) -> pd.DataFrame | None:
    """The records that a table may be made from; None where it needs none."""
    from benchmark.records.frame import load_results
    from benchmark.records.select import choose

    if request.layout is not None and request.view == "published":
        return None
    frame = choose(
        load_results(request.results),
        dataset=request.dataset,
        protocol=request.protocol,
        methods=request.methods,
    )
    return with_ensembles(frame) if request.ensemble and request.layout is None else frame


def with_ensembles(frame: pd.DataFrame) -> pd.DataFrame:
    """Records and the ensembles over their seeds. Raises StoreError when there is none."""
    import pandas as pd

    from benchmark.records.ensemble import ensembles

    found = ensembles(frame)
    if found.empty:
        raise StoreError(
            "--ensemble: no configuration has records of several seeds with their scores; run more "
            "with bench run --seeds 0 1 2 3 4"
        )
    return pd.concat([frame, found], ignore_index=True)


def grids(request: Request, frame: pd.DataFrame | None) -> list[Grid]:
    """The blocks of a table. Raises BenchError for records that cannot make it."""
    from benchmark.tables.build import build
    from benchmark.tables.live import SUMMARY, per_category, summary

    layout = request.layout
    if layout is not None:
        return [build(layout, frame, request.view, request.common)]
    assert frame is not None
    if request.name == "per-category":
        return per_category(frame, request.metric or ("image_auroc",), request.common)
    return summary(frame, request.metric or SUMMARY, request.common)


def make(request: Request, form: str = "markdown") -> str:
    """A table as text."""
    from benchmark.tables.render import render

    if request.name == "bibliography":
        return (resources.files("benchmark.published") / "papers.bib").read_text("utf-8").rstrip()
    if request.own:
        from benchmark.tables.own import own_table

        return render([own_table(Path(request.name), request.results)], form)
    return render(grids(request, records(request)), form)
