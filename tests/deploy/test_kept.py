"""Kept detectors: what lies beside a record, how it is found, that it is the one that was measured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchmark as ib
from benchmark.data.geometry import Geometry
from benchmark.errors import DataError, StoreError, WeightsError
from benchmark.records import kept as kept_files

from .conftest import PLUGIN, Run

Bench = Callable[..., tuple[int, str]]


def test_predict_gives_the_very_scores_and_maps_of_the_record(run: Run, tmp_path: Path) -> None:
    kept = run.kept("padim")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(kept.path.parent, elsewhere / "folder" / "standard-32px" / kept.info["config"])
    detector = ib.load_detector(elsewhere, device="cpu")
    proof = ib.prove(detector, data_root=run.data)
    assert proof.images == 17 and proof.equal and proof.auroc[0] == proof.auroc[1]
    assert proof.scores.of_range == 0 and proof.maps is not None
    assert "very scores" in detector.closeness()


def test_another_batch_size_is_as_close_as_the_detector_says(run: Run) -> None:
    detector = ib.load_detector(run.kept("padim").path, device="cpu")
    assert ib.prove(detector, data_root=run.data, batch_size=5).worst < 1e-5
    assert detector.kept.info["alone"]["of_range"] < 1e-5
    assert detector.kept.info["alone"]["images"] == 8


def test_a_record_cites_its_detector_which_holds_what_is_needed(run: Run) -> None:
    kept = run.kept("padim")
    record = json.loads(kept.record.read_text())
    cited = record["files"]["detector"]
    assert cited == {"name": kept.path.name, "sha256": kept_files.file_digest(kept.path)}
    assert kept.threshold == record["metrics"]["threshold"] == kept.pixel_threshold
    assert kept.info["threshold"]["held_out_images"] == 1
    assert kept.info["threshold"]["false_alarms"] == 0.5
    assert kept.geometry == Geometry(resize=(32, 32)) and kept.size == (32, 32)
    assert kept.key["weights"][0]["backbone"] == "resnet18"


def test_a_record_without_its_detector_is_made_again_when_one_is_wanted(
    bench: Bench, run: Run, tmp_path: Path
) -> None:
    given: list[Any] = [
        "run",
        "--methods",
        "mean_colour",
        "--plugin",
        PLUGIN,
        "--dataset",
        "folder",
    ]
    given += ["--data-root", run.data, "--results", tmp_path, "--categories", "pin"]
    assert bench(*given)[0] == 0
    refused = bench("predict", "x.png", "--detector", tmp_path, "--out", tmp_path / "out")
    assert refused[0] == 2 and "bench run --keep" in refused[1]
    assert "already done" not in bench(*given, "--keep")[1]
    assert "already done" in bench(*given, "--keep")[1] and "already done" in bench(*given)[1]
    assert bench(*given, "--force")[0] == 0  # leaves no detector that nobody cites
    assert not list(tmp_path.rglob("*.detector.*"))


def test_seeds_that_share_a_fit_share_its_detector(run: Run, tmp_path: Path) -> None:
    plugin = tmp_path / "still.py"
    text = PLUGIN.read_text().replace('    title = "Mean', '    draws = False\n    title = "Mean')
    plugin.write_text(text)
    shutil.copytree(run.data / "nut", tmp_path / "data" / "nut.v2")
    results = str(tmp_path / "runs")
    given: dict[str, Any] = {
        "plugin": [str(plugin)],
        "data_root": str(tmp_path / "data"),
        "results": results,
    }
    assert ib.run("still", "folder", seeds=[0, 1], keep=True, **given).ok
    for seed in (0, 1, None):
        found = kept_files.find("still", [results], seed=seed)
        assert found.seed == (seed or 0) and found.record.exists() and found.state().tensors


def test_several_candidates_are_listed(run: Run) -> None:
    with pytest.raises(StoreError, match="2 kept detectors") as error:
        ib.load_detector("mean_colour", results=run.results)
    assert "nut seed 0" in str(error.value) and "pin seed 0" in str(error.value)
    named = ib.load_detector(
        "mean_colour", results=run.results, category="pin", plugin=[PLUGIN], device="cpu"
    )
    assert named.kept.key["category"] == "pin"
    with pytest.raises(StoreError, match="category cup"):
        ib.load_detector("mean_colour", results=run.results, category="cup")


def test_a_readable_name_a_record_and_a_folder_name_the_same_detector(run: Run) -> None:
    kept = run.kept("padim")
    for named in (kept.name, kept.record, kept.path, kept.path.parent):
        assert kept_files.find(named, [run.results]).path == kept.path


def test_a_damaged_detector_is_refused(run: Run, tmp_path: Path) -> None:
    kept = run.kept("mean_colour")
    shutil.copytree(kept.path.parent, tmp_path / "copy")
    state = next((tmp_path / "copy").glob("nut*.detector.safetensors"))
    data = bytearray(state.read_bytes())
    data[-1] ^= 1
    state.write_bytes(data)
    with pytest.raises(StoreError, match="differs from what its detector cites"):
        ib.load_detector(tmp_path / "copy", category="nut", plugin=[PLUGIN])
    state.unlink()
    with pytest.raises(StoreError, match="copy the two files together"):
        ib.load_detector(tmp_path / "copy", category="nut", plugin=[PLUGIN])


def test_other_weights_are_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / run.kept("padim").path.name
    text = run.kept("padim").path.read_text()
    path.write_text(text.replace(run.kept("padim").key["weights"][0]["sha256"], "0" * 16))
    with pytest.raises(WeightsError, match="resnet18 from random"):
        ib.load_detector(path)


def test_arrays_of_any_size_are_judged_and_get_maps_of_their_own_size(run: Run) -> None:
    detector = ib.load_detector(run.kept("padim").path, device="cpu")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (h, 50, 3), np.uint8) for h in (32, 70)]
    verdicts = detector.predict(images)
    assert [v.map.shape for v in verdicts if v.map is not None] == [(32, 50), (70, 50)]
    assert all(v.decision == "defective" and v.margin and v.margin > 0 for v in verdicts)
    with pytest.raises(DataError, match="uint8 RGB"):
        detector.predict([images[0].astype(float)])


def test_a_map_goes_back_to_where_the_detector_looked() -> None:
    geometry = Geometry(resize=8, crop=4)
    back = geometry.on_image(np.full((4, 4), 7.0), 16, 32)
    inside = np.zeros((16, 32), bool)
    inside[4:12, 12:20] = True
    assert (back[inside] == 7).all() and np.isnan(back[~inside]).all()
