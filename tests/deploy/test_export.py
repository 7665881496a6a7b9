"""bench export: a graph with the record's numbers, or none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchmark as ib

from .conftest import PLUGIN, Run

pytest.importorskip("onnx", reason='pip install -e ".[onnx]"')
pytest.importorskip("onnxruntime", reason='pip install -e ".[onnx]"')
pytest.importorskip("onnxscript", reason='pip install -e ".[onnx]"')

from benchmark.deploy import proof
from benchmark.deploy.export import Exported
from benchmark.deploy.graph import ExportError, OnnxDetector
from benchmark.deploy.loaded import LoadedDetector
from benchmark.deploy.proof import Difference, Proof

Bench = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def folder(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported detector."""
    detector = ib.load_detector(run.kept("mean_colour").path, plugin=[PLUGIN], device="cpu")
    made = ib.export(detector, tmp_path_factory.mktemp("exported"), data_root=run.data)
    assert made.proof.images == 17 and made.proof.worst < 1e-5 and made.proof.swapped[0] == 0
    return made.folder


def test_a_graph_gives_the_scores_of_the_record_from_8_bit_images(
    bench: Bench, run: Run, photos: Path, tmp_path: Path, folder: Path
) -> None:
    record = run.kept("mean_colour").record
    graph = ib.load_onnx(folder)
    detector = ib.load_detector(record, plugin=[PLUGIN], device="cpu")
    pixels = np.random.default_rng(0).integers(0, 255, (5, 48, 48, 3), np.uint8)
    many, one = graph.predict(list(pixels)), graph.predict([pixels[0]])
    assert many[0].score == pytest.approx(one[0].score, rel=1e-5)
    want = [verdict.score for verdict in detector.predict(list(pixels))]
    assert [verdict.score for verdict in many] == pytest.approx(want, rel=1e-4)
    card = (folder / "card.md").read_text()
    for told in ("uint8 (B, ", "B is any number", "never on defects", "## Licences", "Tolerance"):
        assert told in card
    out = tmp_path / "out"
    status, text = bench("predict", photos, "--onnx", folder, "--out", out, "--no-pictures")
    assert status == 1 and "1 failed" in text and "this graph's scores differed" in text


def test_a_graph_with_other_numbers_is_refused(
    bench: Bench, run: Run, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = OnnxDetector.answer

    def traced(_loaded: Any, _inputs: Any, path: Path) -> str:
        shutil.copy(folder / "detector.onnx", path)
        return "any"

    def off(self: OnnxDetector, inputs: Any, keys: Any) -> Any:
        found = answer(self, inputs, keys)
        return replace(found, scores=found.scores * 1.01)

    monkeypatch.setattr("benchmark.deploy.export.trace", traced)
    record, out = run.kept("mean_colour").record, tmp_path / "out"
    given = ("export", "--detector", record, "--data-root", run.data, "--plugin", PLUGIN)
    status, text = bench(*given, "--out", out)
    assert status == 0 and "within the tolerance" in text
    monkeypatch.setattr(OnnxDetector, "answer", off)
    status, text = bench(*given, "--out", tmp_path / "other")
    assert status == 2 and "gives other numbers than the record" in text
    assert not list((tmp_path / "other").iterdir())


@pytest.mark.parametrize(("alone", "kept"), [(0.0, False), (0.004, True), (0.1, False)])
def test_a_graph_may_differ_as_much_as_the_detector_itself_does(
    run: Run,
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    alone: float,
    kept: bool,
) -> None:
    """Where an image alone gives other numbers than among others, a graph can do no better."""

    def found(judge: Any, given: Any, batch_size: int = 0) -> Proof:
        gap = alone if isinstance(judge, LoadedDetector) else max(0.006, 2 * alone - 0.002)
        return replace(proof.prove(judge, given, batch_size), scores=Difference(gap, gap))

    def traced(_loaded: Any, _inputs: Any, path: Path) -> str:
        shutil.copy(folder / "detector.onnx", path)
        return "any"

    monkeypatch.setattr("benchmark.deploy.export.trace", traced)
    monkeypatch.setattr("benchmark.deploy.export.prove", found)
    detector = ib.load_detector(run.kept("mean_colour").path, plugin=[PLUGIN], device="cpu")

    def exported() -> Exported:
        return ib.export(detector, tmp_path, data_root=run.data, plugin=[PLUGIN])

    if kept:
        assert exported().tolerance == pytest.approx(0.008)
        assert "the detector itself differs by 0.004" in (tmp_path / "card.md").read_text()
    else:
        with pytest.raises(ExportError, match="other numbers .* the detector itself gives others"):
            exported()


def test_code_that_cannot_be_traced_is_refused_in_a_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = ib.load_detector(run.kept("mean_colour").path, plugin=[PLUGIN], device="cpu")
    predict = detector.detector.predict

    def through_numpy(batch: ib.Batch, context: ib.Context) -> ib.Prediction:
        batch.pixels.numpy()
        return predict(batch, context)

    monkeypatch.setattr(detector.detector, "predict", through_numpy)
    with pytest.raises(ExportError, match="mean_colour cannot be exported"):
        ib.export(detector, tmp_path, data_root=run.data)
