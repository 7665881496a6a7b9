"""OC-SVM and KDE on pixels against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import KernelDensity
from sklearn.svm import OneClassSVM

from benchmark import Context, Geometry
from benchmark.data.loading import ImageSet
from benchmark.plugins.registry import Registry

Kde: Any = Registry().method("kde_pixels")[0]
OcSvm: Any = Registry().method("oc_svm_pixels")[0]
CONTEXT = Context.alone(geometry=Geometry(resize=None))


def images(count: int, seed: int = 0, side: int = 12) -> ImageSet:
    """Blurred noise: a few directions hold most of the variance."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, side // 4, side // 4, 3))
    fine = coarse.repeat(4, 1).repeat(4, 2) + rng.normal(0, 5, (count, side, side, 3))
    return ImageSet(fine.clip(0, 255).astype(np.uint8), [f"{seed}-{i}" for i in range(count)])


def rows(part: ImageSet) -> Any:
    return part.batch(range(len(part))).pixels.double().flatten(1).numpy()


@pytest.mark.parametrize("variance", [0.9, None])
def test_scores_equal_scikit_learn(variance: float | None) -> None:
    train, test = images(60), images(5, seed=1)
    normal, queries = rows(train), rows(test)
    if variance:
        pca = PCA(n_components=variance, svd_solver="full").fit(normal)
        normal, queries = pca.transform(normal), pca.transform(queries)
    else:
        normal, queries = normal - normal.mean(0), queries - normal.mean(0)
    batch = test.batch(range(5))
    machine = OneClassSVM(gamma="scale", nu=0.1).fit(normal)
    got = OcSvm(variance=variance).fit(train, CONTEXT).predict(batch, CONTEXT)
    assert got.maps is None
    np.testing.assert_allclose(
        got.scores, -machine.decision_function(queries), rtol=2e-3, atol=2e-3
    )
    spread = np.sqrt(np.mean((normal - normal.mean(0)) ** 2))
    density = KernelDensity(bandwidth=0.5 * spread).fit(normal).score_samples(queries)
    kde = Kde(variance=variance, bandwidth=0.5).fit(train, CONTEXT).predict(batch, CONTEXT)
    np.testing.assert_allclose(kde.scores, -density, rtol=1e-3)


def test_the_bandwidth_is_the_likeliest_for_images_left_out() -> None:
    train = images(60)
    detector = Kde(variance=0.9).fit(train, CONTEXT)
    pca = PCA(n_components=0.9, svd_solver="full").fit(rows(train))
    normal = pca.transform(rows(train))
    spread = np.sqrt(np.mean(normal**2))
    order = CONTEXT.rng("folds").permutation(60)
    candidates = [2 ** (k / 4) for k in range(-20, 9)]
    total = np.zeros(len(candidates))
    for fold in range(5):
        out = order[fold::5]
        kept = np.setdiff1d(order, out)
        for i, h in enumerate(candidates):
            total[i] += KernelDensity(bandwidth=h * spread).fit(normal[kept]).score(normal[out])
    assert detector.facts()["bandwidth"] == candidates[int(total.argmax())]
    assert 0 < int(total.argmax()) < len(candidates) - 1


def test_larger_images_are_averaged_down() -> None:
    train, test = images(20, side=24), images(2, seed=1, side=24)
    detector = Kde(side=6, bandwidth=0.3, variance=None).fit(train, CONTEXT)
    assert detector.rows_.shape == (20, 3 * 36)
    small = test.batch([0]).pixels.view(1, 3, 6, 4, 6, 4).mean((3, 5)).flatten(1)
    gap = (small - detector.mean_ - detector.rows_).square().sum(1)
    width = 0.3 * detector.spread_
    want = (
        torch.logsumexp(-gap / (2 * width**2), 0)
        - np.log(20)
        - 108 * np.log(width * np.sqrt(2 * np.pi))
    )
    got = detector.predict(test.batch([0]), CONTEXT).scores
    assert float(got[0]) == pytest.approx(-float(want), rel=1e-4)
