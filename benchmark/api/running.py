"""Running methods, and measuring what is at hand.

>>> import benchmark as ib
>>> results = ib.run(methods=["padim"], dataset="mvtec", seeds=[0, 1])  # doctest: +SKIP
>>> results.frame[["category", "image_auroc", "pro"]]  # doctest: +SKIP
>>> print(ib.table("summary", results=results))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from benchmark.console import open_console
from benchmark.errors import SettingsError, unknown
from benchmark.plugins.registry import Registry, name_of
from benchmark.runner.config import RunConfig

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.data.dataset import Dataset
    from benchmark.detector.base import Detector
    from benchmark.runner.plan import Plan
    from benchmark.runner.run import Result

    Method = str | Detector | type[Detector]
    Source = str | Dataset

T = TypeVar("T")
FIXED = ("methods", "dataset", "protocol", "holdout", "image_size", "keep_aspect", "set")
"""What a paper's table says itself about the runs that it needs."""


@dataclass
class Results:
    """The cells of a run, as they ended; stands for its folder wherever one is asked for.

    Attributes:
        folder: where records and scores are.
        cells: every cell with its outcome (``ok``, ``kept``, ``failed``) and its record.
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

    def __fspath__(self) -> str:
        return str(self.folder)

    def __str__(self) -> str:
        return self.text.strip()


def run(
    methods: Method | Sequence[Method] = (),
    dataset: Source | Sequence[Source] = (),
    *,
    table: str | None = None,
    config: str | Path | None = None,
    **options: Any,
) -> Results:
    """Run methods on data sets. Finished cells are kept, a failed one costs only itself.

    Args:
        methods: names (``bench list methods``), detector classes, or detectors whose settings
            count. A class is identified by its source text; one without source is run anew each time.
        dataset: names, or data sets that are open already; ``synthetic`` when nothing is said.
        table: a paper's table, instead of methods and data sets: whatever it needs is run.
        config: a YAML file with the same options; what is given here counts more.
        options: as on the command line with ``_`` for ``-``: categories, seeds, protocol, holdout,
            image_size, device, precision, data_root, weights_dir, weights, assets_dir, results,
            set (``{"padim": {"backbone": "resnet18"}}``), plugin, name, force, maps, keep, shots,
            contaminate, corrupt (each adds variants of the protocol), threads, ray (``local``,
            ``auto`` or an address), gpus_per_worker, cpus_per_worker.

    Returns:
        The cells of all data sets, in the order in which they ended.

    Raises:
        BenchError: something named is unknown, missing or unusable for the whole run.
    """
    out = Results(Path())
    texts = []
    with open_console() as console:
        first = list(_plans(console, methods, dataset, table, config, options))
        plans = [plan for one in first for plan in one.variants()]
        console.cells(sum(plan.size for plan in plans))
        from benchmark.runner.cluster import execute as on_cluster
        from benchmark.runner.run import execute
        from benchmark.runner.summary import summarise

        for plan in plans:
            results = on_cluster(plan) if plan.config.ray else execute(plan)
            out.folder = plan.results_dir
            out.cells += results
            texts.append(summarise(plan, results))
    out.text = "\n".join(texts)
    return out


def dry_run(
    methods: Method | Sequence[Method] = (),
    dataset: Source | Sequence[Source] = (),
    *,
    table: str | None = None,
    config: str | Path | None = None,
    **options: Any,
) -> bool:
    """Print the cells of a run, what is done, and how long the rest will take.

    Args:
        methods, dataset, table, config, options: as in :func:`run`.

    Returns:
        Whether nothing stands in the way.
    """
    with open_console() as console:
        first = list(_plans(console, methods, dataset, table, config, options))
    plans = [plan for one in first for plan in one.variants()]
    from benchmark.runner.estimate import dry_run as estimate

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

    if (maps is None) != (masks is None):
        raise SettingsError("measure: maps and masks go together; give both or neither")
    given = np.asarray(labels)
    image = image_metrics(np.asarray(scores, float), given)
    if maps is None:
        return dict(image.values)
    if not len(maps) == len(masks) == len(given):
        raise SettingsError(
            f"measure: {len(maps)} maps and {len(masks)} masks of {len(given)} images; give one each"
        )
    return {**image.values, **pixel_metrics(maps, masks).values}


def _plans(
    console: Any,
    methods: Method | Sequence[Method],
    dataset: Source | Sequence[Source],
    table: str | None,
    config: str | Path | None,
    options: Mapping[str, Any],
) -> Iterator[Plan]:
    """Make one plan per data set, and per run that a paper's table needs."""
    chosen: list[Method] = _listed(methods)
    sources: list[Source] = _listed(dataset)
    given = dict(options)
    if chosen:
        given["methods"] = [m if isinstance(m, str) else name_of(_class(m)) for m in chosen]
    if sources:
        given["dataset"] = [s if isinstance(s, str) else name_of(type(_opened(s))) for s in sources]
    file = Path(config) if config else None
    if table is None:
        yield from _plans_of(console, RunConfig.build(given, file), chosen, sources)
        return
    for one in _runs_of(table, given):
        yield from _plans_of(console, RunConfig.build({**given, **one}, file))


def _plans_of(
    console: Any, built: RunConfig, chosen: Sequence[Method] = (), sources: Sequence[Source] = ()
) -> Iterator[Plan]:
    if built.ray and not all(isinstance(given, str) for given in (*chosen, *sources)):
        raise SettingsError(
            "ray: workers find methods and data sets by name; put the class into a file, name that "
            "with plugin, and give the name instead of the object"
        )
    registry = Registry([Path(p) for p in built.plugin])
    for method in chosen:
        if not isinstance(method, str):
            registry.add_method(_class(method))
    for name in built.methods:  # names are checked before anything slow is imported
        registry.entry("method", name)
    opened: dict[str, Source] = dict(zip(built.dataset, sources or built.dataset, strict=True))
    for name, source in opened.items():
        if isinstance(source, str):
            registry.entry("dataset", name)
    from benchmark.runner.plan import Asked, prepare

    asked = [
        Asked(name) if isinstance(method, str) else Asked.of(method, name)
        for name, method in zip(built.methods, chosen or built.methods, strict=True)
    ]
    for name, source in opened.items():
        is_open = None if isinstance(source, str) else source
        yield prepare(built, registry, console, name, asked, is_open)


def _runs_of(table: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the options of the runs that a paper's table needs."""
    from benchmark.tables import TABLES
    from benchmark.tables.layout import Layout
    from benchmark.tables.match import needed

    layout = TABLES.get(table)
    if not isinstance(layout, Layout):  # the others are views of whatever has been run
        papers = [name for name, entry in TABLES.items() if isinstance(entry, Layout)]
        raise SettingsError(unknown("paper's table", table, papers))
    if stray := [f"--{name.replace('_', '-')}" for name in FIXED if name in options]:
        raise SettingsError(f"--table {table} sets {', '.join(stray)} itself; leave it out")
    registry = Registry([Path(p) for p in options.get("plugin") or ()])
    runs = needed(layout, registry.names("method"), options.get("seeds", (0,)))
    known = [r for r in runs if r["dataset"] in registry.entries["dataset"]]
    for run in runs:
        if run not in known:
            print(f"skipped: there is no data set {run['dataset']!r} (yet)")
    if not known:
        raise SettingsError(f"table {table}: none of the methods it measures is known here")
    return known


def _listed(given: T | Sequence[T]) -> list[T]:
    """Make a list of one thing or several; a name is one."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        return list(given)
    return [given]


def _opened(dataset: Dataset) -> Dataset:
    from benchmark.data.dataset import Dataset as Base

    if not isinstance(dataset, Base):
        raise SettingsError(
            f"dataset: {dataset!r} is neither a name (bench list datasets) nor an open Dataset"
        )
    return dataset


def _class(method: Detector | type[Detector]) -> type[Detector]:
    from benchmark.detector.base import Detector as Base

    if not isinstance(method, Base) and not (isinstance(method, type) and issubclass(method, Base)):
        raise SettingsError(
            f"methods: {method!r} is neither a name (bench list methods) nor a Detector"
        )
    return method if isinstance(method, type) else type(method)
