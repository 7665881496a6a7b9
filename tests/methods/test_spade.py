"""SPADE against brute force in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from benchmark import Context, FeatureSpec, Geometry
from benchmark.data.loading import ImageSet
from benchmark.plugins.registry import Registry

from ..helpers import noise as images

Spade: Any = Registry().method("spade")[0]
LAYERS = (1, 2, 3)


def features(context: Context, part: ImageSet) -> list[torch.Tensor]:
    spec = FeatureSpec("resnet18", ("pooled", *LAYERS))
    return [f.double() for f in context.features(part.batch(range(len(part))), spec)]


def brute(queries: torch.Tensor, gallery: torch.Tensor) -> torch.Tensor:
    """Distance of each of (Q, C) to the nearest of (G, C), one query at a time."""
    return torch.stack([(gallery - q).square().sum(1).sqrt().min() for q in queries])


@pytest.mark.parametrize("pyramid", ["mean", "concat"])
def test_scores_and_maps_equal_brute_force(pyramid: str) -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    train, test = images(9), images(2, seed=1)
    detector = Spade(backbone="resnet18", k=3, pyramid=pyramid, sigma=0.0).fit(train, context)
    got = detector.predict(test.batch([0, 1]), context)
    pooled, *levels = features(context, train)
    pooled_test, *levels_test = features(context, test)
    if pyramid == "concat":
        size = levels[0].shape[2:]
        grow = [F.interpolate(f, size=size, mode="bilinear") for f in levels]
        grow_test = [F.interpolate(f, size=size, mode="bilinear") for f in levels_test]
        levels, levels_test = [torch.cat(grow, 1)], [torch.cat(grow_test, 1)]
    assert got.maps is not None
    for i in range(2):
        distances = (pooled - pooled_test[i]).square().sum(1).sqrt()
        nearest = distances.argsort()[:3]
        assert float(got.scores[i]) == pytest.approx(float(distances[nearest].mean()), rel=1e-4)
        want = torch.zeros(64, 64, dtype=torch.float64)
        for level, level_test in zip(levels, levels_test, strict=True):
            gallery = level[nearest].permute(0, 2, 3, 1).reshape(-1, level.shape[1])
            query = level_test[i].flatten(1).T
            grid = brute(query, gallery).reshape(1, 1, *level.shape[2:])
            want += F.interpolate(grid, (64, 64), mode="bilinear")[0, 0] / len(levels)
        np.testing.assert_allclose(got.maps[i].numpy(), want.numpy(), rtol=1e-3, atol=1e-4)


def test_a_training_image_is_its_own_neighbour() -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    train = images(6)
    detector = Spade(backbone="resnet18", k=1).fit(train, context)
    known = detector.predict(train.batch([2]), context)
    other = detector.predict(images(1, seed=1).batch([0]), context)
    assert known.maps is not None and other.maps is not None
    assert float(known.scores[0]) < 1e-2 * float(other.scores[0])
    assert float(known.maps.max()) < 2e-2 * float(other.maps.max())


def test_k_is_at_most_the_number_of_images() -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    batch = images(2, seed=1).batch([0, 1])
    all_five = Spade(backbone="resnet18", k=5).fit(images(5), context).predict(batch, context)
    fifty = Spade(backbone="resnet18", k=50).fit(images(5), context).predict(batch, context)
    assert torch.equal(all_five.scores, fifty.scores)


def test_squared_scores_and_other_descriptors() -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    train, batch = images(5), images(2, seed=1).batch([0, 1])
    plain = Spade(backbone="resnet18", k=1).fit(train, context).predict(batch, context)
    squared = Spade(backbone="resnet18", k=1, squared=True).fit(train, context)
    np.testing.assert_allclose(
        squared.predict(batch, context).scores.numpy(), plain.scores.square().numpy(), rtol=1e-5
    )
    layer3 = Spade(backbone="resnet18", k=1, descriptor=3).fit(train, context)
    distance: NDArray[np.float32] = layer3.predict(batch, context).scores.numpy()
    assert np.isfinite(distance).all() and (distance != plain.scores.numpy()).all()
