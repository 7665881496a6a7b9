"""``bench table``."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import fields
from pathlib import Path

from benchmark.tables.request import Request, make


def table(given: Namespace) -> int:
    """Print a table; with ``--check`` hold it against the score files instead."""
    wanted = {f.name for f in fields(Request)}
    request = Request(**{k: v for k, v in vars(given).items() if k in wanted})
    if given.check is None:
        print(make(request, given.format))
        return 0
    from benchmark.records.stored import Images
    from benchmark.tables.check import check

    saved = Path(given.check) if given.check else None
    report = check(request, saved, Images(given.data_root, given.plugin))
    print(report.text())
    return 0 if report.ok else 1
