"""What each command of ``bench`` does: one call from Python each, and what is printed of it."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from tabulate import tabulate

import benchmark as ib
from benchmark.cli.deploy import export, predict
from benchmark.errors import SettingsError
from benchmark.runner.config import settings_by_owner
from benchmark.tables.pipes import WIDTH

_RECORDS = ("results", "dataset", "protocol")
RUN_SKIPS = ("command", "dry_run")
"""Options of ``bench run`` that are no arguments of a run."""


def run(given: Namespace) -> int:
    """Run methods on data sets, or what a paper's table needs."""
    options = {k: v for k, v in vars(given).items() if k not in RUN_SKIPS and v is not None}
    if given.dry_run:
        return 0 if ib.dry_run(**options) else 1
    results = ib.run(**options)
    print(results.text)
    return 0 if results.ok else 1


def list_names(given: Namespace) -> int:
    """List methods, data sets, metrics or tables."""
    found = ib.available(given.what, plugin=given.plugin)
    room = WIDTH - max(map(len, found), default=0) - 2
    print(tabulate(found.items(), tablefmt="plain", maxcolwidths=[None, max(room, 40)]))
    return 0


def table(given: Namespace) -> int:
    """Print a table; with ``--check`` hold it against the score files instead."""
    from benchmark.tables.request import Request

    wanted = {f.name for f in fields(Request)}
    options = {k: v for k, v in vars(given).items() if k in wanted}
    if given.check is None:
        print(ib.table(form=given.format, **options))
        return 0
    if given.intervals:
        raise SettingsError("--check derives numbers again, not --intervals; leave one of them out")
    found = ib.check_table(saved=given.check or None, **options)
    print(found.text())
    return 0 if found.ok else 1


def compare(given: Namespace) -> int:
    """Compare two runs with each other, or runs with published numbers."""
    if given.published and given.runs:
        raise SettingsError("compare either two runs (A B) or --published, not both")
    if not given.published and len(given.runs) != 2:
        raise SettingsError("name two runs, as in: bench compare spade padim; or use --published")
    names = ("published", "metric", "common", *_RECORDS, "data_root", "plugin")
    print(ib.compare(*given.runs, form=given.format, **_options(given, *names)))
    return 0


def plot(given: Namespace) -> int:
    """Draw pictures of results; prints the files written."""
    names = ("categories", "metric", "count", "out", "data_root", "plugin", "methods")
    written = ib.plot(
        given.what,
        form=given.format,
        say=lambda text: print(f"bench: {text}", file=sys.stderr),
        **_options(given, *_RECORDS, *names),
    )
    for path in written:
        print(path)
    return 0 if written else 1


def report(given: Namespace) -> int:
    """Write all results as one HTML file."""
    options = _options(given, *_RECORDS, "methods", "data_root", "plugin")
    print(ib.report(given.out, pictures=not given.no_pictures, **options))
    return 0


def evaluate(given: Namespace) -> int:
    """Compute all metrics again from stored scores."""
    found = ib.evaluate(**_options(given, "results", "data_root", "plugin", "threshold"))
    print(
        f"{found.measured} records evaluated, {found.changed} of them changed, {found.failed} not"
    )
    return 1 if found.failed else 0


def scores(given: Namespace) -> int:
    """Print scores and decisions per image as CSV, once all of them could be read."""
    found = ib.scores(**_options(given, *_RECORDS, "methods", "categories", "seeds", "threshold"))
    found.to_csv(sys.stdout, index=False, lineterminator="\n")
    return 0


def merge(given: Namespace) -> int:
    """Copy the records of several results into one folder."""
    found = ib.merge(given.sources, given.into)
    for text in found.conflicts:
        print(f"not merged: {text}")
    print(f"{found.copied} records copied, {found.known} known, {len(found.conflicts)} conflicts")
    return 1 if found.conflicts else 0


def export_results(given: Namespace) -> int:
    """Write all records into one file."""
    print(f"{given.to}: {ib.export_results(given.to, given.results)} records")
    return 0


def data(given: Namespace) -> int:
    """Tell where a data set is looked for, how to get it, and whether it is whole."""
    settings = settings_by_owner(given.set).get(given.name)
    names = ("data_root", "download", "write", "mask_threshold", "plugin")
    found = ib.verify(given.name, settings=settings, **_options(given, *names))
    print(found.text())
    if given.shortcuts:
        from benchmark.data.shortcuts import text

        places = _options(given, "data_root", "plugin")
        measured = ib.shortcuts(given.name, settings=settings, **places)
        print(f"\n{text(measured)}")
    return 0 if found.ok else 1


def new(given: Namespace) -> int:
    """Write a method file to start from, with its test."""
    method, test = ib.new_method(given.name, given.into)
    print(f"wrote {method} and {test}")
    print(f"check it: bench check {method}")
    print(f"run it:   bench run --plugin {method} --methods {given.name} --weights random")
    return 0


def check(given: Namespace) -> int:
    """Test that a method or a data set keeps its contract."""
    kept = True
    for outcome in ib.check(given.name, **_options(given, "weights_dir", "data_root")):
        kept = kept and outcome.found is None
        print(f"{'ok  ' if outcome.found is None else 'FAIL'}  {outcome.promise}")
        if outcome.found is not None:
            print(f"      {outcome.found}")
    print("the contract is kept" if kept else "the contract is broken")
    return 0 if kept else 1


def pretrain(given: Namespace) -> int:
    """Build a pre-trained asset once."""
    settings = settings_by_owner(given.set)
    if stray := settings.keys() - {given.name}:
        raise SettingsError(f"--set names {', '.join(stray)}; write {given.name}.SETTING=VALUE")
    names = ("assets_dir", "weights_dir", "weights", "device", "plugin", "force")
    path, built = ib.pretrain(
        given.name, given.images, settings=settings.get(given.name), **_options(given, *names)
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
    "merge": merge,
    "export-results": export_results,
    "predict": predict,
    "export": export,
    "data": data,
    "new": new,
    "check": check,
    "pretrain": pretrain,
}


def _options(given: Namespace, *names: str) -> dict[str, Any]:
    """Take the options that are arguments of the call under the same names."""
    return {name: getattr(given, name) for name in names}
