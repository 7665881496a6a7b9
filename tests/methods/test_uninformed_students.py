"""Uninformed Students: dense against patch-wise descriptors, scores against a slow computation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import Context, Geometry, State
from benchmark.data.loading import ImageSet
from benchmark.detector import training as _training
from benchmark.detector.context import Checkpoint
from benchmark.errors import AssetError, DetectorError, SettingsError
from benchmark.methods._parts.distillation import Moments
from benchmark.methods.uninformed_students import UninformedStudents
from benchmark.methods.uninformed_students.networks import PatchNetwork, mirrored
from benchmark.methods.uninformed_students.teacher import UsTeacher, Windows, correlation
from benchmark.plugins.registry import Registry
from benchmark.runner.estimate import Rehearsal

from ..helpers import KilledAfter, noise, save_after_every_step

T = TypeVar("T")
SIDE = 16
FAST: dict[str, Any] = {
    "teacher": "random",
    "fields": (17, 33),
    "students": 2,
    "stride": 8,
    "epochs": 1,
    "validation": 0.4,
}
TEACHER: dict[str, Any] = {"layer": "layer1", "fields": (17, 33), "steps": 3, "batch": 2}
# a descriptor's dimensions are about 0.05 in size; float32 sums over up to 6,400 products
TOLERANCE = 1e-6


def images(count: int, seed: int = 0, side: int = SIDE) -> ImageSet:
    return noise(count, seed, side)


def context() -> Context:
    return Context.alone(geometry=Geometry(resize=SIDE))


@pytest.fixture(scope="module")
def fitted() -> tuple[UninformedStudents, Context]:
    place = context()
    return UninformedStudents(**FAST).fit(images(5), place), place


@pytest.mark.parametrize("field", [17, 33, 65])
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@torch.no_grad()
def test_dense_descriptors_are_those_of_the_patches_alone(field: int, stride: int) -> None:
    torch.manual_seed(field)
    network = PatchNetwork(field)
    image = torch.randn(1, 3, 21, 18)
    dense = network.dense(image, stride)
    assert dense.shape == (1, 128, -(-21 // stride), -(-18 // stride))
    reach = field // 2
    # with a wide margin, as the last place of a stride may lie beyond the image
    padded = np.pad(image[0].numpy(), ((0, 0), (reach, reach + 8), (reach, reach + 8)), "reflect")
    places = [(y, x) for y in range(dense.shape[2]) for x in range(dense.shape[3])]
    start = (stride - 1) // 2
    patches = []
    for y, x in places:
        top, left = start + y * stride, start + x * stride
        patches.append(padded[:, top : top + field, left : left + field])
    picked = np.random.default_rng(0).permutation(len(patches))[:24]
    picked[:2] = 0, len(patches) - 1  # opposite corners
    alone = network(torch.from_numpy(np.stack([patches[i] for i in picked])))
    found = torch.stack([dense[0, :, places[i][0], places[i][1]] for i in picked])
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=TOLERANCE)
    assert (alone - alone.mean(0)).abs().mean() > 100 * TOLERANCE, "patches look alike anyway"


@pytest.mark.parametrize("side", [1, 2, 3, 10])
def test_mirrored_is_numpys_reflection(side: int) -> None:
    found = mirrored(torch.arange(-20, side + 20), side)
    assert found.tolist() == np.pad(np.arange(side), 20, "reflect").tolist()


def slow_evidence(teacher: Tensor, students: list[Tensor]) -> tuple[Any, Any]:
    """Error and variance per position, from (128, h, w) descriptors, with covariance matrices."""
    shape = teacher.shape[1:]
    error, variance = np.empty(shape), np.empty(shape)
    for y, x in np.ndindex(*shape):
        said = np.stack([s[:, y, x].double().numpy() for s in students])
        error[y, x] = np.linalg.norm(said.mean(0) - teacher[:, y, x].double().numpy()) ** 2
        variance[y, x] = np.trace(np.cov(said, rowvar=False, bias=True))
    return error, variance


@torch.no_grad()
def test_map_is_normalised_error_plus_variance_averaged_over_fields(
    fitted: tuple[UninformedStudents, Context],
) -> None:
    detector, place = fitted
    train = images(5)
    taught, held = _training.split_off(place, 5, 0.4)

    def descriptors(batch: Any, f: int) -> tuple[Tensor, list[Tensor]]:
        pixels = (batch.pixels - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / (
            torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        )
        teacher = detector.teachers_[f].dense(pixels, 8)[0]
        return teacher, [s.dense(pixels, 8)[0] for s in detector.students_[f]]

    test = images(1, seed=1).batch([0])
    total = np.zeros((2, 2))
    for f in range(2):
        pool = torch.cat([descriptors(train.batch([i]), f)[0].flatten(1) for i in taught], 1)
        mean, std = pool.mean(1).view(-1, 1, 1), pool.std(1, correction=0).view(-1, 1, 1)

        def evidence(batch: Any, f: int = f, mean: Tensor = mean, std: Tensor = std) -> Any:
            teacher, students = descriptors(batch, f)
            return slow_evidence((teacher - mean) / std, students)

        known = [evidence(train.batch([i])) for i in held]
        for values, normal in zip(evidence(test), zip(*known, strict=True), strict=True):
            total += (values - np.mean(normal)) / np.std(normal) / 2
    prediction = detector.predict(test, place)
    assert prediction.maps is not None and prediction.maps.shape == (1, SIDE, SIDE)
    # the upsampled map repeats the grid's own values at the corners
    grid = prediction.maps[0, [0, -1]][:, [0, -1]].numpy()
    np.testing.assert_allclose(grid, total[[0, -1]][:, [0, -1]], rtol=2e-3)
    assert float(prediction.scores[0]) == pytest.approx(float(prediction.maps.max()))


def test_moments_are_those_of_all_values() -> None:
    parts = [torch.randn(2, 3, 4, 5) * 7 + 100, torch.randn(1, 3, 4, 5)]
    moments = Moments()
    for part in parts:
        moments.add(part)
    pool = torch.cat([part.transpose(0, 1).flatten(1) for part in parts], 1).double()
    wanted = torch.stack([pool.mean(1), pool.std(1, correction=0)])
    torch.testing.assert_close(moments.mean_and_std(), wanted.float())


def test_students_learn_apart_and_teachers_not_at_all(
    fitted: tuple[UninformedStudents, Context],
) -> None:
    detector, place = fitted
    fresh = UninformedStudents(**FAST)
    with _training.seeded(place, "networks"):
        fresh.build()
    for a, b in zip(detector.teachers_.parameters(), fresh.teachers_.parameters(), strict=True):
        assert torch.equal(a, b) and a.grad is None and not a.requires_grad
    for a, b in zip(detector.students_.parameters(), fresh.students_.parameters(), strict=True):
        assert not torch.equal(a, b) and a.grad is not None
    for same_field in detector.students_:
        first, second = (torch.cat([p.flatten() for p in s.parameters()]) for s in same_field)
        assert not torch.allclose(first, second)


def test_the_students_error_falls() -> None:
    place = context()
    settings = {**FAST, "fields": (33,), "epochs": 6, "learning_rate": 1e-3}
    UninformedStudents(**settings).fit(images(5), place)
    curve = place.meters.curves["loss"]
    epochs = np.array([value for _, value in curve]).reshape(6, -1).mean(1)
    assert epochs[-1] < 0.95 * epochs[0]


def test_same_seed_same_result_other_seed_another(
    fitted: tuple[UninformedStudents, Context],
) -> None:
    batch = images(2, seed=1).batch([0, 1])
    wanted = fitted[0].predict(batch, fitted[1]).scores
    for seed, same in ((0, True), (1, False)):
        place = Context.alone(geometry=Geometry(resize=SIDE), seed=seed)
        found = UninformedStudents(**FAST).fit(images(5), place).predict(batch, place).scores
        assert torch.equal(found, wanted) == same


def test_goes_on_after_a_kill_as_if_nothing_had_happened(
    fitted: tuple[UninformedStudents, Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_after_every_step(monkeypatch)
    place = context()
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    place.progress = KilledAfter(2, "students")
    with pytest.raises(KeyboardInterrupt):
        UninformedStudents(**FAST).fit(images(5), place)
    assert place.checkpoint.load() is not None
    place.progress = context().progress
    resumed = UninformedStudents(**FAST).fit(images(5), place)
    wanted, found = fitted[0].state(), resumed.state()
    assert found.values == wanted.values
    for name, tensor in wanted.tensors.items():
        assert torch.equal(tensor, found.tensors[name]), name


def test_state_comes_back_from_a_file(
    fitted: tuple[UninformedStudents, Context], tmp_path: Path
) -> None:
    detector, place = fitted
    detector.state().save(tmp_path / "state.safetensors")
    restored = UninformedStudents(**FAST).load_state(State.load(tmp_path / "state.safetensors"))
    batch = images(2, seed=1).batch([0, 1])
    assert torch.equal(restored.predict(batch, place).scores, detector.predict(batch, place).scores)
    assert restored.facts() == detector.facts()
    assert detector.facts()["teacher"] == "random"


def test_correlation_is_numpys() -> None:
    values = torch.randn(9, 5)
    values[:, 3] = 2.0  # a constant dimension correlates with none
    table = np.corrcoef(values[:, [0, 1, 2, 4]].double().numpy(), rowvar=False)
    assert float(correlation(values)) == pytest.approx(((table**2).sum() - 4) / 5, abs=1e-4)


def test_windows_show_the_same_place_at_every_resolution() -> None:
    side = 256
    ramp = torch.arange(side).float().expand(4, 1, side, side)
    pixels = torch.cat([ramp, ramp.mT, ramp * 0], 1)  # red says the column, green the row
    windows = Windows(4, torch.Generator().manual_seed(3))
    assert bool(((windows.share >= 1 / 16) & (windows.share <= 1 / 4)).all())
    windows.grey.zero_()
    centres = {}
    for field in (17, 33, 65):
        patches = windows.cut(pixels, field)
        assert patches.shape == (4, 3, field, field)
        centres[field] = patches[:, :2].mean((2, 3))
        width = (patches[:, 0, 0, -1] - patches[:, 0, 0, 0]) * field / (field - 1)
        torch.testing.assert_close(width, windows.share * side, rtol=0.02, atol=0.05)
    torch.testing.assert_close(centres[17], centres[65], rtol=0, atol=0.05)
    wanted = (torch.stack([windows.x, windows.y], 1) + 1) / 2 * side - 0.5
    torch.testing.assert_close(centres[65], wanted, rtol=0, atol=0.05)
    windows.grey.fill_(1)
    grey = windows.cut(pixels, 17)
    assert torch.equal(grey[:, 0], grey[:, 2])


def test_windows_lie_anywhere_in_the_image_and_not_beyond() -> None:
    windows = Windows(2000, torch.Generator().manual_seed(0))
    for centre in (windows.x, windows.y):  # -1 and 1 are the image's edges
        assert bool((centre.abs() + windows.share <= 1 + 1e-6).all())
        assert float(centre.min()) < -0.9 and float(centre.max()) > 0.9
        assert abs(float(centre.mean())) < 0.05
    assert 0.07 < float(windows.grey.mean()) < 0.13


def test_teachers_come_from_the_asset(tmp_path: Path) -> None:
    place = Context.alone(
        geometry=Geometry(resize=SIDE), assets_dir=tmp_path, asset_settings={"us-teacher": TEACHER}
    )
    detector = UninformedStudents(**{**FAST, "teacher": "distilled", "fields": (33,)})
    with pytest.raises(AssetError, match=r"bench pretrain us-teacher .*us-teacher\.steps=3"):
        detector.fit(images(3), place)
    asset = UsTeacher(**TEACHER)
    state = asset.build(images(4, side=64), place)
    asset.save(state, {}, tmp_path)
    detector.fit(images(3), place)
    for name, tensor in detector.teachers_[0].state_dict().items():
        assert torch.equal(tensor, state.tensors[f"1.{name}"]), name
    with pytest.raises(AssetError, match=r"fields=\[17, 33, 65\]"):
        UninformedStudents(**{**FAST, "teacher": "distilled", "fields": (65,)}).fit(
            images(3), place
        )


def test_teacher_goes_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**TEACHER, "fields": (33,)}
    natural = images(4, side=64)
    whole = UsTeacher(**settings).build(natural, context())
    save_after_every_step(monkeypatch)
    place = context()
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    place.progress = KilledAfter(2, "teacher")
    with pytest.raises(KeyboardInterrupt):
        UsTeacher(**settings).build(natural, place)
    place.progress = context().progress
    resumed = UsTeacher(**settings).build(natural, place)
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, resumed.tensors[name]), name


def test_distillation_learns() -> None:
    place = context()
    colours = np.random.default_rng(0).integers(0, 255, (8, 1, 1, 3), np.uint8)
    flat = ImageSet(np.broadcast_to(colours, (8, 64, 64, 3)).copy(), [str(i) for i in range(8)])
    settings = {**TEACHER, "fields": (33,), "steps": 30, "batch": 8, "compactness": 0.0}
    UsTeacher(**settings, learning_rate=1e-3).build(flat, place)
    losses = [value for _, value in place.meters.curves["loss"]]
    assert losses[0] == pytest.approx(64, rel=0.5), "one per standardised dimension of layer1"
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_single_scale_is_a_preset() -> None:
    cls, settings = Registry().method("uninformed_students_single")
    detector = cls(**settings)
    assert settings == {"fields": (65,)}
    assert detector.assets() == [UsTeacher], "needs its own asset"


def test_a_training_cut_short_can_still_predict() -> None:
    place = context()
    place.progress = Rehearsal()
    detector = UninformedStudents(**{**FAST, "fields": (33,), "epochs": 9}).fit(images(6), place)
    assert detector.predict(images(1).batch([0]), place).scores.isfinite().all()


def test_divergence_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DetectorError, match=r"diverged.*step.*learning_rate="):
        UninformedStudents(**FAST, learning_rate=1e30).fit(images(5), context())


@pytest.mark.parametrize(
    "wrong",
    [
        {"fields": ()},
        {"fields": (20,)},
        {"students": 0},
        {"steps": 0},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="uninformed_students: "):
        UninformedStudents(**wrong)


def test_a_whole_image_is_one_patch_with_one_score() -> None:
    detector = UninformedStudents(
        teacher="random", fields=(33,), students=2, whole=True, batch=4, epochs=1
    ).fit(images(5), context())
    batch = images(2, seed=1).batch([0, 1])
    pixels = (batch.pixels - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    patches = F.interpolate(pixels, (33, 33), mode="bilinear", antialias=True)
    with torch.no_grad():
        mean, std = detector.scale_[0]
        teacher = (detector.teachers_[0](patches) - mean) / std
        students = torch.stack([s(patches) for s in cast(Any, detector.students_[0])])
    error = (students.mean(0) - teacher).square().sum(1)
    variance = students.var(0, correction=0).sum(1)
    middle, spread = detector.spread_[0, :, :, 0, 0]
    want = (error - middle[0]) / spread[0] + (variance - middle[1]) / spread[1]
    found = detector.predict(batch, context())
    assert found.maps is None
    torch.testing.assert_close(found.scores, want, rtol=1e-3, atol=1e-3)
