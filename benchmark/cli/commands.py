"""What each command of ``bench`` does."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmark.cli.deploy import export, predict
from benchmark.cli.views import compare, plot, report, scores, table
from benchmark.errors import BenchError, DataError, SettingsError, unknown
from benchmark.plugins.registry import Registry
from benchmark.runner.config import RunConfig, settings_by_owner

RUN_SKIPS = ("command", "config", "table", "dry_run")
"""Options of ``bench run`` that are no options of a run."""


def run(given: Namespace) -> int:
    """Run methods on data sets, or what a paper's table needs."""
    options = {k: v for k, v in vars(given).items() if k not in RUN_SKIPS and v is not None}
    runs = [options] if given.table is None else _runs_of(given, options)
    return max(_run(one, given) for one in runs)


def _run(options: dict[str, Any], given: Namespace) -> int:
    config = RunConfig.build(options, given.config)
    registry = Registry([Path(p) for p in config.plugin])
    for name in config.methods:  # names are checked before anything slow is imported
        registry.entry("method", name)
    for name in config.dataset:
        registry.entry("dataset", name)
    from benchmark import api

    if given.dry_run:
        return 0 if api.dry_run(config=given.config, **options) else 1
    results = api.run(config=given.config, **options)
    print(results.text)
    return 0 if results.ok else 1


def _runs_of(given: Namespace, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the options of the runs that a paper's table needs."""
    from benchmark.tables import TABLES
    from benchmark.tables.layout import Layout
    from benchmark.tables.match import needed

    layout = TABLES.get(given.table)
    if not isinstance(layout, Layout):  # the others are views of whatever has been run
        papers = [name for name, entry in TABLES.items() if isinstance(entry, Layout)]
        raise SettingsError(unknown("paper's table", given.table, papers))
    fixed = ("methods", "dataset", "protocol", "holdout", "image_size", "keep_aspect", "set")
    if stray := [f"--{name.replace('_', '-')}" for name in fixed if name in options]:
        raise SettingsError(f"--table {given.table} sets {', '.join(stray)} itself; leave it out")
    registry = Registry([Path(p) for p in given.plugin or ()])
    runs = needed(layout, registry.names("method"), options.get("seeds", (0,)))
    known = [r for r in runs if r["dataset"] in registry.entries["dataset"]]
    for run in runs:
        if run not in known:
            print(f"skipped: there is no data set {run['dataset']!r} (yet)")
    if not known:
        raise SettingsError(f"table {given.table}: none of the methods it measures is known here")
    return [{**options, **run} for run in known]


def list_names(given: Namespace) -> int:
    """List methods, data sets, metrics or tables."""
    rows: list[tuple[str, ...]]
    if given.what == "metrics":
        from benchmark.metrics.names import METRICS

        rows = list(METRICS.items())
    elif given.what == "tables":
        from benchmark.tables import TABLES

        rows = [(name, layout.title) for name, layout in TABLES.items()]
    else:
        registry = Registry([Path(p) for p in given.plugin])
        entries = registry.entries["method" if given.what == "methods" else "dataset"]
        rows = [
            (name, entry.summary or "(described when imported)", entry.origin)
            for name, entry in sorted(entries.items())
        ]
    print(tabulate(rows, tablefmt="plain"))
    return 0


def evaluate(given: Namespace) -> int:
    """Compute all metrics again from stored scores."""
    from benchmark.records.evaluate import evaluate

    found = evaluate(given.results, data_root=given.data_root, plugin=given.plugin)
    print(
        f"{found.measured} records evaluated, {found.changed} of them changed, {found.failed} not"
    )
    return 1 if found.failed else 0


def data(given: Namespace) -> int:
    """Tell where a data set is looked for, how to get it, and whether it is whole."""
    from benchmark import places
    from benchmark.console import open_console
    from benchmark.data.verify import verify

    registry = Registry([Path(p) for p in given.plugin])
    cls = registry.dataset(given.name)
    print(
        f"{cls.title}\n  licence  {cls.licence}\n  cite     {cls.citation}\n  get it   {cls.origin}"
    )
    folder = None
    if cls.needs_root:
        root = places.data_root(given.data_root)
        where = root or "nowhere: neither --data-root nor BENCH_DATA is given"
        print(f"  looked   {where} (itself, or {given.name}/ in it)")
        if given.download:
            if root is None:
                raise DataError("nowhere to download to; pass --data-root DIR or set BENCH_DATA")
            root.mkdir(parents=True, exist_ok=True)
            cls(root).download()
        folder = places.dataset_folder(root, given.name)
        print(f"  found    {folder}")
    settings = settings_by_owner(given.set).get(given.name, {})
    dataset = registry.open_dataset(given.name, folder, settings)
    if given.write:
        file = dataset.write_roles()
        print(f"written: {file}; read it, and change what is not so")
    windows = {} if cls.small else _windows(registry)
    with open_console() as console:
        progress = console.fraction("checking")
        report = verify(dataset, progress, windows, given.mask_threshold)
    print(report.text())
    return 0 if report.ok else 1


def _windows(registry: Registry) -> dict[str, Any]:
    """Collect the papers' geometries, by the names of the methods that share one."""
    names: dict[Any, list[str]] = {}
    for name, entry in registry.entries["method"].items():
        if entry.preset is not None:
            continue
        try:
            names.setdefault(registry.method(name)[0].paper, []).append(name)
        except BenchError:  # a method that cannot be imported says so when it is run
            continue
    return {", ".join(methods): geometry for geometry, methods in names.items()}


def new(given: Namespace) -> int:
    """Write a method file to start from, with its test."""
    from benchmark.plugins.scaffold import new_method

    return new_method(given.name, given.into or Path())


def check(given: Namespace) -> int:
    """Test that a method or a data set keeps its contract."""
    from benchmark import places
    from benchmark.features.weights import WeightsFrom
    from benchmark.plugins.contract import DatasetChecks, DetectorChecks, run_checks

    path = Path(given.name)
    is_file = path.suffix == ".py"
    registry = Registry([path] if is_file else [])
    name = path.stem if is_file else given.name
    suites: list[DetectorChecks | DatasetChecks] = []
    if name in registry.entries["method"]:
        cls, preset = registry.method(name)
        weights = WeightsFrom(places.expanded(given.weights_dir)) if given.weights_dir else None
        suites.append(DetectorChecks(cls, preset, weights))
    if name in registry.entries["dataset"]:
        suites.append(DatasetChecks(registry.open_dataset(name, given.data_root)))
    if not suites:
        known = [*registry.names("method"), *registry.names("dataset")]
        raise SettingsError(unknown("method or data set", name, known))
    kept = True
    for suite in suites:
        for outcome in run_checks(suite):
            kept = kept and outcome.found is None
            print(f"{'ok  ' if outcome.found is None else 'FAIL'}  {outcome.promise}")
            if outcome.found is not None:
                print(f"      {outcome.found}")
    print("the contract is kept" if kept else "the contract is broken")
    return 0 if kept else 1


def pretrain(given: Namespace) -> int:
    """Build a pre-trained asset once."""
    from benchmark.runner.pretrain import pretrain

    settings = settings_by_owner(given.set)
    if stray := settings.keys() - {given.name}:
        raise SettingsError(f"--set names {', '.join(stray)}; write {given.name}.SETTING=VALUE")
    path, built = pretrain(
        given.name,
        given.images,
        settings=settings.get(given.name),
        assets_dir=given.assets_dir,
        weights_dir=given.weights_dir,
        weights=given.weights,
        device=given.device,
        plugins=given.plugin,
        force=given.force,
    )
    print(f"{given.name}: {path}" if built else f"{path} exists already; --force builds it again")
    return 0


COMMANDS: Mapping[str, Callable[[Namespace], int]] = {
    "run": run,
    "list": list_names,
    "table": table,
    "compare": compare,
    "plot": plot,
    "report": report,
    "evaluate": evaluate,
    "scores": scores,
    "predict": predict,
    "export": export,
    "data": data,
    "new": new,
    "check": check,
    "pretrain": pretrain,
}


def _run_options(given: Namespace) -> dict[str, Any]:
    """Collect the options of ``bench run`` that were given, by the names of RunConfig."""
    skip = {"command", "config", "table"}
    return {k: v for k, v in vars(given).items() if k not in skip and v is not None}
