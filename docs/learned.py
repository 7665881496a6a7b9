"""docs/learned.md from our own records: python docs/learned.py (or make tables).

What the methods that learn reach by the length of their training, beside what they are without any.
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
PUBLISHED = HERE.parent / "results" / "published"

PAGE = """# Methods that learn, by the length of their training

Made by `make tables` (docs/learned.py) from the records in [results/reference](../results/reference), which
`PARTS="oneclass rebuild learned pretrained" make reference …` makes again.

## Defects

Every cell: bottle / screw of MVTec AD / `fabric`, a drawn texture. Two cores and a few minutes per training.
Each method once after next to nothing (a single step) and once to three times after a small part of its
schedule, on images of `side` pixels; what differs from the paper's settings stands in the records, under
[fidelity](fidelity.md) beside the numbers of the papers' tables, and in `results/reference/make.sh`. Nothing
was chosen by its result. `published` is what the papers' tables print for full schedules, `third party` what
another implementation's authors do. IGD's account is [its own](../methods/igd/README.md).

{short}

- **Screw** is not a fair test of a score: its good test images are darker than its good training images, which
  alone has an AUROC of 1.000 (`bench data mvtec --shortcuts`). An untrained network that rebuilds follows
  brightness and has what brightness has; what learns the looks of training images may then find the good
  test images the stranger ones, and fall below one half. Maps, which compare places within an image, are
  nearer to the truth there. The one map below that of its untrained self is RIAD's: a painter that has
  learned nothing errs wherever there is screw, and the defects are on the screws.
- **How far from the papers**: the schedules are between a two-hundredth and an eighth of theirs, most images
  have a quarter or a sixteenth of the pixels, most networks are narrower. What reads a pre-trained backbone
  (`mkd`, `simplenet`) is near already on bottle; what starts from nothing is not. SimpleNet's paper has means
  of .996 and .981 over all categories, of the epoch that is best on the test images; ours is the last.
- `l2_ae` and `ssim_ae` have seen 10,240 views of 2,000,000 in 640 steps. The PRO of `l2_ae` rises with the
  length of training and is far from its end. `ssim_ae` rests before it rises: as long as the code says
  nothing of an image, an even grey is the most similar picture, and a training stays there for 100 to 500
  steps, whose loss stands still (.51 on bottle, .68 on fabric) and whose maps stay those of an untrained
  network: high wherever there is structure, which on screw is where the defects are.
- `cutpaste_control`, the same Gaussian on an untouched backbone, is ahead of `cutpaste`, which has seen a few
  hundred images; an untrained network with a Gaussian is not far behind either.
- `efficient_ad` learns from a teacher that was itself distilled in minutes, from ResNet-18, on small images. On
  128 pixels a quarter of its map's sides is border.

## One class of small images

Mean image AUROC over the ten classes, seed 0, and the means of [IGD's Table 1](tables/igd-1.md).

{one_class}

The longest rows of `memae` and `deep_svdd` are whole schedules (`FULL=1 PARTS=oneclass make reference …`), on MNIST
within .02 of what was published. The others are far from theirs: `dae` and `vae` have seen 8,000 images of
1,200,000, `igd` 1,200 of 768,000. `dae` is ahead of the published mean all the same, whose network is not
described anywhere.

- `deep_svdd` follows the authors' PyTorch code. MNIST's published numbers are of their first code, which starts the
  first layer from a dictionary of patches and does not slow down in pre-training; Fashion-MNIST's is copied from
  runs of others: neither code has this data set.
- `memae` remembers whole images here. Asked position by position, as in the authors' code for videos, it rebuilds
  any digit from 16 places of 64 numbers, and its mean is far lower (`--set memae.query=position`).
- The two without a schedule are the published methods on the same images, and yet off: what their tables ran can
  hardly have been these (the docstring of `kde_pixels` says why).
"""
METRICS = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "pro": "PRO"}
NONE = "–"
CATEGORIES = ("bottle", "screw", "fabric")
ONE_CLASS = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
REBUILD = (
    *("l2_ae", "ssim_ae", "dae", "vae", "memae", "deep_svdd", "ganomaly", "f_anogan"),
    *("mkd", "simplenet", "efficient_ad", "riad", "cutpaste", "cutpaste_control", "draem"),
)
SINGLE = ("dae", "vae", "memae", "deep_svdd", "oc_svm_pixels", "kde_pixels", "igd")

THIRD_PARTY = {"efficient_ad": "PDN-S"}
"""Settings of third parties' numbers, of methods that no table of our papers has by category."""

CLASSES = 10
"""Of each of these data sets."""

KEYS = {"deep_svdd": "dsvdd"}
"""Of the published rows, where a method's own name is another."""


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
    return frame


def number(values: pd.Series[Any]) -> str:
    """Write the mean of a metric, a dash where there is none."""
    mean = values.mean()
    return NONE if pd.isna(mean) else f"{mean:.3f}".removeprefix("0")


def spread(counts: pd.Series[Any]) -> str:
    """Write how many steps the runs of one configuration took."""
    low, high = counts.min(), counts.max()
    return f"{low:,}" if low == high else f"{low:,} – {high:,}"


def cells(frame: pd.DataFrame) -> list[str]:
    """Write one cell per metric, with a number per category; empty where there is none at all."""
    out = []
    for metric in METRICS:
        values = [number(frame[frame["category"] == c][metric]) for c in CATEGORIES]
        out.append("" if set(values) == {NONE} else " / ".join(values))
    return out


def published(method: str, setting: str = "") -> pd.DataFrame:
    """Numbers on these categories, a column per metric: the papers' tables', or third parties' for a setting."""
    frame = pd.read_csv(PUBLISHED / ("third_party.csv" if setting else "published.csv"))
    frame = frame[(frame["method_key"] == method) & (frame["dataset"] == "mvtec")]
    frame = frame[frame["setting"] == setting] if setting else frame
    frame = frame.assign(value=frame["value"] / (1 + 99 * (frame["unit"] == "percent")))
    wide = frame.pivot_table(index="category", columns="metric", values="value").reset_index()
    return wide.reindex(columns=["category", *METRICS])


def short_trainings() -> str:
    """Each method by length of training: image AUROC, pixel AUROC and PRO of three categories."""
    frame = records(REBUILD)
    frame = frame[frame["category"].isin(CATEGORIES)]
    rows = []
    for method in REBUILD:
        runs = frame[frame["method"] == method]
        groups = sorted(runs.groupby("config"), key=lambda group: group[1]["steps"].mean())
        for place, (_, rows_of) in enumerate(groups):
            name = "" if place else f"`{method}`"
            side = rows_of["geometry"].iloc[0]["resize"][0]
            rows.append([name, side, spread(rows_of["steps"]), *cells(rows_of)])
        paper = cells(published(method))
        rows += [["", "", "published", *paper]] if any(paper) else []
        if method in THIRD_PARTY:
            rows.append(["", "", "third party", *cells(published(method, THIRD_PARTY[method]))])
    return tabulate(
        rows, ["", "side", "steps", *METRICS.values()], "github", disable_numparse=True,
        colalign=["left", "right", "right", "center", "center", "center"],
    )  # fmt: skip


def one_class() -> str:
    """Mean image AUROC over the classes of both data sets, of every configuration that has all of one."""
    frame = records(SINGLE)
    frame = frame[frame["seed"] == 0]
    means = pd.read_csv(PUBLISHED / "published.csv")
    means = means[(means["paper"] == "igd") & (means["category"] == "mean")]
    rows = []
    for method in SINGLE:
        own = frame[frame["method"] == method]
        whole = {
            key: runs
            for key, runs in own.groupby(["config", "dataset"])
            if runs["category"].nunique() == CLASSES and key[1] in ONE_CLASS
        }
        lengths = {config: whole[config, name]["steps"].mean() for config, name in whole}
        for place, config in enumerate(sorted(lengths, key=lambda c: (lengths[c], c))):
            row = ["" if place else f"`{method}`"]
            for dataset in ONE_CLASS:
                paper = means[
                    (means["dataset"] == dataset)
                    & (means["method_key"] == KEYS.get(method, method))
                ]
                runs = whole.get((config, dataset))
                row += (
                    [NONE] * 2
                    if runs is None
                    else [number(runs["image_auroc"]), spread(runs["steps"])]
                )
                row.append("" if place else number(paper["value"].head(1)))
            rows.append(row)
    heads = [
        f"{label}{what}" for label in ONE_CLASS.values() for what in ("", ", steps", ", published")
    ]
    return tabulate(
        rows, ["", *heads], "github", disable_numparse=True,
        colalign=["left", *["right"] * len(heads)],
    )  # fmt: skip


def page() -> str:
    """Fill the page."""
    return PAGE.format(short=short_trainings(), one_class=one_class())


def main() -> None:
    (HERE / "learned.md").write_text(page())


if __name__ == "__main__":
    main()
