"""The commands that show what was run: table, compare, plot, report, scores."""

from __future__ import annotations

import csv
import sys
from argparse import Namespace
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import SettingsError, unknown

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
    """Compare two runs with each other, or runs with published numbers."""
    from benchmark import api

    if given.published and given.runs:
        raise SettingsError("compare either two runs (A B) or --published, not both")
    if not given.published and len(given.runs) != 2:
        raise SettingsError("name two runs, as in: bench compare spade padim; or use --published")
    text = api.compare(
        *given.runs,
        published=given.published,
        metric=given.metric,
        common=given.common,
        results=given.results,
        dataset=given.dataset,
        protocol=given.protocol,
        data_root=given.data_root,
        plugin=given.plugin,
        form=given.format,
    )
    print(text)
    return 0


def plot(given: Namespace) -> int:
    """Draw pictures of results; prints the files written."""
    from benchmark.metrics.names import METRICS
    from benchmark.plots.bars import cost, defects
    from benchmark.plots.curves import curves
    from benchmark.plots.gallery import gallery
    from benchmark.plots.histograms import histograms
    from benchmark.records.exchange import beside
    from benchmark.records.stored import Datasets

    if given.metric not in METRICS:
        raise SettingsError(unknown("metric", given.metric, METRICS))
    if given.count < 1:
        raise SettingsError(f"--count {given.count}: at least one image is needed")
    frame = _chosen(given)
    out = Path(given.out) if given.out else beside(Path(given.results[0])) / "pictures"
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
    """Write all results as one HTML file."""
    from benchmark import api

    file = api.report(
        given.out,
        results=given.results,
        dataset=given.dataset,
        protocol=given.protocol,
        methods=given.methods,
        pictures=not given.no_pictures,
        data_root=given.data_root,
        plugin=given.plugin,
    )
    print(file)
    return 0


def scores(given: Namespace) -> int:
    """Print scores and decisions per image as CSV, once all of them could be read."""
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
    """Load the finished records that the command's options name."""
    from benchmark.records.frame import load_results
    from benchmark.records.select import choose

    names = ("dataset", "protocol", "methods", "categories", "seeds")
    wanted = {name: getattr(given, name, None) for name in names}
    return choose(load_results(given.results), **wanted)
