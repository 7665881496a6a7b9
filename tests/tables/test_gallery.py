"""Galleries: which images, in which order, and files that are pictures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import benchmark
from benchmark.cli.parser import main
from benchmark.data.geometry import Geometry
from benchmark.plots.gallery import draw, gallery, outside, ranked
from benchmark.records.stored import Datasets, one_seed

from .conftest import TOY, Record, keep_scores


def test_worst_misses_and_false_alarms_come_first(record: Record, toy: Path, results: Path) -> None:
    keep_scores(record("nut", **TOY), toy, [1, 5, 3, 0, 4, 2, 9, 8])
    stored = one_seed(benchmark.load_results(results))[0]
    misses, alarms = ranked(stored, Datasets(toy).category("folder", "nut"), 2)
    assert [m.sample.id for m in misses] == ["test/square/001.png", "test/square/000.png"]
    assert [a.sample.id for a in alarms] == ["test/good/001.png", "test/good/002.png"]
    assert "2 of 4 good score as high or higher" in misses[0].caption
    assert "2 of 4 defective score as low or lower" in alarms[0].caption


@pytest.mark.parametrize("form", ["png", "pdf", "svg"])
def test_the_command_writes_one_file_per_method_and_category(
    record: Record, toy: Path, results: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_scores(record("nut", **TOY), toy, range(8))
    arguments = ["plot", "gallery", "--results", str(results), "--data-root", str(toy)]
    assert main([*arguments, "--format", form]) == 0
    file = Path(capsys.readouterr().out.strip())
    assert file.parent == results / "pictures" / "toy" / "paper"
    assert re.fullmatch(rf"spade@[0-9a-f]{{8}}-nut\.{form}", file.name)
    if form == "png":
        with Image.open(file) as picture:
            assert len(np.unique(np.asarray(picture))) > 50
    assert len(benchmark.load_results(results)) == 1  # pictures are no records


def test_a_record_without_maps_or_scores_is_shown_or_explained(
    record: Record, toy: Path, results: Path
) -> None:
    said: list[str] = []
    path = record("nut", **TOY)
    keep_scores(path, toy, range(8), maps=False)
    frame = benchmark.load_results(results)
    assert gallery(frame, results / "out", Datasets(toy), say=said.append)
    next(path.parent.glob("*.npz")).unlink()
    assert not gallery(frame, results / "out", Datasets(toy), say=said.append)
    assert "scores cannot be read" in said[0]


def test_a_defect_outside_the_measured_window_is_told() -> None:
    geometry = Geometry(resize=(64, 64), eval_crop=32)
    mask = np.zeros((128, 128), bool)
    mask[:32, :32] = True  # a corner
    assert outside(geometry, mask) == 1.0
    mask[48:80, 48:80] = True  # as many in the middle
    assert outside(geometry, mask) == 0.5
    assert outside(Geometry(resize=(64, 64)), mask) == 0.0


def test_a_squeezed_image_is_shown_at_its_own_aspect(
    record: Record, toy: Path, results: Path
) -> None:
    geometry = {**TOY["geometry"], "resize": [48, 96], "crop": None}
    keep_scores(record("nut", **{**TOY, "geometry": geometry}), toy, range(8), maps=False)
    made = draw(one_seed(benchmark.load_results(results))[0], Datasets(toy), (0.0, 1.0), 1)
    made.draw_without_rendering()
    height, width = 48 * float(made.axes[0].get_aspect()), 96
    with Image.open(next(toy.glob("nut/test/square/*.png"))) as image:
        assert height / width == image.height / image.width
