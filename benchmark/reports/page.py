"""What the report shows, put into its page."""

from __future__ import annotations

import base64
import io
import math
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import BenchError
from benchmark.metrics.names import METRICS
from benchmark.records.names import changed_settings
from benchmark.records.select import blocks, category_groups, few_images, rankable
from benchmark.records.stored import Datasets, Stored
from benchmark.tables import TABLES
from benchmark.tables.build import build
from benchmark.tables.grid import Grid
from benchmark.tables.layout import Layout
from benchmark.tables.live import RANDOM, over_seeds, summary, winners
from benchmark.tables.match import image_size
from benchmark.tables.render import latex, web

if TYPE_CHECKING:
    import pandas as pd

Say = Callable[[str], None]
PICTURE_WIDTH = {"Curves": 1200}
OTHER_WIDTH = 760
PICTURE_QUALITY = 55
GALLERY_ROWS = 2
"""With these, 90 galleries and 15 sets of curves stay below 10 MB."""
COSTS = (
    ("fit_seconds", "fit (s)", 1.0, 1),
    ("latency_batch_1_seconds", "one image (ms)", 1e3, 1),
    ("latency_batch_n_seconds", "one of a batch (ms)", 1e3, 1),
    ("stored_bytes", "stored (MB)", 1e-6, 1),
    ("backbone_bytes", "backbone (MB)", 1e-6, 1),
    ("peak_bytes", "peak memory (MB)", 1e-6, 0),
)


@dataclass(frozen=True)
class Measured:
    """A number and what is printed for it; ``shade`` 0…1 colours a heat table."""

    value: float
    text: str
    best: bool = False
    shade: float | None = None

    @property
    def sortable(self) -> str:
        """For sorting in the browser; undefined ones come last."""
        return "" if math.isnan(self.value) else repr(self.value)


@dataclass(frozen=True)
class Standing:
    """A configuration in a leaderboard or heat table."""

    name: str
    random: bool
    numbers: Sequence[Measured]


@dataclass(frozen=True)
class Section:
    """The results that may be ranked together."""

    title: str
    dataset: str
    protocol: str
    categories: Sequence[str]
    metrics: Sequence[str]
    board: Sequence[Standing]
    heat: Sequence[tuple[str, Sequence[Standing]]]
    costs: Sequence[tuple[str, str, Sequence[str]]]
    few: Sequence[str]
    tex: str


def page(frame: pd.DataFrame, datasets: Datasets | None) -> str:
    """Write the whole report.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`.
        datasets: where the data sets are; None leaves the pictures out.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    missing: list[str] = []
    source = (resources.files("benchmark.reports") / "page.html").read_text(encoding="utf-8")
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(source)
    shown = [_block(title, part) for title, part in blocks(frame)]
    tables = [(g.title, Markup(web(g)), latex(g)) for g in _paper_tables(frame, missing)]
    return template.render(
        blocks=shown,
        datasets=sorted(set(frame["dataset"])),
        protocols=sorted(set(frame["protocol"])),
        names=sorted(set(frame["name"])),
        metrics=[m for m in METRICS if frame[m].notna().any()],
        descriptions={name: metric.text for name, metric in METRICS.items()},
        tables=tables,
        pictures=_pictures(frame, datasets, missing.append) if datasets else [],
        runs=_runs(frame),
        random=RANDOM if frame["random_weights"].any() else "",
        missing=list(dict.fromkeys(missing)),
    )


def _block(title: str, part: pd.DataFrame) -> Section:
    every = [c for _, g in category_groups(part) for c in g]
    names = list(part["name"].unique())
    metrics = [m for m in METRICS if part[m].notna().any()]
    board = _lines(part, names, [(m, every) for m in metrics])
    heat = [(m, _shaded(_lines(part, names, [(m, [c]) for c in every]))) for m in metrics]
    costs = []
    for (name, device), rows in part.groupby(["name", "device"], dropna=False, sort=False):
        means = [float(rows[column].mean()) * factor for column, _, factor, _ in COSTS]
        texts = [
            "–" if math.isnan(v) else f"{v:.{decimals}f}"
            for v, (_, _, _, decimals) in zip(means, COSTS, strict=True)
        ]
        costs.append((str(name), str(device), texts))
    return Section(
        title,
        str(part["dataset"].iloc[0]),
        str(part["protocol"].iloc[0]),
        every,
        metrics,
        board,
        heat,
        costs,
        few_images(part),
        "\n\n".join(latex(grid) for grid in summary(part, metrics)),
    )


def _lines(
    part: pd.DataFrame, names: Sequence[str], columns: Sequence[tuple[str, Sequence[str]]]
) -> list[Standing]:
    table = []
    for name in names:
        rows = part[part["name"] == name]
        table.append([over_seeds(rows, metric, over) for metric, over in columns])
    best = [
        winners(column, metric) if rankable(part, over) else [False] * len(names)
        for column, (metric, over) in zip(zip(*table, strict=True), columns, strict=True)
    ]
    return [
        Standing(
            name,
            bool(part[part["name"] == name]["random_weights"].any()),
            [Measured(v.mean, v.text(), column[i]) for v, column in zip(values, best, strict=True)],
        )
        for i, (name, values) in enumerate(zip(names, table, strict=True))
    ]


def _shaded(lines: Sequence[Standing]) -> list[Standing]:
    """Shade the numbers from the lowest to the highest of the table."""
    known = [n.value for line in lines for n in line.numbers if not math.isnan(n.value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    span = (high - low) or 1.0
    return [
        Standing(
            line.name,
            line.random,
            [
                Measured(
                    n.value,
                    n.text,
                    n.best,
                    None if math.isnan(n.value) else round((n.value - low) / span, 3),
                )
                for n in line.numbers
            ],
        )
        for line in lines
    ]


def _paper_tables(frame: pd.DataFrame, missing: list[str]) -> list[Grid]:
    """Make those of the papers' tables for which there is a record."""
    grids = []
    for layout in TABLES.values():
        if not isinstance(layout, Layout):
            continue
        wanted = {e.reference.method for e in layout.methods if e.reference}
        sources = {slot.dataset for slot in layout.slots}
        if not (wanted & set(frame["method"]) and sources & set(frame["source"])):
            continue
        try:
            grids.append(build(layout, frame, "both"))
        except BenchError as error:
            missing.append(str(error))
    return grids


def _pictures(frame: pd.DataFrame, datasets: Datasets, say: Say) -> list[tuple[str, str, str]]:
    """Draw every picture: its kind, name and data address, small enough for one file."""
    from benchmark.plots.bars import cost, defects
    from benchmark.plots.curves import curves
    from benchmark.plots.gallery import gallery
    from benchmark.plots.histograms import histograms

    out = []
    with tempfile.TemporaryDirectory() as folder:
        kinds: tuple[tuple[str, Callable[[Path], list[Path]]], ...] = (
            ("Curves", lambda d: curves(frame, d, datasets, say=say)),
            ("Score histograms", lambda d: histograms(frame, d, say=say)),
            ("Recall by defect type", lambda d: defects(frame, d, say=say)),
            ("Cost against quality", lambda d: cost(frame, d, say=say)),
            ("Galleries", lambda d: gallery(frame, d, datasets, count=GALLERY_ROWS, say=say)),
        )
        for kind, draw in kinds:
            for path in draw(Path(folder)):
                name = " / ".join((*path.parts[-3:-1], path.stem))
                out.append((kind, name, _data_address(path, PICTURE_WIDTH.get(kind, OTHER_WIDTH))))
    return out


def _data_address(path: Path, width: int) -> str:
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB")
    if small.width > width:
        height = round(small.height * width / small.width)
        small = small.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=PICTURE_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _runs(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Describe each configuration: what it was, where it ran, and the command that runs it
    again."""
    out = []
    for _, rows in frame.groupby(["dataset", "protocol", "config"], sort=True):
        row = rows.iloc[0]
        out.append(
            {
                "name": row["name"],
                "dataset": row["dataset"],
                "protocol": row["protocol"],
                "pixels": row["window"],
                "cells": len(rows),
                "settings": row["settings"],
                "weights": [f"{w['backbone']}: {w['source']}" for w in row["weights"]],
                "devices": sorted({str(d) for d in rows["device"]}),
                "environment": _environment(Stored(row).record.get("environment") or {}),
                "command": command(rows),
            }
        )
    return out


def _environment(found: Mapping[str, Any]) -> str:
    """Say what the first of its records was made with."""
    versions = {"bench": found.get("bench"), "Python": found.get("python")}
    texts = [f"{k} {v}" for k, v in {**versions, **found.get("packages", {})}.items() if v]
    if found.get("commit"):
        texts[:1] = [f"{texts[0]} (commit {found['commit']})"]
    where = (f"{found.get('system')}, {found.get('threads')} threads",) if "system" in found else ()
    return ", ".join((*texts, *where))


def command(rows: pd.DataFrame) -> str:
    """Write the ``bench run`` that makes these records again.

    Args:
        rows: records of one configuration; one without its defaults names every setting.
    """
    row = rows.iloc[0]
    name = str(row["method"])
    parts = ["bench", "run", "--methods", name, "--dataset", str(row["source"])]
    if row["dataset"] != row["source"]:
        parts += ["--name", str(row["dataset"])]
    parts += ["--categories", *sorted(set(rows["category"]))]
    parts += ["--seeds", *map(str, sorted(set(rows["seed"])))]
    parts += ["--protocol", str(row["protocol_name"])]
    if size := image_size(row):
        parts += ["--image-size", str(size)]
    if row["keep_aspect"]:
        parts.append("--keep-aspect")
    if row["mask_threshold"] is not None and not math.isnan(row["mask_threshold"]):
        parts += ["--mask-threshold", str(int(row["mask_threshold"]))]
    for option, value in row["stress"].items():
        parts += [f"--{option}", str(value)]
    if "holdout" in str(row["protocol"]):
        parts += ["--holdout", f"{row['holdout']:g}"]
    if row["precision"] != "float32":
        parts += ["--precision", str(row["precision"])]
    if row["backbone_precision"] != "float32":
        parts += ["--backbone-precision", str(row["backbone_precision"])]
    if any(w["source"] == "random" for w in row["weights"]):
        parts += ["--weights", "random"]
    if changed := changed_settings(row):
        parts += ["--set", *(f"{_owned(name, k)}={_yaml(v)}" for k, v in sorted(changed.items()))]
    return shlex.join(parts)


def _owned(method: str, setting: str) -> str:
    """Write a setting as ``--set`` names it: an asset's has its owner before it already."""
    return setting if "." in setting else f"{method}.{setting}"


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, default_flow_style=True).split("\n")[0].strip()
