"""Scores of one data set never meet another's images or masks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.plots.common import picture_of, picture_over

Bench = Callable[..., tuple[int, str]]
PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "mean_colour.py"
PIXEL = ("--metric", "pixel_auroc")
VIEWS = {
    "table": ["table", "per-category", *PIXEL, "--check"],
    "compare": ["compare", "Mean colour", "Mean colour (sigma=2.0)", *PIXEL],
    "gallery": ["plot", "gallery", "--count", "1"],
    "curves": ["plot", "curves"],
    "report": ["report"],
    "evaluate": ["evaluate"],
}


@pytest.fixture
def run(bench: Bench, toy: Path) -> Bench:
    """``bench run`` of two settings of the example plugin on one category."""

    def call(*more: object) -> tuple[int, str]:
        base = ["run", "--dataset", "folder", "--data-root", toy, "--plugin", PLUGIN]
        base += ["--methods", "mean_colour", "--categories", "nut", *more]
        bench(*base, "--set", "mean_colour.sigma=2.0")
        return bench(*base)

    return call


def one_record(root: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(min(root.rglob("*-seed0.json")).read_text())
    return record


def other_image(toy: Path) -> str:
    path = toy / "nut" / "test" / "good" / "001.png"
    shutil.copy(path.with_name("000.png"), path)
    return "test image test/good/001.png is another one than was scored"


def other_label(toy: Path) -> str:
    folder = toy / "nut" / "test" / "good"
    (folder / "003.png").rename(folder / "004.png")
    return "test image test/good/003.png was scored and is not in the data set now"


def new_image(toy: Path) -> str:
    folder = toy / "nut" / "test" / "good"
    shutil.copy(folder / "003.png", folder / "004.png")
    return "test image test/good/004.png is new and was not scored"


def other_mask(toy: Path) -> str:
    path = toy / "nut" / "ground_truth" / "square" / "001_mask.png"
    Image.fromarray(np.roll(np.array(Image.open(path)), 6, axis=1)).save(path)
    return (
        "masks have changed since it was run (1 of 8 test images, the first is test/square/001.png"
    )


@pytest.mark.parametrize("change", [other_image, other_label, new_image, other_mask])
def test_every_change_of_the_test_images_is_told_by_name(
    run: Bench, bench: Bench, toy: Path, change: Callable[[Path], str]
) -> None:
    run()
    command = ["table", "per-category", *PIXEL, "--check", "--plugin", PLUGIN, "--data-root", toy]
    assert bench(*command)[0] == 0
    why = change(toy)
    status, out = bench(*command)
    assert status == 1 and why in out and "WRONG" not in out, out


@pytest.mark.parametrize("view", VIEWS)
def test_scores_are_never_shown_with_other_images(
    run: Bench, bench: Bench, toy: Path, tmp_path: Path, view: str
) -> None:
    run()
    why = other_image(toy)
    status, out = bench(*VIEWS[view], "--plugin", PLUGIN, "--data-root", toy)
    assert status == 1 and why in out, out
    assert not [*tmp_path.rglob("mean-colour*.png")]


def test_corrected_masks_are_measured_again_and_the_run_stays_done(
    run: Bench, bench: Bench, toy: Path, tmp_path: Path
) -> None:
    run()
    results = tmp_path / "results"
    old = one_record(results)
    other_mask(toy)
    status, out = run()
    assert status == 1 and "bench evaluate measures it again" in out
    status, out = bench("evaluate", "--data-root", toy)
    assert status == 0 and "only masks have changed" in out and "test/square/001.png" in out
    assert "2 records evaluated, 2 of them changed" in out
    new = one_record(results)
    assert new["metrics"]["pixel_auroc"] != old["metrics"]["pixel_auroc"]
    assert new["metrics"]["image_auroc"] == old["metrics"]["image_auroc"]
    kept = {file["name"] for file in new["files"].values()}
    assert kept < {path.name for path in results.rglob("*")} and len([*results.rglob("*.npz")]) == 2
    status, out = run()
    assert status == 0 and "already done" in out
    assert one_record(results) == new
    assert "0 of them changed" in bench("evaluate", "--data-root", toy)[1]
    status, out = run("--force")
    assert one_record(results)["metrics"] == new["metrics"]


@pytest.mark.parametrize("also", ["train", "maps", "old"])
def test_evaluate_refuses_where_more_than_masks_may_have_changed(
    run: Bench, bench: Bench, toy: Path, tmp_path: Path, also: str
) -> None:
    run(*(["--no-maps"] if also == "maps" else []))
    if also == "train":
        shutil.copy(toy / "nut/train/good/000.png", toy / "nut/train/good/001.png")
    if also == "old":  # a score file from before masks' hashes were kept
        from dataclasses import replace

        from benchmark.records import store

        for path in (tmp_path / "results").rglob("*-seed0.json"):
            record = json.loads(path.read_text())
            scores = store.Scores.read(path.parent, record["files"]["scores"])
            record["files"]["scores"] = replace(scores, mask_keys=None).write_beside(path)
            path.write_text(json.dumps(record))
    before = one_record(tmp_path / "results")
    assert bench("evaluate", "--data-root", toy)[0] == (also == "train")
    other_mask(toy)
    status, out = bench("evaluate", "--data-root", toy)
    assert status == 1 and "--force" in out and "2 not" in out
    assert one_record(tmp_path / "results") == before


def test_pictures_of_two_categories_or_configurations_never_share_a_name() -> None:
    names = ["a b", "a-b", "A b", "a(b", "a/b"]
    rows = [{"name": n, "config": c, "window": "64×64"} for n, c in (("M", "m@1"), ("m", "m@2"))]
    one = {picture_of(row, category=name) for row in rows for name in names}
    assert len(one) == len(rows) * len(names)
    assert len({picture_over(rows[0], "curves", name) for name in names}) == len(names)
