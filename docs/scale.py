"""docs/scale.md from the cost fields of our own records: python docs/scale.py (or make tables).

What a study of Real-IAD's size costs. Measured figures come from results/reference; what is assumed
is a constant below, and is called so on the page.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

import benchmark
from benchmark.plugins.registry import Registry
from benchmark.records import store

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "reference"

CATEGORIES, METHODS, SEEDS, SIDE = 30, 40, 5, 256
TRAIN, TEST = 36_465, 114_585
"""Images of Real-IAD's multi-view split: 151,050 in all."""
TRAINED_SHARE = 0.4
FASTER = 30
"""How many times faster a GPU is than the two or fewer cores of the records."""
LAYERS = {"resnet18": (64, 128, 256), "wide_resnet50_2": (256, 512, 1024)}
"""Channels of the three levels that most methods read, at a quarter, an eighth and a sixteenth."""
SECONDS = (
    *("method", "records", "fit, s", "fit per training image, s", "predict per test image, s"),
    *("metrics per test image, s", "stored, MB", "stored per training image, MB", "peak, GB"),
)

PAGE = """# A large study, on paper

Made by `make tables` (docs/scale.py) from the cost fields of the records in
[results/reference](../results/reference). The study: Real-IAD, {images:,} images in {categories}
categories, {methods} methods, {seeds} seeds, protocol `standard` at {side} × {side}: {cells:,} cells.

**Measured**: the seconds, memory and stored bytes of the records, all on a processor with one or two
threads, and the bytes of files. **Assumed**, since no record says it: the split into {train:,} training
and {test:,} test images in categories of equal size; that the {methods} methods are like the measured
ones, {trained:.0%} of them trained, for as many steps as in the records (short schedules, some of them:
a full one costs more); that a GPU is {faster} times as fast as the processor of the records; that reading
and decoding keep pace with it. Time scales with these: with another assumption, run the script again.

## Measured

Means per method over its records on MVTec AD. Where there are several backbones, or images of another
size, all of them count.

{measured}

## Hours

Per cell of this study: frozen features {frozen_cell:.0f} s, trained {trained_cell:.0f} s on that processor;
in all {hours:,.0f} hours there, {gpu_hours:,.0f} on one GPU. A category is the unit that is handed out, so
no more than {categories} GPUs work on one results folder.

{machines}

* Two runs with half of the methods each, on folders of their own, joined by `bench merge`.

## Disk

{disk}

## Memory

Per worker: {pixels:.1f} GB of decoded pixels of a category (beyond a bound in a temporary file), the
features' cache (0.5 GB, then a temporary file of up to 64 GB), and the method: the largest peak of a
process among the records is {peak:.1f} GB. What a method keeps grows with the training images only where
it keeps them: SPADE's {spade:.2f} MB per image become {spade_all:.1f} GB of a category here.

Features of one category, three levels in float32, computed from their shapes: {features}.
They lie in the temporary folder of each worker: with several workers on a machine this is what to provide
for.

## The bottleneck

- **1 GPU**: time. The trained methods take {trained_part:.0%} of it.
- **8 GPUs**: the temporary disk of one machine, 8 times a category's features, and its cores: each GPU wants
  its images decoded and its metrics computed ({metric:.0f} s per cell on the records' processor for the
  {test_category:,} test images of a category).
- **64 GPUs**: the number of categories; and the disk for maps, without `--no-maps`.
"""


def measured() -> pd.DataFrame:
    """Means per method over our records: seconds per image, per fit, bytes, peaks."""
    frame = benchmark.load_results(RESULTS)
    frame = frame[(frame["source"] == "mvtec") & (frame["status"] == "ok")].copy()
    official = Registry().dataset("mvtec").official
    counts = [official[category] for category in frame["category"]]
    frame["train"] = [count["train"] for count in counts]
    frame["test"] = [count["good"] + count["defective"] for count in counts]
    records = [json.loads(Path(path).read_text()) for path in frame["path"]]
    columns = {
        "cells": ("seed", "size"),
        "fit": ("fit_seconds", "mean"),
        "fit per image": ("fit_seconds per train", "mean"),
        "predict per image": ("predict_seconds per test", "mean"),
        "metrics per image": ("metric_seconds per test", "mean"),
        "stored MB": ("stored_bytes", "mean"),
        "stored MB per image": ("stored_bytes per train", "mean"),
        "peak GB": ("peak_bytes", "max"),
        "trained": ("trained", "max"),
    }
    frame["metric_seconds"] = [record["cost"]["metric_seconds"] for record in records]
    # the time of a method without a loss curve grows with the images; others train for some steps
    frame["trained"] = [bool(record["curves"]) for record in records]
    for column, images in (
        *(("fit_seconds", "train"), ("predict_seconds", "test")),
        *(("metric_seconds", "test"), ("stored_bytes", "train")),
    ):
        frame[f"{column} per {images}"] = frame[column] / frame[images]
    table = frame.groupby("method").agg(**columns)
    table[["stored MB", "stored MB per image"]] /= 1e6
    table["peak GB"] /= 1e9
    return pd.DataFrame(table)


def bytes_of_scores(count: int) -> int:
    """The size of a score file with so many test images."""
    with tempfile.TemporaryDirectory() as folder:
        path = store.CellPath(Path(folder), "d", "p", "m", "0" * 8, "c", 0)
        path.folder.mkdir(parents=True)
        ids = [f"test/defective/{i:04}" for i in range(count)]
        keys = [f"{i:064x}" for i in range(count)]
        numbers = np.zeros(count)
        kept = count // 30
        cited = store.Scores(
            ids, keys, numbers, ["defective"] * count, numbers, numbers[:kept], keys[:kept], keys
        ).write(path)
        return (path.folder / cited["name"]).stat().st_size


def main() -> None:
    (HERE / "scale.md").write_text(page())


def page() -> str:
    """Compute what the study costs, and write the page."""
    table = measured()
    learns = table.pop("trained").astype(bool)
    frozen, trained = table[~learns], table[learns]
    train, test = TRAIN / CATEGORIES, TEST / CATEGORIES
    predicting, metric = table["predict per image"] * test, table["metrics per image"] * test
    cells = CATEGORIES * METHODS * SEEDS
    cell = {
        "frozen": (frozen["fit per image"] * train + predicting + metric).dropna().mean(),
        "trained": (trained["fit"] + predicting + metric).dropna().mean(),
    }
    share = {"frozen": 1 - TRAINED_SHARE, "trained": TRAINED_SHARE}
    hours = cells * sum(cell[kind] * share[kind] for kind in cell) / 3600
    rows = []
    for gpus, folders in ((1, 1), (8, 1), (64, 1), (64, 2)):
        rounds = math.ceil(CATEGORIES * folders / gpus)
        wall = hours / FASTER / (CATEGORIES * folders) * rounds
        busy = min(1, CATEGORIES * folders / gpus / rounds)
        rows.append([f"{gpus}{'*' if folders > 1 else ''}", rounds, f"{wall:,.0f}", f"{busy:.0%}"])
    scores = bytes_of_scores(round(test)) * cells / 1e9
    files = [path.stat().st_size for path in RESULTS.rglob("*-seed*.json")]
    maps = TEST * METHODS * SEEDS * SIDE * SIDE * 4 / 1e12
    disk = [
        [
            "records",
            f"{cells * sum(files) / len(files) / 1e9:.2f} GB",
            "mean of our records' files",
        ],
        ["score files", f"{scores:.0f} GB", "a file of as many images, written for this page"],
        [
            "anomaly maps",
            f"{maps:.1f} TB",
            "float32, images × methods × seeds; none with --no-maps",
        ],
    ]
    of_images = (TRAIN + TEST) / CATEGORIES
    features = {
        name: of_images
        * 4
        * sum(c * (SIDE // d) ** 2 for c, d in zip(channels, (4, 8, 16), strict=True))
        for name, channels in LAYERS.items()
    }
    spade = float(table["stored MB per image"]["spade"])
    return PAGE.format(
        images=TRAIN + TEST, categories=CATEGORIES, methods=METHODS, seeds=SEEDS, side=SIDE,
        cells=cells, train=TRAIN, test=TEST, trained=TRAINED_SHARE, faster=FASTER,
        measured=tabulate(table.itertuples(), [*SECONDS], "github", floatfmt=".3g"),
        frozen_cell=cell["frozen"], trained_cell=cell["trained"], hours=hours,
        gpu_hours=hours / FASTER,
        machines=tabulate(rows, ["GPUs", "categories one after the other", "hours", "busy"], "github",
                          colalign=["right"] * 4, disable_numparse=True),
        disk=tabulate(disk, ["", "", "from"], "github", disable_numparse=True),
        pixels=of_images * SIDE * SIDE * 3 / 1e9,
        peak=table["peak GB"].max(),
        spade=spade,
        spade_all=spade * train / 1e3,
        features=", ".join(f"{name} {size / 1e9:.1f} GB" for name, size in features.items()),
        trained_part=cell["trained"] * TRAINED_SHARE / sum(cell[k] * share[k] for k in cell),
        metric=metric.mean(), test_category=round(test),
    )  # fmt: skip


if __name__ == "__main__":
    main()
