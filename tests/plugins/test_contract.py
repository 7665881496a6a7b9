"""Every registered method and data set keeps its contract."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark import State
from benchmark.errors import MissingPackageError
from benchmark.plugins.contract import DatasetChecks, DetectorChecks, Obvious, checks_of
from benchmark.plugins.registry import Registry
from benchmark.settings import declared

REGISTRY = Registry()
DETECTOR_CHECKS = [name for name in dir(DetectorChecks) if name.startswith("check_")]
DATASET_CHECKS = [name for name in dir(DatasetChecks) if name.startswith("check_")]


ONCE = ("check_deterministic", "check_sees_only_its_images")
"""Checks that need a second fit: a preset's class passes them under its own name, and a training need not
be long to be the same twice."""
BRIEF = ({"steps": 4}, {"epochs": 1})
"""What ends a training early: the first that a method has."""
CASES = [
    (name, check)
    for name in REGISTRY.names("method")
    for check in DETECTOR_CHECKS
    if not (REGISTRY.entry("method", name).preset and check in ONCE)
]


@functools.lru_cache(maxsize=2)  # the checks of a method stand side by side
def detector_checks(name: str, brief: bool) -> DetectorChecks:
    cls, preset = REGISTRY.method(name)
    try:
        cls(**preset).needs()
    except MissingPackageError as error:
        pytest.skip(str(error))
    ends = [short for short in BRIEF if brief and set(short) <= set(declared(cls))]
    return DetectorChecks(cls, {**preset, **(ends[0] if ends else {})})


@pytest.mark.parametrize(("name", "check"), CASES)
def test_detector(name: str, check: str) -> None:
    getattr(detector_checks(name, brief=check in ONCE), check)()


@pytest.fixture(params=[n for n in REGISTRY.names("dataset") if not REGISTRY.dataset(n).needs_root])
def built_in_dataset(request: pytest.FixtureRequest) -> DatasetChecks:
    return DatasetChecks(REGISTRY.dataset(request.param)())


@pytest.mark.parametrize("check", DATASET_CHECKS)
def test_built_in_dataset(built_in_dataset: DatasetChecks, check: str) -> None:
    getattr(built_in_dataset, check)()


@pytest.mark.parametrize("check", DATASET_CHECKS)
def test_folder(toy: Path, check: str) -> None:
    getattr(DatasetChecks(REGISTRY.dataset("folder")(toy)), check)()


@pytest.mark.parametrize("check", DATASET_CHECKS)
def test_mvtec(real_data: Path, check: str) -> None:
    getattr(DatasetChecks(REGISTRY.dataset("mvtec")(real_data / "mvtec")), check)()


def _forgets(detector: Any, state: State) -> Any:
    detector.mean_ = torch.zeros_like(state.tensors["mean_"])
    return detector


BROKEN = {
    "check_fit_returns_self": ("return self", "return None"),
    "check_predict_before_fit": ("self.check_fitted()", "pass"),
    "check_prediction_shape": ("upsample(maps, batch.size)", "maps"),
    "check_obvious_case": ("return Prediction(", "maps = -maps\n        return Prediction("),
    "check_deterministic": ("self.mean_ = ", "self.mean_ = torch.rand(()) + "),
    "check_batch_mates": ("maps = smooth", "maps = maps - maps.mean()\n        maps = smooth"),
    "check_input_unchanged": ("maps = smooth", "batch.pixels.mul_(2)\n        maps = smooth"),
    "check_state_round_trip": ("self.mean_ = ", "self.hidden = self.mean_ = 2 + 0 * "),
    "check_facts_are_json": (
        "    def _read",
        "    def facts(self):\n        return {1: self}\n\n    def _read",
    ),
    "check_settings_are_stored_unchanged": ("self.sigma = sigma", "self.sigma = sigma + 1"),
    "check_declares_what_it_is": ('title = "Mine"', 'title = ""'),
    "check_sees_only_its_images": ('train, "mean"', '[], "mean"'),
}


@pytest.mark.parametrize("check", BROKEN)
def test_a_broken_promise_is_noticed(
    bench: Callable[..., tuple[int, str]], tmp_path: Path, check: str
) -> None:
    assert bench("new", "method", "mine")[0] == 0
    good = (tmp_path / "mine.py").read_text()
    old, new = BROKEN[check]
    assert old in good
    broken = tmp_path / "broken.py"
    broken.write_text(good.replace(old, new))
    cls, _ = Registry([broken]).method("broken")
    checks = dict(checks_of(DetectorChecks(cls)))
    if check == "check_state_round_trip":
        cls.load_state = _forgets  # type: ignore[method-assign, assignment]
    with pytest.raises(AssertionError):
        checks[check]()


OVERLAP = {
    "scores": ([0.1, 0.2, 0.3, 0.5], [0.2, 0.4, 0.5, 0.9], [2.0] * 4, [1.0] * 4),
    "maps": ([0.1, 0.2, 0.3, 0.5], [0.6, 0.7, 0.8, 0.9], [9.0, 9.0, 9.0, 0.9], [1.0] * 4),
}


@pytest.mark.parametrize("what", OVERLAP)
def test_a_higher_mean_is_not_enough(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = DetectorChecks(REGISTRY.method("padim")[0])
    found = Obvious(*(torch.tensor(values) for values in OVERLAP[what]))
    assert found.odd.mean() > found.normal.mean()
    monkeypatch.setattr(checks, "obvious", lambda: found)
    with pytest.raises(AssertionError, match="lowest score" if what == "scores" else "the map is"):
        checks.check_obvious_case()


def test_every_check_can_fail() -> None:
    assert set(BROKEN) == set(DETECTOR_CHECKS)
