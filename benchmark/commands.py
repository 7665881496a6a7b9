"""What each command of ``bench`` does. Names are the commands' names."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from tabulate import tabulate

from benchmark.cli import run_options
from benchmark.errors import SettingsError
from benchmark.registry import Registry


def run(given: Namespace) -> int:
    """Run methods on a data set."""
    from benchmark.config import RunConfig

    config = RunConfig.build(run_options(given), given.config)
    from benchmark import runner
    from benchmark.console import open_console

    with open_console() as console:
        job = runner.prepare(config, console)
        if config.dry_run:
            from benchmark.estimate import dry_run

            return dry_run(job)
        results = runner.execute(job)
    from benchmark.summary import summarise

    print(summarise(job, results))
    return 0 if all(result.outcome in ("ok", "kept") for result in results) else 1


def list(given: Namespace) -> int:  # noqa: A001 - the command's name
    """List methods, data sets, metrics or tables."""
    rows: object
    if given.what == "metrics":
        from benchmark.metric_names import METRICS

        rows = METRICS.items()
    elif given.what == "tables":
        from benchmark.tables import TABLES

        rows = [(name, layout.title) for name, layout in TABLES.items()]
    else:
        kind = given.what[:-1]
        registry = Registry([Path(p) for p in given.plugin])
        rows = [
            (e.name, e.summary or "(imported when used)", e.origin)
            for _, e in sorted(registry.entries[kind].items())
        ]
    print(tabulate(rows, tablefmt="plain"))  # type: ignore[arg-type]
    return 0
