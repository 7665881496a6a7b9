"""IGD as a detector: every row of the ablation, resuming, states, sizes and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from benchmark import Batch, Context, State
from benchmark.data.loading import ImageSet
from benchmark.detector import training as _training
from benchmark.detector.context import Checkpoint
from benchmark.errors import DetectorError, SettingsError
from benchmark.features.weights import WeightsFrom
from benchmark.methods.igd import Igd
from benchmark.methods.igd.encoder import IgdEncoder
from benchmark.methods.igd.networks import PatchEncoder
from benchmark.runner.estimate import Rehearsal

from ...helpers import KilledAfter, save_after_every_step
from .small import SMALL, context, images


@pytest.fixture(scope="module")
def fitted() -> tuple[Igd, Context]:
    place = context()
    return Igd(**SMALL).fit(images(6), place), place


# the whole


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"encoder": "learned", "descriptor": "none", "interpolate": False},
        {"descriptor": "none", "interpolate": False},
        {"descriptor": "soft_boundary", "interpolate": False},
        {"interpolate": False},
        {"formulation": "public_code"},
    ],
    ids=["igd", "msssim", "kd", "dsvdd", "gsvdd", "public_code"],
)
def test_rows_of_the_ablation_learn(settings: dict[str, Any]) -> None:
    place = context()
    flat = np.random.default_rng(0).integers(0, 255, (8, 1, 1, 3), np.uint8)
    train = ImageSet(np.broadcast_to(flat, (8, 28, 28, 3)).copy(), [str(i) for i in range(8)])
    # a new critic's guesses leap at first, the more the higher the rate
    rate = 1e-4 if settings.get("interpolate", True) else 1e-3
    given = {**SMALL, "epochs": 8, "batch": 8, "learning_rate": rate, **settings}
    detector = Igd(**given).fit(train, place)
    curve = [v for _, v in place.meters.curves["local reconstruction"]]
    assert curve[-1] < curve[0]
    names = {name.removeprefix("local ") for name in place.meters.curves}
    wanted = {"loss", "reconstruction"}
    wanted |= set() if settings.get("descriptor") == "none" else {"description"}
    wanted |= {"adversarial", "critic"} if settings.get("interpolate", True) else set()
    assert names == wanted
    found = detector.predict(images(3, seed=1).batch([0, 1, 2]), place)
    assert bool(found.scores.isfinite().all())
    assert found.maps is not None and found.maps.shape == (3, 28, 28)


def test_a_learned_body_changes_and_a_frozen_one_does_not() -> None:
    for encoder, same in (("learned", False), ("random", True)):
        place = context()
        detector = Igd(**{**SMALL, "encoder": encoder}).fit(images(6), place)
        fresh = Igd(**{**SMALL, "encoder": encoder})
        fresh.inputs_ = detector.inputs_
        with _training.seeded(place, "models"):
            fresh.build()
        bodies = [cast(PatchEncoder, d._model("local").body) for d in (detector, fresh)]
        pairs = zip(bodies[0].parameters(), bodies[1].parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs) == same


def test_same_seed_same_result_other_seed_another(fitted: tuple[Igd, Context]) -> None:
    batch = images(2, seed=1).batch([0, 1])
    wanted = fitted[0].predict(batch, fitted[1]).scores
    for seed, same in ((0, True), (1, False)):
        place = context(seed=seed)
        found = Igd(**SMALL).fit(images(6), place).predict(batch, place).scores
        assert torch.equal(found, wanted) == same


@pytest.mark.parametrize("where", [("global model", 1), ("local model", 1)])
def test_goes_on_after_a_kill_as_if_nothing_had_happened(
    where: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SMALL, "backbone": "squeezenet1_1", "patches": 1, "steps": 2}
    settings["encoder"] = "distilled_on_train"
    plain = context(64)
    whole = Igd(**settings).fit(images(4, 64), plain)
    save_after_every_step(monkeypatch)
    place = context(64)
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    place.progress = KilledAfter(where[1], where[0])
    with pytest.raises(KeyboardInterrupt):
        Igd(**settings).fit(images(4, 64), place)
    saved = place.checkpoint.load()
    assert saved is not None and "finished" in saved["encoder"]
    assert ("finished" in saved.get("global", {})) == (where[0] == "local model")
    second = context(64)
    second.checkpoint = place.checkpoint
    resumed = Igd(**settings).fit(images(4, 64), second)
    wanted, found = whole.state(), resumed.state()
    assert found.values == wanted.values
    assert found.tensors.keys() == wanted.tensors.keys()
    for name, tensor in wanted.tensors.items():
        assert torch.equal(tensor, found.tensors[name]), name
    for name in ("local loss", "local critic"):
        assert second.meters.curves[name] == plain.meters.curves[name]


def test_state_comes_back_from_a_file(fitted: tuple[Igd, Context], tmp_path: Path) -> None:
    detector, place = fitted
    detector.state().save(tmp_path / "state.safetensors")
    restored = Igd(**SMALL).load_state(State.load(tmp_path / "state.safetensors"))
    batch = images(2, seed=1).batch([0, 1])
    assert torch.equal(restored.predict(batch, place).scores, detector.predict(batch, place).scores)
    assert restored.facts() == detector.facts()


def test_an_images_result_does_not_depend_on_its_batch_mates(fitted: tuple[Igd, Context]) -> None:
    detector, place = fitted
    test = images(5, seed=1)
    together = detector.predict(test.batch(range(5)), place).scores
    alone = torch.cat([detector.predict(test.batch([i]), place).scores for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_training_cut_short_can_still_predict() -> None:
    place = context()
    place.progress = Rehearsal()
    detector = Igd(**{**SMALL, "epochs": 9}).fit(images(8), place)
    assert detector.predict(images(1).batch([0]), place).scores.isfinite().all()


def test_divergence_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DetectorError, match=r"local model: training diverged.*learning_rate="):
        Igd(**{**SMALL, "epochs": 2}, learning_rate=1e30).fit(images(6), context())


@pytest.mark.parametrize(
    ("size", "scales", "message"),
    [
        ((96, 96), ("global", "local"), r"96 × 96.*multiples of 64.*--image-size 256"),
        ((33, 40), ("local",), r"33 × 40.*multiples of 16"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    size: tuple[int, int], scales: tuple[Any, ...], message: str
) -> None:
    pixels = np.zeros((2, *size, 3), np.uint8)
    with pytest.raises(DetectorError, match=message):
        Igd(**SMALL, scales=scales).fit(ImageSet(pixels, ["a", "b"]), context())


@pytest.mark.parametrize(
    "wrong",
    [
        {"scales": ()},
        {"scales": ("local", "local")},
        {"batch": 1},
        {"epochs": 0},
        {"xi": 1.5},
        {"e_steps": 0},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="igd: "):
        Igd(**wrong)


def test_weights_of_hidden_scales_do_not_matter() -> None:
    assert Igd(scales=("local",)).needs() == []
    assert Igd(scales=("global",)).assets() == []
    assert Igd().assets() == [IgdEncoder]


def test_finds_an_odd_class_among_real_images(real_data: Path, real_weights: Path) -> None:
    """A short training on one garment tells others from it better than chance and better than
    before the training."""
    with np.load(real_data / "oneclass" / "fashion_mnist.npz", allow_pickle=False) as file:
        train, labels = file["train_images"], file["train_labels"]
        test, truth = file["test_images"][:200], file["test_labels"][:200]
    sneakers = np.repeat(train[labels == 7][:128, ..., None], 3, 3)
    shown = np.repeat(test[..., None], 3, 3)
    aurocs = {}
    for steps in (1, 24):
        place = Context.alone(weights=WeightsFrom(real_weights))
        detector = Igd(encoder="random", epochs=20, batch=16, steps=steps, learning_rate=1e-3)
        detector.fit(ImageSet(sneakers, [str(i) for i in range(128)]), place)
        batch: Batch = ImageSet(shown, [f"t{i}" for i in range(200)]).batch(range(200))
        scores = detector.predict(batch, place).scores.numpy()
        good, bad = scores[truth == 7], scores[truth != 7]
        aurocs[steps] = float((bad[:, None] > good[None]).mean())
    assert aurocs[24] > 0.85
    assert aurocs[24] > aurocs[1]
