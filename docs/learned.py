"""docs/learned.md from our own records: python docs/learned.py (or make tables).

What the methods that learn reach after a small part of their training, beside what they are without.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

import benchmark

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "reference"
PUBLISHED = HERE.parent / "results" / "published" / "published.csv"

PAGE = """# Methods that learn, after a small part of their training

Made by `make tables` (docs/learned.py) from the records in [results/reference](../results/reference), which
`PARTS="oneclass rebuild learned pretrained" make reference …` makes again.

## Defects

Bottle and screw of MVTec AD and `fabric`, a drawn texture; two cores and a few minutes per training. Each
method once after next to nothing (a single step) and once, or twice, after a small part of its schedule, on
images of `side` pixels; what differs from the paper's settings stands in the records, under
[fidelity](fidelity.md) beside the numbers of the papers' tables, and in `results/reference/make.sh`. Nothing
was chosen by its result. `published` is what the papers' tables print for full schedules. IGD's account is
[its own](../methods/igd/README.md).

{short}

{reasons}

## One class of small images

Mean image AUROC over the ten classes, seed 0. Beside the published means: [IGD's Table 1](tables/igd-1.md).

{one_class}

{one_reasons}

## Lines

Of each method's file or folder, docstrings and comments included; what they share is in `methods/_parts`.

{lines}
"""
REASONS = """TODO"""
ONE_REASONS = """TODO"""
METRICS = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "pro": "PRO"}
CATEGORIES = ("bottle", "screw", "fabric")
ONE_CLASS = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
REBUILD = (
    *("l2_ae", "ssim_ae", "dae", "vae", "memae", "deep_svdd", "ganomaly", "f_anogan"),
    *("mkd", "simplenet", "efficient_ad", "riad", "cutpaste", "cutpaste_control", "draem"),
)
SINGLE = ("dae", "vae", "memae", "deep_svdd", "oc_svm_pixels", "kde_pixels", "igd")


def steps(facts: dict[str, Any]) -> int:
    """Add up the steps of all of a record's trainings."""
    nested = (steps(value) for value in facts.values() if isinstance(value, dict))
    return int(facts.get("steps", 0)) + sum(nested)


def records(methods: tuple[str, ...]) -> pd.DataFrame:
    """Our records of these methods, with the steps that each was trained for."""
    frame = benchmark.load_results(RESULTS)
    frame = frame[frame["method"].isin(methods) & (frame["status"] == "ok")].copy()
    kept = [json.loads(Path(path).read_text()) for path in frame["path"]]
    frame["steps"] = [steps(record["facts"]) for record in kept]
    frame["side"] = [record["key"]["geometry"]["resize"][0] for record in kept]
    return frame


def number(values: pd.Series[Any]) -> str:
    """Write the mean of a metric, a dash where there is none."""
    mean = values.mean()
    return "–" if pd.isna(mean) else f"{mean:.3f}".removeprefix("0")


def spread(counts: pd.Series[Any]) -> str:
    """Write how many steps the runs of one configuration took."""
    low, high = counts.min(), counts.max()
    return f"{low:,}" if low == high else f"{low:,} – {high:,}"


def published(method: str) -> list[list[str]]:
    """The row of a paper's own numbers on the same categories, if a table has any."""
    frame = pd.read_csv(PUBLISHED)
    frame = frame[(frame["method_key"] == method) & (frame["dataset"] == "mvtec")]
    cells = []
    for metric in METRICS:
        for category in CATEGORIES:
            found = frame[(frame["metric"] == metric) & (frame["category"] == category)]
            share = found["value"] / found["unit"].map({"percent": 100.0, "fraction": 1.0})
            cells.append(number(share))
    return [] if set(cells) == {"–"} else [["", "", "published", *cells]]


def short_trainings() -> str:
    """Each method by length of training: image AUROC, pixel AUROC and PRO of three categories."""
    frame = records(REBUILD)
    frame = frame[frame["category"].isin(CATEGORIES)]
    rows = []
    for method in REBUILD:
        runs = frame[frame["method"] == method]
        groups = sorted(runs.groupby("config"), key=lambda group: group[1]["steps"].mean())
        for place, (_, rows_of) in enumerate(groups):
            by_category = {c: rows_of[rows_of["category"] == c] for c in CATEGORIES}
            cells = [number(by_category[c][metric]) for metric in METRICS for c in CATEGORIES]
            name = "" if place else f"`{method}`"
            rows.append([name, rows_of["side"].iloc[0], spread(rows_of["steps"]), *cells])
        rows += published(method)
    heads = [f"{label}, {c}" for label in METRICS.values() for c in CATEGORIES]
    return tabulate(
        rows, ["", "side", "steps", *heads], "github", disable_numparse=True,
        colalign=["left", *["right"] * (2 + len(heads))],
    )  # fmt: skip


def one_class() -> str:
    """Mean image AUROC over the classes of both data sets."""
    frame = records(SINGLE)
    rows = []
    for method in SINGLE:
        row = [f"`{method}`"]
        for dataset in ONE_CLASS:
            runs = frame[(frame["method"] == method) & (frame["dataset"] == dataset)]
            groups = runs.groupby("config")
            widest = max(groups, key=lambda group: group[1]["category"].nunique())[1]
            seed = widest[widest["seed"] == 0]
            row += [number(seed["image_auroc"]), str(len(seed)), spread(seed["steps"])]
        rows.append(row)
    heads = [
        f"{label}{what}" for label in ONE_CLASS.values() for what in ("", ", classes", ", steps")
    ]
    return tabulate(
        rows, ["", *heads], "github", disable_numparse=True,
        colalign=["left", *["right"] * len(heads)],
    )  # fmt: skip


def lines() -> str:
    """Lines of every method's own file or folder, comments and docstrings among them."""
    rows = []
    for method in REBUILD:
        alone = HERE.parent / "methods" / f"{method}.py"
        files = [alone] if alone.exists() else sorted((alone.parent / method).glob("*.py"))
        counts = [len(path.read_text().splitlines()) for path in files]
        if counts:  # a preset has no file
            rows.append([f"`{method}`", sum(counts), counts[0]])
    return tabulate(rows, ["", "lines", "of them in the method's first file"], "github")


def page() -> str:
    """Fill the page."""
    return PAGE.format(
        short=short_trainings(), reasons=REASONS, one_class=one_class(), one_reasons=ONE_REASONS,
        lines=lines(),
    )  # fmt: skip


def main() -> None:
    (HERE / "learned.md").write_text(page())


if __name__ == "__main__":
    main()
