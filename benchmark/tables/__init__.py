"""Tables of results: live ones of whatever was run, and the papers' own.

``TABLES`` lists them by name. Layouts are data; everything that needs pandas loads when a table is
made.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from benchmark.tables.dsr import DSR_3
from benchmark.tables.igd import IGD_1, IGD_2, IGD_3, IGD_4, IGD_5
from benchmark.tables.layout import Layout, Live
from benchmark.tables.rd4ad import RD4AD_2, RD4AD_3
from benchmark.tables.spade import SPADE_3, SPADE_4

_ALL: tuple[Layout | Live, ...] = (
    Live("per-category", "categories × methods for one metric, mean ± std over seeds"),
    Live("summary", "methods × metrics, averaged over categories, mean ± std over seeds"),
    IGD_1,
    IGD_2,
    IGD_3,
    IGD_4,
    IGD_5,
    SPADE_3,
    SPADE_4,
    DSR_3,
    RD4AD_2,
    RD4AD_3,
)
TABLES: dict[str, Layout | Live] = {table.name: table for table in _ALL}


def make(
    name: str,
    *,
    form: str = "markdown",
    results: Sequence[str | Path] = ("results/runs",),
    metrics: Sequence[str] | None = None,
    dataset: str | None = None,
    protocol: str | None = None,
    methods: Sequence[str] | None = None,
    view: str = "both",
    common: bool = False,
    plugins: Sequence[str | Path] = (),
) -> str:
    """A table as text.

    Args:
        name: a key of :data:`TABLES`.
        form: ``markdown``, ``latex``, ``csv`` or ``html``.
        results: folders of records.
        metrics: for the live tables.
        dataset, protocol, methods: which records; None for all.
        view: of a paper's table: ``published``, ``run`` or ``both``.
        common: average over the categories that all have, instead of a dash.
        plugins: files that define methods, for their readable names.

    Raises:
        BenchError: an unknown name, or records that cannot make this table.
    """
    from benchmark.errors import SettingsError, unknown
    from benchmark.frame import load_results
    from benchmark.tables.build import build
    from benchmark.tables.live import SUMMARY, per_category, summary
    from benchmark.tables.names import known_methods
    from benchmark.tables.render import render
    from benchmark.tables.select import choose

    if name not in TABLES:
        raise SettingsError(unknown("table", name, TABLES))
    table = TABLES[name]
    if isinstance(table, Layout) and metrics:
        raise SettingsError(
            f"table {name} has its own metrics; --metric is for per-category, summary"
        )
    frame = None
    if not (isinstance(table, Layout) and view == "published"):
        frame = choose(
            load_results(results, plugins), dataset=dataset, protocol=protocol, methods=methods
        )
    if isinstance(table, Layout):
        grids = [build(table, frame, known_methods(plugins), view, common)]  # type: ignore[arg-type]
    elif name == "per-category":
        assert frame is not None
        grids = per_category(frame, metrics or ("image_auroc",), common)
    else:
        assert frame is not None
        grids = summary(frame, metrics or SUMMARY, common)
    return render(grids, form)


def table(given: Namespace) -> int:
    """``bench table``."""
    print(
        make(
            given.name,
            form=given.format,
            results=given.results,
            metrics=given.metric,
            dataset=given.dataset,
            protocol=given.protocol,
            methods=given.methods,
            view=given.view,
            common=given.common,
            plugins=given.plugin,
        )
    )
    return 0
