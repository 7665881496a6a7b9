"""The commands that show what was run: table, compare, plot, report, scores."""

from __future__ import annotations

import csv
import sys
from argparse import Namespace
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import SettingsError, StoreError, unknown

if TYPE_CHECKING:
    import pandas as pd


def table(given: Namespace) -> int:
    """Print a table; with ``--check`` hold it against the score files instead."""
    from benchmark.tables.request import Request, make

    wanted = {f.name for f in fields(Request)}
    request = Request(**{k: v for k, v in vars(given).items() if k in wanted})
    if given.check is None:
        print(make(request, given.format))
        return 0
    from benchmark.records.stored import Datasets
    from benchmark.tables.check import check

    saved = Path(given.check) if given.check else None
    found = check(request, saved, Datasets(given.data_root, given.plugin))
    print(found.text())
    return 0 if found.ok else 1


def compare(given: Namespace) -> int:
    """Two runs against each other, or runs against published numbers."""
    from benchmark.records.stored import Datasets
    from benchmark.tables.compare import side, two_runs, with_published
    from benchmark.tables.render import render

    if given.published and given.runs:
        raise SettingsError("compare either two runs (A B) or --published, not both")
    if not given.published and len(given.runs) != 2:
        raise SettingsError("name two runs, as in: bench compare spade padim; or use --published")
    datasets = Datasets(given.data_root, given.plugin)
    if given.published:
        grid = with_published(_chosen(given), given.common)
    else:
        # two folders need no other records
        frame = None if all(Path(name).is_dir() for name in given.runs) else _chosen(given)
        a, b = (side(frame, name) for name in given.runs)
        grid = two_runs(a, b, given.metric, datasets)
    print(render([grid], given.format))
    return 1 if datasets.refused else 0


def plot(given: Namespace) -> int:
    """Draw pictures of results; prints the files written."""
    from benchmark.metrics.names import METRICS
    from benchmark.plots.bars import cost, defects
    from benchmark.plots.curves import curves
    from benchmark.plots.gallery import gallery
    from benchmark.plots.histograms import histograms
    from benchmark.records.stored import Datasets

    if given.metric not in METRICS:
        raise SettingsError(unknown("metric", given.metric, METRICS))
    if given.count < 1:
        raise SettingsError(f"--count {given.count}: at least one image is needed")
    frame = _chosen(given)
    out = Path(given.out) if given.out else Path(given.results[0]) / "pictures"
    datasets = Datasets(given.data_root, given.plugin)
    options: dict[str, Any] = {
        "form": given.format,
        "say": lambda text: print(f"bench: {text}", file=sys.stderr),
    }
    if given.what == "gallery":
        written = gallery(frame, out, datasets, count=given.count, **options)
    elif given.what == "histograms":
        written = histograms(frame, out, **options)
    elif given.what == "curves":
        written = curves(frame, out, datasets, **options)
    elif given.what == "defects":
        written = defects(frame, out, **options)
    else:
        written = cost(frame, out, metric=given.metric, **options)
    for path in written:
        print(path)
    return 0 if written and not datasets.refused else 1


def report(given: Namespace) -> int:
    """All results as one HTML file."""
    from benchmark.records.stored import Datasets
    from benchmark.reports.page import page

    datasets = None if given.no_pictures else Datasets(given.data_root, given.plugin)
    text = page(_chosen(given), datasets)
    out = Path(given.out) if given.out else Path(given.results[0]) / "report.html"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise StoreError(f"{out}: the report cannot be written ({error.strerror})") from error
    print(out)
    refused = datasets.refused if datasets else []
    for text in refused:
        print(f"bench: no pictures with images: {text}", file=sys.stderr)
    return 1 if refused else 0


def scores(given: Namespace) -> int:
    """Per-image scores and decisions as CSV on standard output, once all could be read."""
    from benchmark.records.stored import Stored

    head = ["dataset", "protocol", "method", "category", "seed"]
    lines = [[*head, "id", "label", "defect", "score", "threshold", "decision"]]
    for _, row in _chosen(given).iterrows():
        record = Stored(row)
        found, threshold = record.scores, record.threshold
        value = "" if threshold is None else repr(threshold)
        labels = [str(int(label)) for label in found.labels]
        images = [*zip(found.ids, labels, found.defects, found.scores, strict=True)]
        for name, score in zip(found.unlabelled_ids, found.unlabelled, strict=True):
            images.append((name, "", "unknown", score))
        for name, label, defect, score in images:
            decision = "" if threshold is None else str(int(score > threshold))
            image = [name, label, defect, repr(float(score)), value, decision]
            lines.append([*map(str, row[head]), *image])
    csv.writer(sys.stdout, lineterminator="\n").writerows(lines)
    return 0


def _chosen(given: Namespace) -> pd.DataFrame:
    """The finished records that the command's options name."""
    from benchmark.records.frame import load_results
    from benchmark.records.select import choose

    names = ("dataset", "protocol", "methods", "categories", "seeds")
    wanted = {name: getattr(given, name, None) for name in names}
    return choose(load_results(given.results), **wanted)
