"""Gaussian AD against explicit inverses of a shrunk covariance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from benchmark import Context, FeatureSpec, Geometry
from benchmark.data.loading import ImageSet
from benchmark.plugins.registry import Registry

GaussianAd: Any = Registry().method("gaussian_ad")[0]
LAYERS = (1, 2, 3)


def images(count: int, seed: int = 0) -> ImageSet:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (count, 64, 64, 3), np.uint8)
    return ImageSet(pixels, [f"{seed}-{i}" for i in range(count)])


def levels(context: Context, part: ImageSet) -> list[Any]:
    read = context.features(part.batch(range(len(part))), FeatureSpec("resnet18", LAYERS))
    return [layer.double().mean((2, 3)).numpy() for layer in read]


def test_the_score_is_the_sum_of_mahalanobis_distances_over_levels() -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    train, test = images(12), images(3, seed=1)
    detector = GaussianAd(backbone="resnet18", layers=LAYERS).fit(train, context)
    got = detector.predict(test.batch([0, 1, 2]), context)
    assert got.maps is None
    want = np.zeros(3)
    for normal, odd in zip(levels(context, train), levels(context, test), strict=True):
        model = LedoitWolf().fit(normal)
        inverse = np.linalg.inv(model.covariance_)
        gap = odd - normal.mean(0)
        want += np.sqrt(np.einsum("ni,ij,nj->n", gap, inverse, gap))
    np.testing.assert_allclose(got.scores.numpy(), want, rtol=1e-3)
    assert all(0 < share < 1 for share in detector.facts()["shrinkage"])


@pytest.mark.parametrize("count", [1, 2])
def test_very_few_images_give_finite_scores(count: int) -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    detector = GaussianAd(backbone="resnet18", layers=LAYERS).fit(images(count), context)
    scores = detector.predict(images(2, seed=1).batch([0, 1]), context).scores
    assert torch.isfinite(scores).all() and (scores > 0).all()


def test_the_papers_levels_are_those_of_an_efficientnet() -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    detector = GaussianAd(backbone="efficientnet_b0").fit(images(3), context)
    assert [len(m) for m in detector.means_] == [32, 16, 24, 40, 80, 112, 192, 320, 1280]
