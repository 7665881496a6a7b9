"""What every training owes: it resumes after a kill, stops when it diverges, refuses nonsense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark import Context, Detector, Geometry
from benchmark.detector.context import Checkpoint
from benchmark.errors import DetectorError, SettingsError
from benchmark.methods.cutpaste import Cutpaste
from benchmark.methods.draem import Draem
from benchmark.methods.efficient_ad import EfficientAd
from benchmark.methods.mkd import Mkd
from benchmark.methods.riad import Riad
from benchmark.methods.simplenet import Simplenet

from ..helpers import KilledAfter, noise, save_after_every_step

SMALL = "test_resnet"
"""A tiny network of timm."""
ALONE = {"teacher": "random", "photographs": "none", "steps": 2}
CASES: dict[str, tuple[type[Detector], dict[str, Any], str, int, float]] = {
    # class, settings of three steps or two, the loop's title, the images' side, a rate that diverges
    "mkd": (
        Mkd,
        {"backbone": SMALL, "layers": (1, 2, 3, 4), "batch": 2, "epochs": 1},
        "cloner",
        32,
        1e30,
    ),
    "cutpaste": (Cutpaste, {"backbone": SMALL, "batch": 2, "steps": 3}, "classifier", 32, 1e30),
    "simplenet": (
        Simplenet,
        {"backbone": SMALL, "width": 16, "hidden": 8, "batch": 2, "epochs": 1},
        "discriminator",
        32,
        1e30,
    ),
    "efficient_ad": (EfficientAd, ALONE, "student", 64, 1e30),
    "riad": (Riad, {"width": 4, "batch": 2, "epochs": 1, "squares": (8,)}, "painter", 32, 1e30),
    "draem": (
        Draem,
        {"textures": "drawn", "width": 4, "batch": 2, "epochs": 1},
        "networks",
        32,
        1e30,
    ),
}


def context(side: int) -> Context:
    return Context.alone(geometry=Geometry(resize=side))


@pytest.mark.parametrize("name", CASES)
def test_goes_on_after_a_kill_as_if_nothing_had_happened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls, settings, title, side, _ = CASES[name]
    save_after_every_step(monkeypatch)
    train = noise(6, side=side)
    whole = cls(**settings).fit(train, context(side))
    place = context(side)
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    place.progress = KilledAfter(1, title)
    with pytest.raises(KeyboardInterrupt):
        cls(**settings).fit(train, place)
    place.progress = context(side).progress
    resumed = cls(**settings).fit(train, place)
    assert resumed.facts() == whole.facts()
    wanted, found = whole.state(), resumed.state()
    assert found.tensors.keys() == wanted.tensors.keys() and place.meters.curves["loss"]
    for key, tensor in wanted.tensors.items():
        assert torch.equal(tensor, found.tensors[key]), key


@pytest.mark.parametrize("name", [name for name in CASES if name != "efficient_ad"])  # costs most
def test_divergence_is_an_error_with_a_remedy(name: str) -> None:
    cls, settings, _, side, rate = CASES[name]
    with pytest.raises(DetectorError, match=rf"diverged.*step.*{name}\.learning_rate="):
        cls(**{**settings, "learning_rate": rate}).fit(noise(6, side=side), context(side))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("mkd", {"layers": (1, 2, 3)}),
        ("mkd", {"epochs": 0}),
        ("cutpaste", {"patch": 1.0}),
        ("cutpaste", {"epochs": -1}),
        ("simplenet", {"noise": 0.0}),
        ("efficient_ad", {"steps": 0}),
        ("riad", {"squares": (3,)}),
        ("riad", {"validation": 0.0}),
        ("draem", {"width": 1}),
    ],
)
def test_wrong_settings_are_refused(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"{name}: .* is"):
        CASES[name][0](**wrong)
