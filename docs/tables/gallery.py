"""The papers' ten tables and docs/fidelity.md from our own records: python docs/tables/gallery.py
(or make tables).

Writes one Markdown file per table beside this one.
"""

from __future__ import annotations

from pathlib import Path

import benchmark
from benchmark.records.select import choose
from benchmark.tables import TABLES, make
from benchmark.tables.fidelity import fidelity
from benchmark.tables.layout import Layout
from benchmark.tables.render import render

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "results" / "reference"
AVOIDED = ("mobilenetv2_100",)
"""Where a method was run with several backbones, not these: the papers' are nearer to a ResNet."""

INTRODUCTION = """# How near our own runs come to the published numbers

Made by `make tables` from the records in [results/reference](../results/reference) and the numbers in
[results/published](../results/published), third parties' reimplementations among them. Every
published number that one of our configurations stands for has a line; a verdict is given where
nothing differs from what was published, and the footnote says why where none is."""


def shown() -> list[str]:
    """One configuration per method and data set: without the avoided backbones if there is another, then
    the one with most records, then the one trained longest. Scores play no part."""
    frame = benchmark.load_results(RESULTS)
    frame = frame[(frame["status"] == "ok") & (frame["protocol_name"] == "paper")]
    names: dict[str, None] = {}
    for _, rows in frame.groupby(["method", "dataset"], sort=True):
        others = rows[~rows["name"].str.contains("|".join(AVOIDED))]
        kept = (others if len(others) else rows).groupby("name")["fit_seconds"]
        order = kept.agg(["size", "mean"]).sort_values(["size", "mean"], ascending=False)
        names[str(order.index[0])] = None
    return list(names)


def near_and_far() -> str:
    """docs/fidelity.md."""
    return f"{INTRODUCTION}\n\n{render(fidelity(choose(benchmark.load_results(RESULTS))), 'markdown')}\n"


def main() -> None:
    (HERE.parent / "fidelity.md").write_text(near_and_far())
    methods = shown()
    for name, table in TABLES.items():
        if isinstance(table, Layout) and table.table:  # a paper's, not a third party's
            text = make(name, results=[RESULTS], methods=methods)
            (HERE / f"{name}.md").write_text(f"{text}\n")
            print(name)


if __name__ == "__main__":
    main()
