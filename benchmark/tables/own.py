"""``bench table FILE.yaml``: a table of your own, published columns next to runs.

.. code-block:: yaml

    title: Localisation on two categories
    metrics: [pixel_auroc, pro]     # several are printed a/b
    categories: [bottle, screw]     # the rows; default: all categories of the runs
    average: true
    percent: true                   # default; false prints fractions
    decimals: 1
    dataset: mvtec
    protocol: paper                 # of the runs; needed where there are records of several
    columns:
      - {table: rd4ad-2, method: PaDiM, cite: defard2021padim}
      - {source: anomalib README, method: padim, setting: ResNet-18, name: anomalib}
      - {run: PaDiM (resnet18), name: ours, results: results/runs}

A column of a paper's table names the method as printed there; a ``run`` is a method's name or a
readable name. Every column says whether its numbers are the paper's own, copied, third party or run
here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from benchmark.errors import SettingsError, unknown
from benchmark.metrics.names import METRICS
from benchmark.records.names import Labels, short_names
from benchmark.records.select import few_images, rankable
from benchmark.settings import coerce_yaml
from benchmark.tables import TABLES, published
from benchmark.tables.grid import Grid, Part, Row, Text, words
from benchmark.tables.layout import Layout
from benchmark.tables.live import RANDOM, Value, over_seeds, seeds_text, winners
from benchmark.texts import read_yaml

if TYPE_CHECKING:
    import pandas as pd

ORIGINS = {"own": "own number", "copied": "copied", "third_party": "third party"}


@dataclass(frozen=True)
class Description:
    """The contents of the YAML file, checked."""

    columns: tuple[dict[str, Any], ...]
    metrics: tuple[str, ...]
    title: str = "Comparison"
    categories: tuple[str, ...] = ()
    names: dict[str, Any] = field(default_factory=dict)
    average: bool = True
    percent: bool = True
    decimals: int = 1
    dataset: str = "mvtec"
    protocol: str | None = None


@dataclass(frozen=True)
class Column:
    """One column, resolved.

    Attributes:
        head, origin, cite: what stands above it.
        numbers: (category, metric) -> published number; empty for a run.
        rows: its records; None for a published column.
        notes: footnotes.
        named: whether the file gives it a name.
    """

    head: str
    origin: str
    cite: str
    numbers: Mapping[tuple[str, str], published.Number]
    rows: pd.DataFrame | None
    notes: tuple[str, ...]
    named: bool = True


def read(file: Path) -> Description:
    """Read and check a description. Raises SettingsError, saying what is allowed."""
    values, written = read_yaml(file)
    if not isinstance(values, dict) or not {"columns", "metrics"} <= values.keys():
        raise SettingsError(
            f"{file}: needs at least columns: and metrics: (see docs/adding-a-table.md)"
        )
    hints = get_type_hints(Description)
    known = [f.name for f in fields(Description)]
    for name, value in values.items():
        if name not in known:
            raise SettingsError(f"{file}: {unknown('entry', str(name), known)}")
        if name not in ("columns", "names"):
            values[name] = coerce_yaml(value, written[name], hints[name], f"{file}: {name}")
    if isinstance(values.get("names"), dict):
        values["names"] = written["names"]
    for metric in values["metrics"]:
        if metric not in METRICS:
            raise SettingsError(f"{file}: {unknown('metric', metric, METRICS)}")
    columns = values["columns"]
    if not isinstance(columns, list) or not all(isinstance(c, dict) for c in columns):
        raise SettingsError(f"{file}: columns is a list of mappings, such as - {{run: spade}}")
    return Description(**{**values, "columns": tuple(columns), "metrics": tuple(values["metrics"])})


def own_table(
    file: Path,
    results: Sequence[str | Path],
    again: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
) -> Grid:
    """Make the table that a YAML file describes.

    Args:
        file: see the top of this module.
        results: folders of records for runs that name none.
        again: replaces the numbers of the records that were chosen.
    """
    wanted = read(file)
    import pandas as pd

    columns = [_column(wanted, given, results) for given in wanted.columns]
    if again:
        columns = [c if c.rows is None else replace(c, rows=again(c.rows)) for c in columns]
    runs = [c for c in columns if c.rows is not None]
    categories = _shown(wanted, columns)
    body = [_line(wanted, columns, (c,), str(wanted.names.get(c, c))) for c in categories]
    if wanted.average and len(categories) > 1:
        line = _line(wanted, columns, categories, f"Average over {len(categories)}")
        body.append(Row(line.texts, "average"))
    unnamed = [c.rows for c in runs if not c.named and c.rows is not None]
    labels = short_names(pd.concat(unnamed)) if unnamed else Labels({})
    heads = [c.head if c.named else labels.of[c.head] for c in columns]
    head = [
        [words(""), *(words(column.origin) for column in columns)],
        [
            words("Category"),
            *(
                Text((Part(head),), c.notes, cite=c.cite, full=c.head)
                for head, c in zip(heads, columns, strict=True)
            ),
        ],
    ]
    notes = [f"{'/'.join(wanted.metrics)}{' in percent' if wanted.percent else ''}."]
    if runs:
        found = {h: c.rows for h, c in zip(heads, columns, strict=True) if c.rows is not None}
        notes.append(f"Run here: {seeds_text(found)}")
        notes += few_images(pd.concat(found.values()))
    if len(_blocks(runs)) > 1:
        notes.append("Runs differ in protocol or measured pixels and are not ranked.")
    return Grid(wanted.title, head, body, notes, above=labels.shared, legend=labels.sentences())


def _shown(wanted: Description, columns: Sequence[Column]) -> tuple[str, ...]:
    """Choose the categories that are rows: those asked for, else those of the runs, else the
    printed."""
    found = [c for run in columns if run.rows is not None for c in run.rows["category"]]
    printed = [c for column in columns for c, _ in column.numbers if not c.startswith("mean")]
    return wanted.categories or tuple(dict.fromkeys(found)) or tuple(dict.fromkeys(printed))


def _column(
    wanted: Description,
    given: Mapping[str, Any],
    results: Sequence[str | Path],
) -> Column:
    allowed = {
        "run": {"run", "name", "results", "cite"},
        "table": {"table", "method", "setting", "name", "cite"},
        "source": {"source", "method", "setting", "name", "cite"},
    }
    kinds = [kind for kind in allowed if kind in given]
    if len(kinds) != 1:
        raise SettingsError(f"column {dict(given)}: needs exactly one of run, table and source")
    for name in given:
        if name not in allowed[kinds[0]]:
            raise SettingsError(
                f"column {dict(given)}: {unknown('entry', name, allowed[kinds[0]])}"
            )
    cite = str(given.get("cite", ""))
    if kinds[0] == "run":
        return _run(wanted, given, results, cite)
    numbers = _numbers(wanted, given, kinds[0])
    first = next(iter(numbers.values()))
    place = f"{first.paper} {first.table}".strip()
    variants = {n.metric_variant for n in numbers.values()} - set(wanted.metrics)
    notes = [f"what is computed is not known: {place}"] if "unknown" in variants else []
    head = str(given.get("name", first.method))
    origin = f"{ORIGINS[first.origin]}, {place}"
    return Column(head, origin, cite, numbers, None, tuple(notes))


def _numbers(
    wanted: Description, given: Mapping[str, Any], kind: str
) -> dict[tuple[str, str], published.Number]:
    """Collect the published numbers of a column whose metric is really the one asked for."""
    rows: Sequence[published.Number]
    if kind == "table":
        layout = TABLES.get(given["table"])
        if not isinstance(layout, Layout):
            names = [k for k, t in TABLES.items() if isinstance(t, Layout)]
            raise SettingsError(unknown("table", str(given["table"]), names))
        rows = [n for n in published.load() if (n.paper, n.table) == (layout.paper, layout.table)]
    else:
        rows = [n for n in published.load("third_party.csv") if given["source"] in n.paper]
    where = str(given[kind])
    if not rows:
        sources = {n.paper for n in published.load("third_party.csv")}
        raise SettingsError(unknown("source", where, sources))
    for name in ("method", "setting"):
        have = {getattr(n, name) for n in rows}
        value = given.get(name)
        if value is None and len(have) == 1:
            continue
        if value not in have:
            raise SettingsError(f"{where}: {unknown(name, str(value), have)}")
        rows = [n for n in rows if getattr(n, name) == value]
    rows = [n for n in rows if n.dataset == wanted.dataset]
    found = {
        (n.category, m): n
        for n in rows
        for m in wanted.metrics
        if m == n.metric_variant or (n.metric_variant == "unknown" and m == n.metric)
    }
    if not found:
        have = {n.metric_variant for n in rows}
        raise SettingsError(
            f"{where}, {given.get('method')}: has none of {', '.join(wanted.metrics)} on "
            f"{wanted.dataset}; it has {', '.join(sorted(have)) or 'nothing'}"
        )
    return found


def _run(
    wanted: Description,
    given: Mapping[str, Any],
    results: Sequence[str | Path],
    cite: str,
) -> Column:
    from benchmark.records.frame import load_results
    from benchmark.records.select import choose

    folders = given.get("results", results)
    rows = choose(
        load_results(folders),
        dataset=wanted.dataset,
        protocol=wanted.protocol,
        methods=[str(given["run"])],
    )
    if len(rows[["protocol", "config"]].drop_duplicates()) > 1:
        have = rows[["name", "protocol"]].drop_duplicates().itertuples(index=False)
        lines = "\n  ".join(f"run: {n}  (protocol: {p})" for n, p in have)
        raise SettingsError(f"column run: {given['run']} could be several:\n  {lines}")
    row = rows.iloc[0]
    notes = (RANDOM,) if row["random_weights"] else ()
    head = str(given.get("name", row["name"]))
    return Column(
        head, f"run here, {row['protocol']}", cite, {}, rows, notes, named="name" in given
    )


def _blocks(runs: Sequence[Column]) -> set[tuple[str, str]]:
    frames = [c.rows for c in runs if c.rows is not None]
    return {(r["protocol"], r["window"]) for f in frames for _, r in f.iterrows()}


def _line(wanted: Description, columns: Sequence[Column], over: Sequence[str], label: str) -> Row:
    """Fill one row. Only runs of a single block compete for the best: published numbers have
    protocols of their own."""
    values = [[_value(wanted, c, m, over) for m in wanted.metrics] for c in columns]
    runs = [c.rows is not None for c in columns]
    ranked = len(_blocks(columns)) == 1
    ranked = ranked and all(c.rows is None or rankable(c.rows, over) for c in columns)
    nothing = Value(math.nan)
    best = [
        winners(
            [v if run else nothing for v, run in zip(column, runs, strict=True)],
            metric,
            wanted.decimals,
        )
        for metric, column in zip(wanted.metrics, zip(*values, strict=True), strict=True)
    ]
    texts = [
        Text(
            tuple(Part(v.text(wanted.decimals), ranked and best[j][i]) for j, v in enumerate(mine))
        )
        for i, mine in enumerate(values)
    ]
    return Row((words(label), *texts))


def _value(wanted: Description, column: Column, metric: str, over: Sequence[str]) -> Value:
    factor = 100.0 if wanted.percent else 1.0
    if column.rows is not None:
        value = over_seeds(column.rows, metric, over)
        spread = None if value.spread is None else value.spread * factor
        return Value(value.mean * factor, spread)
    numbers = [column.numbers.get((c, metric)) for c in over]
    known = [n.fraction for n in numbers if n is not None]
    if not known or len(known) < len(numbers):
        return Value(math.nan)
    return Value(sum(known) / len(known) * factor)
