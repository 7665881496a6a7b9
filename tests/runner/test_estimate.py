"""Rehearsals: bounded in time and memory, and extended to the whole run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark import Context, Training, load_results
from benchmark.machine import requested_memory
from benchmark.runner import estimate
from benchmark.runner.estimate import Rehearsal

GREEDY = '''
import torch
from benchmark import Detector, Prediction
from benchmark.machine import memory

class Greedy(Detector):
    """Asks for half of the machine's memory and never writes to it."""
    title = "Greedy"
    def fit(self, train, context):
        self.rows_ = torch.empty(memory() // 2, dtype=torch.uint8)
        return self
    def predict(self, batch, context):
        return Prediction(torch.zeros(len(batch)))
'''


def trained(images: int, batch: int) -> tuple[list[int], Rehearsal]:
    """Sizes of the steps of a training that is rehearsed."""
    context, rehearsal = Context.alone(), Rehearsal()
    context.progress, context.rehearsal = rehearsal, rehearsal.images
    module = torch.nn.Linear(1, 1)
    training = Training(
        context,
        module,
        torch.optim.SGD(module.parameters(), 0.01),
        title="t",
        images=images,
        batch=batch,
        epochs=100,
        remedy="",
    )
    sizes = []
    for indices in training:
        sizes.append(len(indices))
        training.learn(module(torch.ones(len(indices), 1)).square().mean())
    return sizes, rehearsal


def test_a_trainings_steps_grow_until_they_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, rehearsal = trained(images=64, batch=16)
    assert sizes[:2] == [2, 2] and sizes == sorted(sizes) and sizes[-1] == 16
    assert rehearsal.rest > 0 and rehearsal.nbytes > 0
    monkeypatch.setattr(estimate, "STEP_SECONDS", 0.0)
    assert trained(images=64, batch=16)[0] == [2]


def test_whole_batches_follow_from_the_last_two_sizes() -> None:
    sizes = [(2, 64), (2, 64), (4, 64)]
    assert estimate._at(64, sizes, [9.0, 1.0, 2.0]) == 2.0 + 0.5 * 60
    assert estimate._at(64, sizes[:1], [1.0]) == 32.0
    assert estimate._at(4, [(2, 4), (4, 4)], [1.0, 3.0]) == 3.0


@pytest.mark.skipif(requested_memory() is None, reason="this system has no such limit")
def test_what_asks_for_too_much_memory_is_stopped_and_said(
    bench: Callable[..., tuple[int, str]], toy: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "greedy.py"
    plugin.write_text(GREEDY)
    status, out = bench(
        "run", "--methods", "greedy", "--dataset", "folder", "--data-root", toy, "--plugin", plugin,
        "--categories", "nut", "--dry-run",
    )  # fmt: skip
    assert status == 0 and "warning: greedy: no estimate" in out, out


def test_a_run_that_will_not_fit_is_warned_of() -> None:
    plan: Any = type("Plan", (), {"features": Context.alone()._features})
    assert estimate._warning(plan, "m", estimate.Estimate(1.0, 1 << 20, 1.0, 1.0, 0)) == []
    (text,) = estimate._warning(plan, "m", estimate.Estimate(1.0, 10**15, 1.0, 1.0, 0))
    assert "m will need about 1000000.0 GB" in text


def test_what_a_detector_will_keep_is_told_before_it_is_fitted(
    bench: Callable[..., tuple[int, str]], toy: Path, tmp_path: Path
) -> None:
    def run(*more: str) -> str:
        status, out = bench(
            "run", "--methods", "patchcore", "--dataset", "folder", "--data-root", toy, "--categories",
            "nut", "--set", "patchcore.backbone=resnet18", "--weights", "random", "--image-size", "64",
            "--results", tmp_path / "runs", *more,
        )  # fmt: skip
        assert status == 0, out
        return out

    row = next(line for line in run("--dry-run").splitlines() if line.startswith("patchcore  "))
    run()
    kept = load_results(tmp_path / "runs")["stored_bytes"].item()
    assert row.split()[-2] == f"{kept / 1e6:.1f}" != "0.0"
