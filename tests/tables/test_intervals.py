"""Intervals in every cell: they are those of the resampled test images, and say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import benchmark as ib
from benchmark.errors import SettingsError
from benchmark.records.frame import load_results
from benchmark.records.resample import Draws, image_values
from benchmark.records.stored import Stored
from benchmark.tables import make


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("intervals")
    ib.run(
        ["padim"],
        "synthetic",
        categories=["fabric"],
        weights="random",
        image_size=32,
        seeds=[0, 1],
        results=str(folder),
        set={"padim": {"backbone": "resnet18", "channels": 8, "layers": [1]}},
    )
    return folder


def test_an_interval_is_that_of_the_mean_over_seeds_on_resampled_images(run: Path) -> None:
    frame = load_results(run)
    values = []
    for _, row in frame.iterrows():
        scores = Stored(row).scores
        order = np.argsort(scores.ids)
        draws = Draws.of(np.asarray(scores.labels, bool)[order])
        values.append(image_values(np.asarray(scores.scores)[order], "image_auroc", draws, None))
    low, high = np.quantile(np.mean(values, 0), (0.025, 0.975))
    text = (
        make("per-category", results=[run], intervals=True).replace("\\[", "[").replace("\\]", "]")
    )
    assert f"{frame['image_auroc'].mean():.3f} [{low:.3f}, {high:.3f}]" in text
    assert high - low > 0.01 and "±" not in text and "In brackets: 95 %" in text


def test_pixel_metrics_have_one_too_and_a_summary_has_them_in_every_cell(run: Path) -> None:
    text = make("summary", results=[run], intervals=True, metric=["image_auroc", "pro"])
    line = next(line for line in text.splitlines() if line.startswith("| PaDiM"))
    assert line.count("\\[") == 2


def test_without_scores_the_reason_stands_below(run: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for file in copy.rglob("*.npz"):
        file.unlink()
    text = " ".join(make("per-category", results=[copy], intervals=True).split())
    assert "No interval of PaDiM" in text
    with pytest.raises(SettingsError, match="for per-category and summary"):
        make("ranks", results=[run], intervals=True)
