"""What the package does when it is used from Python; every command of ``bench`` is one such call.

>>> import benchmark as ib
>>> results = ib.run(methods=["padim"], dataset="mvtec", seeds=[0, 1])  # doctest: +SKIP
>>> results.frame[["category", "image_auroc", "pro"]]  # doctest: +SKIP
>>> print(ib.table("summary", results=results.folder))  # doctest: +SKIP
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark import places
from benchmark.console import open_console
from benchmark.data.dataset import Dataset
from benchmark.detector.base import Detector
from benchmark.errors import RecordWarning, SettingsError, StoreError
from benchmark.plugins.registry import Registry, name_of
from benchmark.runner.config import RunConfig
from benchmark.runner.plan import Asked, Plan, prepare
from benchmark.runner.run import Result, execute
from benchmark.runner.summary import summarise

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.deploy.export import Exported
    from benchmark.deploy.graph import OnnxDetector
    from benchmark.deploy.judge import Judge
    from benchmark.deploy.loaded import LoadedDetector
    from benchmark.deploy.predict import Outcome
    from benchmark.deploy.proof import Proof

Method = str | Detector | type[Detector]
Source = str | Dataset
Form = Literal["markdown", "latex", "csv", "html"]


@dataclass
class Results:
    """The cells of a run, as they ended.

    Attributes:
        folder: where records and scores are.
        cells: every cell with its outcome (``ok``, ``kept``, ``failed``, ``busy``) and its record.
        text: what the command line prints at the end of a run.
    """

    folder: Path
    cells: list[Result] = field(default_factory=list)
    text: str = ""

    @property
    def ok(self) -> bool:
        """Whether every cell has a finished record."""
        return all(cell.outcome in ("ok", "kept") for cell in self.cells)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per cell with a record, metrics and costs as columns."""
        from benchmark.records.frame import load_results

        frame = load_results(self.folder)
        mine = {str(result.cell.path.record) for result in self.cells}
        return frame[frame["path"].isin(mine)].reset_index(drop=True)

    def __str__(self) -> str:
        return self.text.strip()


def run(
    methods: Method | Sequence[Method] = (),
    dataset: Source | Sequence[Source] = (),
    *,
    config: str | Path | None = None,
    **options: Any,
) -> Results:
    """Run methods on data sets. Finished cells are kept, a failed one costs only itself.

    Args:
        methods: names (``bench list methods``), detector classes, or detectors whose settings
            count. A class is identified by its source text; one without source is run anew each time.
        dataset: names, or data sets that are open already; ``synthetic`` when nothing is said.
        config: a YAML file with the same options; what is given here counts more.
        options: as on the command line with ``_`` for ``-``: categories, seeds, protocol, holdout,
            image_size, device, precision, data_root, weights_dir, weights, assets_dir, results,
            set (``{"padim": {"backbone": "resnet18"}}``), plugin, name, force, maps, threads.

    Returns:
        The cells of all data sets, in the order in which they ended.

    Raises:
        BenchError: something named is unknown, missing or unusable for the whole run.
    """
    out = Results(Path())
    texts = []
    with open_console() as console:
        for plan in _plans(console, methods, dataset, config, options):
            results = execute(plan)
            out.folder = plan.results_dir
            out.cells += results
            texts.append(summarise(plan, results))
    out.text = "\n".join(texts)
    return out


def dry_run(
    methods: Method | Sequence[Method] = (),
    dataset: Source | Sequence[Source] = (),
    *,
    config: str | Path | None = None,
    **options: Any,
) -> bool:
    """Print the cells of a run, what is done, and how long the rest will take.

    Args:
        methods, dataset, config, options: as in :func:`run`.

    Returns:
        Whether nothing stands in the way.
    """
    from benchmark.runner.estimate import dry_run as estimate

    with open_console() as console:
        plans = list(_plans(console, methods, dataset, config, options))
        statuses = [estimate(plan) for plan in plans]  # each prints, even after a problem
    return not any(statuses)


def measure(scores: Any, labels: Any, maps: Any = None, masks: Any = None) -> dict[str, Any]:
    """Compute all metrics of scores, and of anomaly maps where there are any.

    Args:
        scores: (N,), higher is more anomalous; array, tensor or list.
        labels: (N,), 0 good and 1 defective.
        maps: (N, H, W) or N maps of any size; None for image metrics alone.
        masks: ground truth of the same shapes, 0 or 1; None when there are no maps.

    Returns:
        Metrics by name, as ``bench list metrics`` lists them; None where one is undefined.
    """
    import numpy as np

    from benchmark.metrics import image_metrics, pixel_metrics
    from benchmark.metrics.names import IMAGE_METRICS, PIXEL_METRICS

    if (maps is None) != (masks is None):
        raise SettingsError("measure: maps and masks go together; give both or neither")
    image = image_metrics(np.asarray(scores, float), np.asarray(labels, bool))
    values = {name: getattr(image, name) for name in IMAGE_METRICS}
    if maps is not None:
        pixel = pixel_metrics(maps, masks)
        values |= {name: getattr(pixel, name) for name in PIXEL_METRICS}
    return values


def table(
    name: str = "summary",
    *,
    form: Form = "markdown",
    results: str | Path | Iterable[str | Path] = places.RESULTS,
    **options: Any,
) -> str:
    """Make a table as text.

    Args:
        name: ``summary``, ``per-category``, a paper's table (``spade-3``), or a YAML file.
        form: how it is written.
        results: folders of records.
        options: the other fields of :class:`benchmark.tables.request.Request`: metric, dataset,
            protocol, methods, view, common, ensemble.

    Raises:
        BenchError: an unknown name, or records that cannot make this table.
    """
    from benchmark.tables.request import Request, make

    return make(Request(name, _folders(results), **options), form)


def compare(
    a: str | None = None,
    b: str | None = None,
    *,
    published: bool = False,
    metric: str = "image_auroc",
    common: bool = False,
    results: str | Path | Iterable[str | Path] = places.RESULTS,
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
    from benchmark.records.stored import Datasets
    from benchmark.tables.compare import side, two_runs, with_published
    from benchmark.tables.render import render

    if published == (a is not None) or (a is None) != (b is None):
        raise SettingsError("name two runs, as in: bench compare spade padim; or use --published")
    if a is None or b is None:
        return render([with_published(_records(results, dataset, protocol), common)], form)
    named = not all(Path(name).is_dir() for name in (a, b))  # folders need no other records
    frame = _records(results, dataset, protocol) if named else None
    datasets = Datasets(data_root, plugin)
    grid = two_runs(side(frame, a), side(frame, b), metric, datasets)
    for text in datasets.refused:
        warnings.warn(text, RecordWarning, stacklevel=2)
    return render([grid], form)


def report(
    out: str | Path | None = None,
    *,
    results: str | Path | Iterable[str | Path] = places.RESULTS,
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
    from benchmark.records.stored import Datasets
    from benchmark.reports.page import page

    datasets = Datasets(data_root, plugin) if pictures else None
    text = page(_records(results, dataset, protocol, methods), datasets)
    file = places.expanded(out) if out else _folders(results)[0] / "report.html"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise StoreError(f"{file}: the report cannot be written ({error.strerror})") from error
    for refused in datasets.refused if datasets else ():
        warnings.warn(f"no pictures with images: {refused}", RecordWarning, stacklevel=2)
    return file


def load_detector(
    detector: str | Path,
    *,
    dataset: str | None = None,
    category: str | None = None,
    seed: int | None = None,
    results: str | Path | Iterable[str | Path] = places.RESULTS,
    device: str = "auto",
    weights_dir: str | Path | None = None,
    plugin: Iterable[str | Path] = (),
    threads: int = 0,
) -> LoadedDetector:
    """Load a detector that ``bench run --keep`` kept.

    >>> loaded = ib.load_detector("PatchCore (resnet18)", category="bottle")  # doctest: +SKIP
    >>> for verdict in loaded.predict(["a.png", pixels]):  # doctest: +SKIP
    ...     print(verdict.name, verdict.score, verdict.decision, verdict.map.shape)

    Args:
        detector: a record, the JSON of a kept detector, a folder that holds one, or a method or
            readable name that is looked for in ``results``.
        dataset, category, seed: which one, where there are several.
        results: folders of records.
        device, weights_dir, plugin, threads: as in :func:`run`.

    Returns:
        What ``predict`` (a list), ``verdicts`` (one after the other, for any number of images) and
        :func:`predict` judge images with.

    Raises:
        StoreError: there is none, or several: lists them; its files are damaged.
        WeightsError: other weights than those it was fitted with.
    """
    from benchmark.deploy.loaded import load
    from benchmark.records.kept import find

    found = find(detector, _folders(results), dataset=dataset, category=category, seed=seed)
    return load(found, device=device, weights_dir=weights_dir, plugin=plugin, threads=threads)


def load_onnx(path: str | Path, *, threads: int = 0) -> OnnxDetector:
    """Load a graph that :func:`export` wrote: the folder, or the file. Used like a detector."""
    from benchmark.deploy.export import GRAPH
    from benchmark.deploy.graph import OnnxDetector

    place = places.expanded(path)
    return OnnxDetector(place / GRAPH if place.is_dir() else place, threads)


def predict(
    detector: Judge,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    maps: Literal["png", "npy", "none"] = "png",
    pictures: bool = True,
    batch_size: int = 0,
    force: bool = False,
) -> Outcome:
    """Judge image files into a folder: a table, maps, pictures, a contact sheet.

    Args:
        detector: from :func:`load_detector` or :func:`load_onnx`.
        images: files and folders.
        out: the folder; what it holds of the same detector is kept, and the rest is done.
        maps: 16-bit PNG, ``npy`` (float32), or none.
        pictures: whether photographs are drawn beside their maps, and a contact sheet.
        batch_size: images judged together; 0 as in the run.
        force: judge all anew.

    Raises:
        DataError: no image there.
        StoreError: ``out`` cannot be written, or holds verdicts of another detector.
    """
    from benchmark.deploy.pictures import Wanted
    from benchmark.deploy.predict import predict

    paths = [images] if isinstance(images, str | Path) else list(images)
    with open_console() as console:
        return predict(
            detector,
            paths,
            places.expanded(out),
            console,
            wanted=Wanted(maps, pictures),
            batch_size=batch_size,
            force=force,
        )


def prove(
    detector: Judge,
    *,
    data_root: str | Path | None = None,
    plugin: Iterable[str | Path] = (),
    batch_size: int = 0,
) -> Proof:
    """Judge the test images of a kept detector's record again, and compare with the record.

    Args:
        detector: from :func:`load_detector`.
        data_root, plugin: where the images are.
        batch_size: images judged together; 0 as in the run.
    """
    from benchmark.deploy.proof import prove, tested

    return prove(detector, tested(detector.kept, data_root, plugin), batch_size)


def export(
    detector: LoadedDetector,
    out: str | Path,
    *,
    data_root: str | Path | None = None,
    plugin: Iterable[str | Path] = (),
    threads: int = 0,
) -> Exported:
    """Write a kept detector as an ONNX graph, with its proof and its card.

    Args:
        detector: from :func:`load_detector` with ``device="cpu"``.
        out: the folder.
        data_root, plugin: where the record's test images are.
        threads: of onnxruntime; 0 is all cores.

    Raises:
        ExportError: the method cannot be traced, or the graph gives other numbers than the record.
    """
    from benchmark.deploy.export import export

    with open_console() as console:
        place = places.expanded(out)
        return export(detector, place, console, data_root=data_root, plugin=plugin, threads=threads)


def _plans(
    console: Any,
    methods: Method | Sequence[Method],
    dataset: Source | Sequence[Source],
    config: str | Path | None,
    options: dict[str, Any],
) -> Iterator[Plan]:
    """Make one plan per data set."""
    chosen = [methods] if isinstance(methods, str | Detector | type) else list(methods)
    sources = [dataset] if isinstance(dataset, str | Dataset) else list(dataset)
    given = dict(options)
    if chosen:
        given["methods"] = [m if isinstance(m, str) else name_of(_class(m)) for m in chosen]
    if sources:
        given["dataset"] = [s if isinstance(s, str) else name_of(type(s)) for s in sources]
    built = RunConfig.build(given, Path(config) if config else None)
    registry = Registry([Path(p) for p in built.plugin])
    for method in chosen:
        if not isinstance(method, str):
            registry.add_method(_class(method))
    for name in built.methods:  # names are checked before anything slow is done
        registry.entry("method", name)
    asked = [
        Asked(name) if isinstance(method, str) else Asked.of(method, name)
        for name, method in zip(built.methods, chosen or built.methods, strict=True)
    ]
    opened = dict(zip(built.dataset, sources or built.dataset, strict=True))
    for name, source in opened.items():
        if isinstance(source, str):
            registry.entry("dataset", name)
    for name, source in opened.items():
        is_open = source if isinstance(source, Dataset) else None
        yield prepare(built, registry, console, name, asked, is_open)


def _class(method: Detector | type[Detector]) -> type[Detector]:
    return method if isinstance(method, type) else type(method)


def _records(
    results: str | Path | Iterable[str | Path],
    dataset: str | None = None,
    protocol: str | None = None,
    methods: Sequence[str] | None = None,
) -> pd.DataFrame:
    from benchmark.records.frame import load_results
    from benchmark.records.select import choose

    frame = load_results(_folders(results))
    return choose(frame, dataset=dataset, protocol=protocol, methods=methods)


def _folders(results: str | Path | Iterable[str | Path]) -> list[Path]:
    if isinstance(results, str | Path):
        return [places.expanded(results)]
    return [places.expanded(folder) for folder in results]
