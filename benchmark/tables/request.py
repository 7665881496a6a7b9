"""Requests for tables, from the choice of table and records to the finished text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import SettingsError, StoreError, unknown
from benchmark.tables import TABLES
from benchmark.tables.grid import Grid
from benchmark.tables.layout import Layout

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.tables.build import View

    Again = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Request:
    """A request for a table: which one, and of which records.

    Attributes:
        name: a key of :data:`benchmark.tables.TABLES`, or a YAML file.
        results: folders of records, or exported files.
        metric: names, for the live tables.
        dataset, protocol, methods: which records; None for all.
        view: of a paper's table: ``published``, ``run`` or ``both``.
        common: average over the categories that all have, instead of a dash.
        threshold: the rule that sets the thresholds of image metrics; None takes the records'.
        intervals: of per-category and summary: intervals over the test images in every cell.
        data_root, plugin: where the masks are, for intervals of pixel metrics.
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
    threshold: str | None = None
    intervals: bool = False
    data_root: str | Path | None = None
    plugin: Sequence[str | Path] = ()

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
        if self.intervals and self.name not in ("per-category", "summary"):
            raise SettingsError(f"table {self.name}: --intervals is for per-category and summary")
        if not isinstance(table, Layout):
            return None
        if self.metric:
            raise SettingsError(
                f"table {self.name} has its own metrics; --metric is for the tables of your own runs"
            )
        return table

    @property
    def own(self) -> bool:
        """Whether the table is described in a file of the user's."""
        return self.name.endswith((".yaml", ".yml"))


def requested(name: str, results: Sequence[str | Path], options: Mapping[str, Any]) -> Request:
    """Make a request of options by name; one name stands for a list of one.

    Raises:
        SettingsError: an option that tables do not have.
    """
    known = [field.name for field in fields(Request) if field.name not in ("name", "results")]
    given: dict[str, Any] = {}
    for option, value in options.items():
        if option not in known:
            raise SettingsError(unknown("option of a table", option, known))
        several = option in ("metric", "methods", "plugin") and isinstance(value, str | Path)
        given[option] = [value] if several else value
    return Request(name, results, **given)


def records(request: Request, again: Again | None = None) -> pd.DataFrame | None:
    """Load the records that a table may be made from; None where it needs none, or nothing was
    run."""
    from benchmark.records.decide import at_threshold
    from benchmark.records.frame import load_results
    from benchmark.records.select import choose

    published = request.layout is not None
    if published and request.view == "published":
        return None
    if published and request.view == "both":
        folders = [folder for folder in request.results if Path(folder).exists()]
        if not (load_results(folders)["status"] == "ok").any():
            return None
    frame = choose(
        load_results(request.results),
        dataset=request.dataset,
        protocol=request.protocol,
        methods=request.methods,
    )
    frame = again(frame) if again else frame
    frame = at_threshold(frame, request.threshold) if request.threshold else frame
    return with_ensembles(frame) if request.ensemble and not published else frame


def with_ensembles(frame: pd.DataFrame) -> pd.DataFrame:
    """Join records and the ensembles over their seeds. Raises StoreError when there is none."""
    import pandas as pd

    from benchmark.records.ensemble import ensembles

    found = ensembles(frame)
    if found.empty:
        raise StoreError(
            "--ensemble: no configuration has records of several seeds with their scores; run more "
            "with bench run --seeds 0 1 2 3 4"
        )
    return pd.concat([frame, found], ignore_index=True)


def grids(request: Request, again: Again | None = None) -> list[Grid]:
    """Make the blocks of a table.

    Args:
        request: which table.
        again: replaces the numbers of the records that were chosen.

    Raises:
        BenchError: records that cannot make this table.
    """
    if request.own:
        from benchmark.tables.own import own_table

        return [own_table(Path(request.name), request.results, again)]
    from benchmark.metrics.names import SHOWN
    from benchmark.tables.build import build
    from benchmark.tables.live import per_category, summary

    layout = request.layout
    frame = records(request, again)
    if layout is not None:
        grid = build(layout, frame, request.view, request.common)
        if frame is None and request.view == "both":
            where = ", ".join(map(str, request.results))
            line = (
                f"Nothing has been run yet: {where} holds no finished record, so only published "
                f"numbers are shown; bench run --table {layout.name} makes ours."
            )
            grid = replace(grid, notes=(*grid.notes, line))
        return [grid]
    assert frame is not None
    if request.name == "stress":
        from benchmark.tables.stress import stress

        return stress(frame, request.metric or ("image_auroc",))
    if request.name in ("ranks", "sensitivity"):
        from benchmark.tables import ranking

        rank = ranking.ranks if request.name == "ranks" else ranking.sensitivity
        return rank(frame, request.metric or ("image_auroc",), request.common)
    live, metrics = (
        (per_category, request.metric or ("image_auroc",))
        if request.name == "per-category"
        else (summary, request.metric or SHOWN)
    )
    if not request.intervals:
        return live(frame, metrics, request.common)
    from benchmark.records.stored import Datasets
    from benchmark.tables.intervals import Intervals

    found = Intervals(Datasets(request.data_root, request.plugin))
    made = live(frame, metrics, request.common, found.value)
    return [found.noted(grid) for grid in made]


def make(request: Request, form: str = "markdown") -> str:
    """Make a table as text."""
    from benchmark.tables.render import render

    if request.name == "bibliography":
        return (resources.files("benchmark.published") / "papers.bib").read_text("utf-8").rstrip()
    return render(grids(request), form)
