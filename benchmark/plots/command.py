"""``bench plot``."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from benchmark.errors import SettingsError, unknown
from benchmark.metrics.names import METRICS


def plot(given: Namespace) -> int:
    """Draw what was asked for; prints the files written."""
    from benchmark.plots.bars import cost, defects
    from benchmark.plots.curves import curves
    from benchmark.plots.gallery import gallery
    from benchmark.plots.histograms import histograms
    from benchmark.records.frame import load_results
    from benchmark.records.select import choose
    from benchmark.records.stored import Images

    if given.metric not in METRICS:
        raise SettingsError(unknown("metric", given.metric, METRICS))
    if given.count < 1:
        raise SettingsError(f"--count {given.count}: at least one image is needed")
    frame = choose(
        load_results(given.results, given.plugin),
        dataset=given.dataset,
        protocol=given.protocol,
        methods=given.methods,
        categories=given.categories,
    )
    out = Path(given.out) if given.out else Path(given.results[0]) / "pictures"
    images = Images(given.data_root, given.plugin)
    form = given.format
    if given.what == "gallery":
        written = gallery(frame, out, images, count=given.count, form=form, say=_warn)
    elif given.what == "histograms":
        written = histograms(frame, out, form=form, say=_warn)
    elif given.what == "curves":
        written = curves(frame, out, images, form=form, say=_warn)
    elif given.what == "defects":
        written = defects(frame, out, form=form, say=_warn)
    else:
        written = cost(frame, out, metric=given.metric, form=form, say=_warn)
    for path in written:
        print(path)
    return 0 if written and not images.refused else 1


def _warn(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr)
