"""What the report shows, put into its page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from benchmark.errors import BenchError
from benchmark.metrics.names import METRICS, SHOWN
from benchmark.records.select import blocks
from benchmark.records.stored import Datasets
from benchmark.reports.leaderboard import COSTS, Block, anchor, block
from benchmark.reports.runs import runs
from benchmark.tables import TABLES
from benchmark.tables.build import build
from benchmark.tables.layout import Layout
from benchmark.tables.live import RANDOM
from benchmark.tables.render import LATEX, web

if TYPE_CHECKING:
    import pandas as pd


LICENCES = ("NOTICE", "LICENSE", "LICENSE-d3", "LICENSE-zrender")
"""Of the charts and of what is built into them: whoever passes the page on passes them on."""


@dataclass(frozen=True)
class PaperTable:
    """A paper's table with our numbers, as HTML."""

    anchor: str
    title: str
    html: str


def page(frame: pd.DataFrame, datasets: Datasets | None) -> str:
    """Write the whole report.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`.
        datasets: where the data sets are; None leaves the pictures out.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    def file(name: str) -> Markup:
        folder = resources.files("benchmark.reports")
        return Markup(folder.joinpath(name).read_text(encoding="utf-8"))

    missing: list[str] = []
    made = [(not any(part["stress"]), block(title, part)) for title, part in blocks(frame)]
    made.sort(key=lambda pair: (pair[0], *_told(pair[1])), reverse=True)
    shown = [one for _, one in made]  # what a reader sees first tells the most
    labels = {line.run: line.label for b in shown for line in b.board}
    kinds = []
    if datasets:
        from benchmark.reports.pictures import pictures

        kinds = pictures(frame, datasets)
    metrics = [m for m in METRICS if any(m in b.metrics for b in shown)]
    described = runs(frame, labels, curves=datasets is not None)
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(file("page.html"))
    return template.render(
        blocks=shown,
        metrics=metrics,
        usual=[m for m in metrics if m in SHOWN],
        descriptions={name: metric.text for name, metric in METRICS.items()},
        cost_heads=[text for _, text, _, _ in COSTS],
        tables=_paper_tables(frame, missing),
        kinds=kinds,
        pictured=datasets is not None,
        runs=described,
        data={
            "blocks": [b.data for b in shown],
            "better": {m: METRICS[m].better for m in metrics},
            "curves": {r.anchor: r.curves for r in described if r.curves},
            "tex": LATEX,
        },
        random=RANDOM if frame["random_weights"].any() else "",
        missing=list(dict.fromkeys(missing)),
        records=len(frame),
        style=file("page.css"),
        scripts=[file(name) for name in ("tables.js", "charts.js", "page.js")],
        charts=file("echarts/echarts.common.min.js"),
        licences=[file(f"echarts/{name}") for name in LICENCES],
    )


def _told(shown: Block) -> tuple[int, int]:
    """Count the ranked methods of a block, and its cells."""
    ranked = sum(not math.isnan(line.rank.value) for line in shown.board)
    return ranked, len(shown.board) * len(shown.categories)


def _paper_tables(frame: pd.DataFrame, missing: list[str]) -> Sequence[PaperTable]:
    """Make those of the papers' tables for which there is a record."""
    from markupsafe import Markup

    made = []
    for layout in TABLES.values():
        if not isinstance(layout, Layout):
            continue
        wanted = {e.reference.method for e in layout.methods if e.reference}
        sources = {slot.dataset for slot in layout.slots}
        if not (wanted & set(frame["method"]) and sources & set(frame["source"])):
            continue
        try:
            grid = build(layout, frame, "both")
        except BenchError as error:
            missing.append(str(error))
            continue
        made.append(PaperTable(anchor("table", grid.title), grid.title, Markup(web(grid))))
    return made
