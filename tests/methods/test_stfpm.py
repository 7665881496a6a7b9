"""STFPM: its map against a slow computation, what is trained, what is chosen, what resumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmark import Batch, Context, Geometry, State
from benchmark.data.loading import ImageSet
from benchmark.detector import training as _training
from benchmark.detector.context import Checkpoint
from benchmark.errors import DetectorError, SettingsError
from benchmark.methods.stfpm import Stfpm
from benchmark.runner.estimate import Rehearsal

from ..helpers import KilledAfter, noise, save_after_every_step

T = TypeVar("T")
SIDE = 32
FAST: dict[str, Any] = {"epochs": 3, "batch": 4, "layers": (1, 2)}


def images(count: int, seed: int = 0, side: int = SIDE) -> ImageSet:
    return noise(count, seed, side)


def context() -> Context:
    return Context.alone(geometry=Geometry(resize=SIDE))


@pytest.fixture(scope="module")
def fitted() -> tuple[Stfpm, Context]:
    place = context()
    return Stfpm(**FAST).fit(images(10), place), place


class Noted(ImageSet):
    """Images that note which were asked for."""

    asked: list[list[int]]

    def batch(self, indices: Sequence[int]) -> Batch:
        self.asked.append(list(indices))
        return super().batch(indices)


def bilinear(values: NDArray[Any], size: int) -> NDArray[Any]:
    """Pixel centres at i + 0.5, the edge repeated; one output pixel at a time."""
    side = len(values)
    out = np.zeros((size, size))
    places = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
    for i, y in enumerate(places):
        for j, x in enumerate(places):
            top, left = int(y), int(x)
            down, right = min(top + 1, side - 1), min(left + 1, side - 1)
            a, b = y - top, x - left
            upper = (1 - b) * values[top, left] + b * values[top, right]
            lower = (1 - b) * values[down, left] + b * values[down, right]
            out[i, j] = (1 - a) * upper + a * lower
    return out


def test_map_is_the_product_of_the_layers_distances(fitted: tuple[Stfpm, Context]) -> None:
    detector, place = fitted
    batch = images(2, seed=1).batch([0, 1])
    prediction = detector.predict(batch, place)
    teachers = place.features(batch, detector.needs()[0])
    with torch.no_grad():
        students = detector.student_(batch.pixels)
    for b in range(2):
        product = np.ones((8, 8))
        for t, s in zip(teachers, students, strict=True):
            side = t.shape[2]
            distances = np.empty((side, side))
            for y in range(side):
                for x in range(side):
                    u, v = t[b, :, y, x].double().numpy(), s[b, :, y, x].double().numpy()
                    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
                    distances[y, x] = ((u - v) ** 2).sum()
            product *= bilinear(distances, 8)
        slow = bilinear(product, SIDE)
        assert prediction.maps is not None
        np.testing.assert_allclose(prediction.maps[b].numpy(), slow, rtol=1e-4)
        assert float(prediction.scores[b]) == pytest.approx(slow.max(), rel=1e-4)


def test_only_the_student_learns(fitted: tuple[Stfpm, Context]) -> None:
    detector, place = fitted
    teacher = place.backbone("resnet18").model
    fresh = context().backbone("resnet18").model
    for (name, a), b in zip(teacher.named_parameters(), fresh.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert a.grad is None and not a.requires_grad, name
    assert all(p.grad is not None for p in detector.student_.parameters())
    names = detector.student_.state_dict()
    assert not any("layer3" in name or "fc" in name for name in names), "layers that never run"
    assert any("running_mean" in name for name in names)


def test_student_starts_from_its_own_weights() -> None:
    detector = Stfpm(**FAST)
    with _training.seeded(context(), "student"):
        detector.build()
    student = detector.student_.state_dict()["model.conv1.weight"]
    teacher = context().backbone("resnet18").model.state_dict()["conv1.weight"]
    assert not torch.allclose(student, teacher)


def test_the_epoch_with_the_lowest_mean_map_on_held_out_images_is_kept() -> None:
    place, train = context(), images(10)
    detector = Stfpm(**FAST).fit(train, place)
    curve = place.meters.curves["validation"]
    assert len(curve) == 3
    values = [value for _, value in curve]
    facts = detector.facts()
    assert facts["epoch_chosen"] == 1 + int(np.argmin(values))
    assert facts["validation"] == min(values)
    assert (facts["trained_on"], facts["held_out"]) == (8, 2)
    _, held = _training.split_off(place, 10, 0.2)
    detector.student_.eval()
    with torch.no_grad():
        again = float(detector._map(train.batch(held), place).mean())
    assert again == pytest.approx(min(values), rel=1e-5)


def test_held_out_images_are_never_trained_on() -> None:
    train = images(10)
    noted = Noted(train.pixels, train.all_keys)
    noted.asked = []
    place = context()
    Stfpm(**FAST).fit(noted, place)
    taught, held = _training.split_off(place, 10, 0.2)
    per_epoch = [noted.asked[i : i + 3] for i in range(0, 9, 3)]
    for first, second, validation in per_epoch:
        assert sorted(first + second) == taught
        assert validation == held


def test_same_seed_same_result_other_seed_another() -> None:
    batch = images(2, seed=1).batch([0, 1])
    outs = []
    for seed in (0, 0, 1):
        place = Context.alone(geometry=Geometry(resize=SIDE), seed=seed)
        outs.append(Stfpm(**FAST).fit(images(6), place).predict(batch, place).scores)
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])


def test_goes_on_after_a_kill_as_if_nothing_had_happened(
    fitted: tuple[Stfpm, Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_after_every_step(monkeypatch)
    place = context()
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    place.progress = KilledAfter(3)  # in the middle of the second of three epochs
    with pytest.raises(KeyboardInterrupt):
        Stfpm(**FAST).fit(images(10), place)
    place = context()
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    resumed = Stfpm(**FAST).fit(images(10), place)
    wanted, found = fitted[0].state(), resumed.state()
    assert found.values == wanted.values
    assert found.tensors.keys() == wanted.tensors.keys()
    for name, tensor in wanted.tensors.items():
        assert torch.equal(tensor, found.tensors[name]), name


def test_state_comes_back_from_a_file(fitted: tuple[Stfpm, Context], tmp_path: Path) -> None:
    detector, place = fitted
    detector.state().save(tmp_path / "state.safetensors")
    restored = Stfpm(**FAST).load_state(State.load(tmp_path / "state.safetensors"))
    batch = images(2, seed=1).batch([0, 1])
    assert torch.equal(restored.predict(batch, place).scores, detector.predict(batch, place).scores)
    assert restored.facts() == detector.facts()


def test_divergence_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DetectorError, match=r"diverged.*step.*stfpm\.learning_rate="):
        Stfpm(**FAST, learning_rate=1e30).fit(images(10), context())


def test_a_training_cut_short_can_still_predict() -> None:
    place = context()
    place.progress = Rehearsal()
    detector = Stfpm(epochs=50, batch=2, layers=(1,)).fit(images(20), place)
    assert detector.predict(images(1).batch([0]), place).scores.isfinite().all()
    assert "epoch_chosen" not in detector.facts()


@pytest.mark.parametrize(
    ("backbone", "layers", "side"),
    [
        ("resnet18", (1, 2, 3), 28),
        ("mobilenetv2_100", (1, 2), 33),
        ("squeezenet1_1", ("features.4",), 40),
    ],
)
def test_other_backbones_and_sizes(backbone: str, layers: tuple[Any, ...], side: int) -> None:
    place = Context.alone(geometry=Geometry(resize=side))
    pixels = np.random.default_rng(0).integers(0, 255, (3, side, side, 3), np.uint8)
    train = ImageSet(pixels, ["a", "b", "c"])
    detector = Stfpm(backbone=backbone, layers=layers, epochs=1, batch=2).fit(train, place)
    prediction = detector.predict(train.batch([0]), place)
    assert prediction.maps is not None and prediction.maps.shape == (1, side, side)


@pytest.mark.parametrize(
    "wrong", [{"layers": ()}, {"layers": ("pooled",)}, {"epochs": 0}, {"validation": 1.0}]
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="stfpm: .* is"):
        Stfpm(**wrong)
