"""PaDiM against a slow computation with NumPy and SciPy, position by position."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmark import Context, FeatureSpec, Geometry
from benchmark.data.loading import ImageSet
from benchmark.plugins.registry import Registry

from ..helpers import noise as images

Padim: Any = Registry().method("padim")[0]


def slow_map(
    train: NDArray[np.float64], test: NDArray[np.float64], regulariser: float
) -> NDArray[np.float64]:
    """Mahalanobis distance per position from (N, d, P) and (B, d, P), by explicit inverses."""
    out = np.empty((len(test), train.shape[2]))
    for p in range(train.shape[2]):
        mean = train[:, :, p].mean(0)
        covariance = np.cov(train[:, :, p], rowvar=False) + regulariser * np.eye(train.shape[1])
        inverse = np.linalg.inv(covariance)
        for b in range(len(test)):
            d = test[b, :, p] - mean
            out[b, p] = np.sqrt(d @ inverse @ d)
    return out


def stacked(context: Context, batch_of: ImageSet, chosen: list[int]) -> NDArray[np.float64]:
    spec = FeatureSpec("resnet18", (1, 2, 3))
    layers = context.features(batch_of.batch(range(len(batch_of))), spec)
    side = layers[0].shape[2]
    grown = [
        f.repeat_interleave(side // f.shape[2], 2).repeat_interleave(side // f.shape[2], 3)
        for f in layers
    ]
    return torch.cat(grown, 1)[:, chosen].flatten(2).double().numpy()


@pytest.mark.parametrize("solver", ["cholesky", "woodbury"])
def test_maps_equal_the_slow_computation(solver: str) -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    train, test = images(12), images(3, seed=1)
    detector = Padim(backbone="resnet18", channels=25, solver=solver, sigma=0.0)
    detector.fit(train, context)
    chosen = detector.facts()["channels"]
    assert len(chosen) == len(set(chosen)) == 25
    slow = slow_map(stacked(context, train, chosen), stacked(context, test, chosen), 0.01)
    got = detector.predict(test.batch([0, 1, 2]), context).maps
    assert got is not None
    want = torch.nn.functional.interpolate(
        torch.from_numpy(slow).reshape(3, 1, 16, 16), (64, 64), mode="bilinear"
    )[:, 0]
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=2e-4)


def test_smoothing_is_scipys_and_the_score_is_the_maximum() -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    train, test = images(12), images(2, seed=1)
    rough = Padim(backbone="resnet18", channels=20, sigma=0.0).fit(train, context)
    fine = Padim(backbone="resnet18", channels=20, sigma=4.0).fit(train, context)
    batch = test.batch([0, 1])
    a, b = rough.predict(batch, context), fine.predict(batch, context)
    assert a.maps is not None and b.maps is not None
    want = np.stack([gaussian_filter(m, 4.0) for m in a.maps.double().numpy()])
    np.testing.assert_allclose(b.maps.numpy(), want, rtol=1e-5)
    np.testing.assert_array_equal(b.scores.numpy(), b.maps.flatten(1).amax(1).numpy())


def test_auto_takes_the_solver_with_less_memory() -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    few = Padim(backbone="resnet18", channels=100).fit(images(5), context)
    many = Padim(backbone="resnet18", channels=10).fit(images(30), context)
    assert few.facts()["solver"] == "woodbury"
    assert many.facts()["solver"] == "cholesky"
    for detector, other in ((few, "cholesky"), (many, "woodbury")):
        twin = Padim(backbone="resnet18", channels=detector.channels, solver=other)
        twin.fit(images(5 if detector is few else 30), context)
        assert detector.state().nbytes < twin.state().nbytes


@pytest.mark.parametrize(
    ("backbone", "count"), [("resnet18", 100), ("wide_resnet50_2", 550), ("resnet34", 100)]
)
def test_channel_count_follows_the_backbone(backbone: str, count: int) -> None:
    context = Context.alone(geometry=Geometry(resize=32))
    detector = Padim(backbone=backbone).fit(images(4, side=32), context)
    assert len(detector.facts()["channels"]) == count


def test_the_draw_depends_on_the_seed_alone() -> None:
    def draw(seed: int) -> list[int]:
        context = Context.alone(geometry=Geometry(resize=64), seed=seed)
        chosen: list[int] = Padim(backbone="resnet18").fit(images(4), context).facts()["channels"]
        return chosen

    assert draw(0) == draw(0) != draw(1)


def test_public_draw_is_that_of_pythons_generator_for_every_category_and_seed() -> None:
    state = random.getstate()
    random.seed(1024)
    wanted = sorted(random.sample(range(448), 100))
    random.setstate(state)
    for purpose in (("0", "mvtec", "bottle", "padim"), ("7", "mvtec", "screw", "padim")):
        context = replace(Context.alone(geometry=Geometry(resize=64)), purpose=purpose)
        detector = Padim(backbone="resnet18", draw="public").fit(images(2), context)
        assert detector.facts()["channels"] == wanted
    assert random.getstate() == state, "Python's own generator was moved"


@pytest.mark.parametrize("solver", ["cholesky", "woodbury"])
@pytest.mark.parametrize(
    "chosen", [[0, 5], [64, 191], [447], [3, 300]], ids=["first", "second", "third", "no second"]
)
def test_layers_of_which_nothing_is_drawn_are_left_out(
    solver: str, chosen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    train, test = images(6), images(2, seed=1)
    rest = [channel for channel in range(448) if channel not in chosen]
    draw = np.array([*chosen, *rest])
    monkeypatch.setattr(Context, "rng", lambda *_: SimpleNamespace(permutation=lambda _: draw))
    detector = Padim(backbone="resnet18", channels=len(chosen), solver=solver, sigma=0.0)
    got = detector.fit(train, context).predict(test.batch([0, 1]), context).maps
    assert detector.facts()["channels"] == chosen
    slow = slow_map(stacked(context, train, chosen), stacked(context, test, chosen), 0.01)
    want = torch.nn.functional.interpolate(
        torch.from_numpy(slow).reshape(2, 1, 16, 16), (64, 64), mode="bilinear"
    )[:, 0]
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=2e-4)


def test_one_training_image_is_enough() -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    for solver in ("cholesky", "woodbury"):
        detector = Padim(backbone="resnet18", channels=10, solver=solver).fit(images(1), context)
        scores = detector.predict(images(2, seed=1).batch([0, 1]), context).scores
        assert torch.isfinite(scores).all()
