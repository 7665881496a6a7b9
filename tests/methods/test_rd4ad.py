"""RD4AD: shapes of its networks, loss and map against slow computations, what is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from benchmark import Context, Geometry, State
from benchmark.data.loading import ImageSet
from benchmark.detector import training as _training
from benchmark.detector.context import Checkpoint
from benchmark.errors import DetectorError, SettingsError
from benchmark.methods.rd4ad import Rd4ad
from benchmark.methods.rd4ad.networks import MIRRORED, Mirror, ReverseDistillation
from benchmark.plugins.registry import Registry

from ..helpers import KilledAfter, noise, save_after_every_step

T = TypeVar("T")
SIDE = 32
FAST: dict[str, Any] = {"backbone": "resnet18", "layers": (0, 1, 2), "epochs": 2, "batch": 3}


def images(count: int, seed: int = 0, side: int = SIDE) -> ImageSet:
    return noise(count, seed, side)


def context() -> Context:
    return Context.alone(geometry=Geometry(resize=SIDE))


@pytest.fixture(scope="module")
def fitted() -> tuple[Rd4ad, Context]:
    place = context()
    return Rd4ad(**FAST).fit(images(6), place), place


def one_minus_cosine(t: Tensor, s: Tensor) -> NDArray[Any]:
    """(C, h, w) twice to (h, w), position by position."""
    out = np.empty(t.shape[1:])
    for y, x in np.ndindex(*out.shape):
        u, v = t[:, y, x].double().numpy(), s[:, y, x].double().numpy()
        out[y, x] = 1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v)
    return out


def corners_aligned(values: NDArray[Any], size: int) -> NDArray[Any]:
    """Bilinear with the corner pixels on the corners, axis by axis."""
    places = np.linspace(0, len(values) - 1, size)
    rows = np.stack([np.interp(places, np.arange(len(values)), c) for c in values.T], 1)
    return np.stack([np.interp(places, np.arange(len(values)), r) for r in rows])


@pytest.mark.parametrize("scored", [(1, 2, 3), (2, 3), (3,)])
def test_map_is_the_smoothed_sum_of_the_scored_layers(
    scored: tuple[int, ...], fitted: tuple[Rd4ad, Context]
) -> None:
    whole, place = fitted
    batch = images(2, seed=1).batch([0, 1])
    detector = Rd4ad(**FAST, scored=scored).load_state(whole.state())
    prediction = detector.predict(batch, place)
    teachers = place.features(batch, detector.needs()[0])
    with torch.no_grad():
        students = whole.decoder_.eval()(teachers)
    for b in range(2):
        slow = np.zeros((SIDE, SIDE))
        for i in scored:
            slow += corners_aligned(one_minus_cosine(teachers[i - 1][b], students[i - 1][b]), SIDE)
        slow = gaussian_filter(slow, 4)
        assert prediction.maps is not None
        np.testing.assert_allclose(prediction.maps[b].numpy(), slow, rtol=1e-4)
        assert float(prediction.scores[b]) == pytest.approx(slow.max(), rel=1e-4)
    summed = Rd4ad(**FAST, scored=scored, score="sum").load_state(whole.state())
    scores = summed.predict(batch, place).scores
    assert float(scores[1]) == pytest.approx(slow.sum(), rel=1e-4)


@pytest.mark.parametrize("loss", ["flat", "pixel"])
def test_loss_is_what_was_asked_for(loss: Any) -> None:
    place, train = context(), images(3)
    detector = Rd4ad(**{**FAST, "epochs": 1}, loss=loss).fit(train, place)
    order = place.rng("decoder, epoch 0").permutation(3).tolist()
    with _training.seeded(place, "decoder"):
        detector.build()  # as it was before the only step
    teachers = place.features(train.batch(order), detector.needs()[0])
    students = detector.decoder_.train()(teachers)
    slow = 0.0
    for t, s in zip(teachers, students, strict=True):
        if loss == "flat":
            t, s = t.reshape(3, -1, 1, 1), s.reshape(3, -1, 1, 1)
        slow += np.mean([one_minus_cosine(t[b], s[b].detach()).mean() for b in range(3)])
    ((step, found),) = place.meters.curves["loss"]
    assert step == 1 and found == pytest.approx(slow, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "channels", "stages", "parameters"),
    [  # parameters: those of the official bottleneck and decoder that take part in their output
        ("resnet18", (64, 128, 256), [2, 2, 2], 15_383_168),
        ("resnet34", (64, 128, 256), [3, 4, 6], 22_171_264),
        ("resnet50", (256, 512, 1024), [3, 4, 6], 46_651_392),
        ("wide_resnet50_2", (256, 512, 1024), [3, 4, 6], 83_802_624),
    ],
)
def test_networks_are_the_official_ones(
    name: str, channels: tuple[int, int, int], stages: list[int], parameters: int
) -> None:
    with torch.device("meta"):  # shapes without numbers
        network = ReverseDistillation(channels, MIRRORED[name])
        layers = [torch.empty(2, c, 64 // 2**i, 64 // 2**i) for i, c in enumerate(channels)]
        out = network(layers)
        fused = 3 * channels[2]
        assert network.embed(torch.empty(2, fused, 16, 16)).shape == (2, 2 * channels[2], 8, 8)
    assert [o.shape for o in out] == [layer.shape for layer in layers]
    assert [len(stage) for stage in network.decode] == stages  # coarsest first
    assert len(network.embed) == stages[0]
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("sides", [(7, 4, 2), (8, 4, 2), (9, 5, 3), (64, 32, 16)])
def test_odd_sides_come_back(sides: tuple[int, int, int]) -> None:
    network = ReverseDistillation((4, 8, 16), Mirror((1, 1, 1), 1))
    layers = [torch.rand(2, c, s, s) for c, s in zip((4, 8, 16), sides, strict=True)]
    assert [o.shape for o in network(layers)] == [layer.shape for layer in layers]


def test_only_bottleneck_and_decoder_learn(fitted: tuple[Rd4ad, Context]) -> None:
    detector, place = fitted
    teacher = place.backbone("resnet18").model
    fresh = context().backbone("resnet18").model
    for (name, a), b in zip(teacher.named_parameters(), fresh.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert a.grad is None and not a.requires_grad, name
    for name, parameter in detector.decoder_.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_same_seed_same_result_other_seed_another(fitted: tuple[Rd4ad, Context]) -> None:
    batch = images(2, seed=1).batch([0, 1])
    wanted = fitted[0].predict(batch, fitted[1]).scores
    for seed, same in ((0, True), (1, False)):
        place = Context.alone(geometry=Geometry(resize=SIDE), seed=seed)
        found = Rd4ad(**FAST).fit(images(6), place).predict(batch, place).scores
        assert torch.equal(found, wanted) == same


def test_goes_on_after_a_kill_as_if_nothing_had_happened(
    fitted: tuple[Rd4ad, Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_after_every_step(monkeypatch)
    place = context()
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    place.progress = KilledAfter(3)
    with pytest.raises(KeyboardInterrupt):
        Rd4ad(**FAST).fit(images(6), place)
    place.progress = context().progress
    resumed = Rd4ad(**FAST).fit(images(6), place)
    wanted, found = fitted[0].state(), resumed.state()
    assert found.values == wanted.values
    for name, tensor in wanted.tensors.items():
        assert torch.equal(tensor, found.tensors[name]), name


def test_state_comes_back_from_a_file(fitted: tuple[Rd4ad, Context], tmp_path: Path) -> None:
    detector, place = fitted
    detector.state().save(tmp_path / "state.safetensors")
    restored = Rd4ad(**FAST).load_state(State.load(tmp_path / "state.safetensors"))
    batch = images(2, seed=1).batch([0, 1])
    assert torch.equal(restored.predict(batch, place).scores, detector.predict(batch, place).scores)
    assert restored.facts() == detector.facts()


def test_one_class_preset_sums_the_map_at_any_size() -> None:
    cls, settings = Registry().method("rd4ad_one_class")
    place = Context.alone(geometry=Geometry(resize=None))
    train = images(4, side=28)
    detector = cls(**{**settings, "epochs": 1}).fit(train, place)
    prediction = detector.predict(train.batch([0, 1]), place)
    assert prediction.maps is not None and prediction.maps.shape == (2, 28, 28)
    assert torch.allclose(prediction.scores, prediction.maps.sum((1, 2)))


def test_another_kind_of_backbone_gets_a_plain_decoder_and_the_record_says_so() -> None:
    settings = {"backbone": "mobilenetv2_100", "epochs": 1}
    detector = Rd4ad(**settings).fit(images(3), context())
    assert detector.facts()["mirrored"] is False
    assert detector.channels_ == [24, 32, 96]


def test_layers_must_halve() -> None:
    with pytest.raises(DetectorError, match=r"rd4ad: the layers .* have the sides .*8.*8"):
        Rd4ad(backbone="resnet18", layers=("layer1.0", "layer1", 2)).fit(images(2), context())


def test_divergence_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DetectorError, match=r"diverged.*step.*rd4ad\.learning_rate="):
        Rd4ad(**FAST, learning_rate=1e38).fit(images(6), context())


@pytest.mark.parametrize(
    "wrong", [{"scored": ()}, {"scored": (1, 1)}, {"scored": (4,)}, {"epochs": 0}]
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="rd4ad: .* is"):
        Rd4ad(**wrong)
