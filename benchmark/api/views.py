"""Showing what was run: tables, comparisons, pictures, the report, scores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark import places
from benchmark.errors import RecordWarning, SettingsError, StoreError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.tables.check import Findings

Form = Literal["markdown", "latex", "csv", "html"]
Folder = str | PathLike[str]
"""A folder of records, or the :class:`Results` of a run, which stand for theirs."""
KINDS = ("gallery", "histograms", "curves", "cost", "defects", "hard", "ranks", "stress")
"""Kinds of pictures."""


def table(
    name: str = "summary",
    *,
    form: Form = "markdown",
    results: Folder | Iterable[Folder] = places.RESULTS,
    **options: Any,
) -> str:
    """Make a table as text.

    Args:
        name: ``summary``, ``per-category``, a paper's table (``spade-3``), or a YAML file.
        form: how it is written.
        results: folders of records, or exported files.
        options: the other fields of :class:`benchmark.tables.request.Request`: metric, dataset,
            protocol, methods, view, common, ensemble.

    Raises:
        BenchError: an unknown name, or records that cannot make this table.
    """
    from benchmark.tables.request import make, requested

    return make(requested(name, folders(results), options), form)


def check_table(
    name: str = "summary",
    saved: str | Path | None = None,
    *,
    results: Folder | Iterable[Folder] = places.RESULTS,
    data_root: str | Path | None = None,
    plugin: Iterable[str | Path] = (),
    **options: Any,
) -> Findings:
    """Hold a table against the score files.

    Args:
        name, results, options: as in :func:`table`.
        saved: a file with a table printed earlier, in any of the formats; None for the one that
            would be printed now.
        data_root, plugin: where the masks of pixel metrics are.

    Raises:
        BenchError: the table cannot be made at all, or the file cannot be read.
    """
    from benchmark.records.stored import Datasets
    from benchmark.tables.check import check
    from benchmark.tables.request import requested

    request = requested(name, folders(results), options)
    return check(request, Path(saved) if saved else None, Datasets(data_root, plugin))


def compare(
    a: str | None = None,
    b: str | None = None,
    *,
    published: bool = False,
    metric: str = "image_auroc",
    common: bool = False,
    results: Folder | Iterable[Folder] = places.RESULTS,
    dataset: str | None = None,
    protocol: str | None = None,
    data_root: str | Path | None = None,
    plugin: Iterable[str | Path] = (),
    form: Form = "markdown",
) -> str:
    """Compare two runs category by category, or all records with the published numbers.

    Args:
        a, b: a method, a readable name, or a folder of records each.
        published: compare with the papers instead; without ``a`` and ``b``.
        metric: of two runs; see ``bench list metrics``.
        common: with ``published``, average over the categories that both sides have.
        results, dataset, protocol: which records a name is looked for in.
        data_root, plugin: where the masks are, for bootstrap intervals of pixel metrics.
        form: how the table is written.

    Raises:
        BenchError: nothing of that name, or two runs that cannot be compared.

    Warns:
        RecordWarning: a record was made from other images or masks than there are now.
    """
    from benchmark.records.exchange import is_results
    from benchmark.records.stored import Datasets
    from benchmark.tables.compare import side, two_runs, with_published
    from benchmark.tables.render import render

    if published == (a is not None) or (a is None) != (b is None):
        raise SettingsError("name two runs, as in: bench compare spade padim; or use --published")
    if a is None or b is None:
        return render([with_published(_records(results, dataset, protocol), common)], form)
    named = not all(map(is_results, (a, b)))  # folders need no other records
    frame = _records(results, dataset, protocol) if named else None
    datasets = Datasets(data_root, plugin)
    grid = two_runs(side(frame, a), side(frame, b), metric, datasets)
    _warn(datasets.refused)
    return render([grid], form)


def report(
    out: str | Path | None = None,
    *,
    results: Folder | Iterable[Folder] = places.RESULTS,
    dataset: str | None = None,
    protocol: str | None = None,
    methods: Sequence[str] | None = None,
    pictures: bool = True,
    data_root: str | Path | None = None,
    plugin: Iterable[str | Path] = (),
) -> Path:
    """Write all results into one HTML file; returns it.

    Args:
        out: the file; None is ``report.html`` in the first results folder.
        results, dataset, protocol, methods: which records.
        pictures: whether images are shown.
        data_root, plugin: where the data sets are.

    Raises:
        StoreError: no finished record, or the file cannot be written.

    Warns:
        RecordWarning: a record was made from other images or masks than there are now.
    """
    from benchmark.records.exchange import beside
    from benchmark.records.stored import Datasets
    from benchmark.reports.page import page

    datasets = Datasets(data_root, plugin) if pictures else None
    text = page(_records(results, dataset, protocol, methods), datasets)
    file = places.expanded(out) if out else beside(folders(results)[0]) / "report.html"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise StoreError(f"{file}: the report cannot be written ({error.strerror})") from error
    _warn(f"no pictures with images: {text}" for text in (datasets.refused if datasets else ()))
    return file


def plot(
    what: str,
    *,
    results: Folder | Iterable[Folder] = places.RESULTS,
    dataset: str | None = None,
    protocol: str | None = None,
    methods: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    metric: str = "image_auroc",
    count: int = 5,
    out: str | Path | None = None,
    form: Literal["png", "pdf", "svg"] = "png",
    data_root: str | Path | None = None,
    plugin: Iterable[str | Path] = (),
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Draw pictures of results; returns the files written.

    Args:
        what: ``gallery`` (worst misses and false alarms first), ``histograms`` of scores,
            ``curves``, ``cost`` against quality, ``defects`` (recall by type of defect), ``hard``
            (images that all methods miss, or only one finds), ``ranks`` over categories, or ``stress`` (quality against shots, contamination, corruptions).
        results, dataset, protocol, methods, categories: which records.
        metric: for ``cost``, ``ranks`` and ``stress``.
        count: for ``gallery``: images of each kind.
        out: the folder; None is ``pictures`` in the first results folder.
        form: of the files.
        data_root, plugin: where the data sets are.
        say: told of what is left out, and why.

    Raises:
        BenchError: no such kind or metric, or no finished record.

    Warns:
        RecordWarning: a record was made from other images or masks than there are now.
    """
    from benchmark.metrics.names import METRICS
    from benchmark.records.exchange import beside
    from benchmark.records.stored import Datasets

    if what not in KINDS:
        raise SettingsError(unknown("kind of picture", what, KINDS))
    if metric not in METRICS:
        raise SettingsError(unknown("metric", metric, METRICS))
    if count < 1:
        raise SettingsError(f"--count {count}: at least one image is needed")
    frame = _records(results, dataset, protocol, methods, categories)
    folder = places.expanded(out) if out else beside(folders(results)[0]) / "pictures"
    datasets = Datasets(data_root, plugin)
    from benchmark.plots.bars import cost, defects
    from benchmark.plots.curves import curves
    from benchmark.plots.gallery import gallery
    from benchmark.plots.hard import hard
    from benchmark.plots.histograms import histograms
    from benchmark.plots.ranks import ranks
    from benchmark.plots.stress import stress

    if what == "gallery":
        written = gallery(frame, folder, datasets, count=count, form=form, say=say)
    elif what == "histograms":
        written = histograms(frame, folder, form=form, say=say)
    elif what == "curves":
        written = curves(frame, folder, datasets, form=form, say=say)
    elif what == "hard":
        written = hard(frame, folder, datasets, form=form, say=say)
    elif what == "defects":
        written = defects(frame, folder, form=form, say=say)
    else:
        draw = {"cost": cost, "ranks": ranks, "stress": stress}[what]
        written = draw(frame, folder, metric=metric, form=form, say=say)
    if datasets.refused:
        count = len(datasets.refused)
        _warn([f"{count} records were made from other images or masks than there are now"])
    return written


def scores(
    results: Folder | Iterable[Folder] = places.RESULTS,
    *,
    dataset: str | None = None,
    protocol: str | None = None,
    methods: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    threshold: str | None = None,
) -> pd.DataFrame:
    """Read the score of every test image, and what was decided.

    Args:
        results, dataset, protocol, methods, categories, seeds: which records.
        threshold: the rule that sets the threshold (``quantile:F``, ``max``, ``mean+Nsd``); None
            takes the record's.

    Returns:
        Columns ``dataset``, ``protocol``, ``method``, ``category``, ``seed``, ``id``, ``label`` (0
        good, 1 defective, missing where nobody knows), ``defect``, ``score``, ``threshold`` (set on
        held-out normal images; missing where none were held out), ``decision`` (1: defective) and
        ``aupimo`` (of that image alone; missing where it is undefined).

    Raises:
        StoreError: no finished record, or its score file cannot be read.
        SettingsError: no such rule.
    """
    import pandas as pd

    from benchmark.metrics import normal_threshold
    from benchmark.records.stored import Stored

    head = ["dataset", "protocol", "method", "category", "seed"]
    lines = []
    for _, row in _records(results, dataset, protocol, methods, categories, seeds).iterrows():
        record = Stored(row)
        found = record.scores
        limit = normal_threshold(found.held_out, threshold) if threshold else record.threshold
        aupimo = record.record.get("metrics", {}).get("aupimo_of_images", {})
        labels = [int(label) for label in found.labels]
        images: list[tuple[Any, ...]] = [
            *zip(found.ids, labels, found.defects, found.scores, strict=True)
        ]
        for name, score in zip(found.unlabelled_ids, found.unlabelled, strict=True):
            images.append((name, None, "unknown", score))
        for name, label, defect, score in images:
            decision = None if limit is None else int(score > limit)
            image = [name, label, defect, float(score), limit, decision, aupimo.get(name)]
            lines.append([*row[head], *image])
    columns = [*head, "id", "label", "defect", "score", "threshold", "decision", "aupimo"]
    frame = pd.DataFrame(lines, columns=columns)
    kinds = {"label": "Int64", "threshold": "float64", "decision": "Int64", "aupimo": "float64"}
    return frame.astype(kinds)


def _records(
    results: Folder | Iterable[Folder],
    dataset: str | None = None,
    protocol: str | None = None,
    methods: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> pd.DataFrame:
    from benchmark.records.frame import load_results
    from benchmark.records.select import choose

    return choose(
        load_results(folders(results)),
        dataset=dataset,
        protocol=protocol,
        methods=methods,
        categories=categories,
        seeds=seeds,
    )


def folders(results: Folder | Iterable[Folder]) -> list[Path]:
    """Make a list of one folder of records or several."""
    if isinstance(results, str | PathLike):
        return [places.expanded(results)]
    return [places.expanded(folder) for folder in results]


def _warn(texts: Iterable[str]) -> None:
    for text in texts:
        warnings.warn(text, RecordWarning, stacklevel=3)
