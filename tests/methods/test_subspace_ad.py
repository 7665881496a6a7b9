"""SubspaceAD against a singular value decomposition with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmark import Context, FeatureSpec, Geometry
from benchmark.data.loading import ImageSet
from benchmark.errors import SettingsError
from benchmark.methods._parts.pca import Scatter, principal_axes, reduction
from benchmark.plugins.registry import Registry

SubspaceAd: Any = Registry().method("subspace_ad")[0]


def images(count: int, seed: int = 0) -> ImageSet:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (count, 64, 64, 3), np.uint8)
    return ImageSet(pixels, [f"{seed}-{i}" for i in range(count)])


@pytest.mark.parametrize(
    ("backbone", "layers", "combine", "side"),
    [("resnet18", (2, 3), "concat", 8), ("vit_tiny_patch16_224", (5, 8), "mean", 4)],
)
def test_maps_and_scores_equal_the_residual_of_a_singular_value_decomposition(
    backbone: str, layers: tuple[int, int], combine: str, side: int
) -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    train, test = images(20), images(2, seed=1)
    detector = SubspaceAd(
        backbone=backbone, layers=layers, combine=combine, variance=0.8, sigma=0.0
    ).fit(train, context)

    def rows(part: ImageSet) -> Any:
        fine, coarse = context.features(part.batch(range(len(part))), FeatureSpec(backbone, layers))
        if combine == "mean":
            return ((fine + coarse) / 2).flatten(2).mT.double().numpy()
        grown = torch.nn.functional.interpolate(coarse, size=fine.shape[2:], mode="bilinear")
        return torch.cat([fine, grown], 1).flatten(2).mT.double().numpy()

    normal = np.concatenate(rows(train))
    mean = normal.mean(0)
    _, lengths, axes = np.linalg.svd(normal - mean, full_matrices=False)
    share = np.cumsum(lengths**2) / np.sum(lengths**2)
    count = int(np.argmax(share >= 0.8)) + 1
    assert detector.facts()["dimensions"] == [count, normal.shape[1]]
    got = detector.predict(test.batch([0, 1]), context)
    for i, queries in enumerate(rows(test) - mean):
        left = ((queries - queries @ axes[:count].T @ axes[:count]) ** 2).sum(1)
        want = torch.nn.functional.interpolate(
            torch.from_numpy(left).view(1, 1, side, side), (64, 64), mode="bilinear"
        ).flatten()
        np.testing.assert_allclose(got.maps[i].flatten(), want, rtol=1e-3)
        top = want.sort(descending=True).values[: 64 * 64 // 100].mean()
        assert float(got.scores[i]) == pytest.approx(float(top), rel=1e-3)


def test_layers_of_one_shape_are_averaged_and_others_refused() -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    same = SubspaceAd(backbone="resnet18", layers=("layer2.0", "layer2.1"), variance=0.9)
    assert same.fit(images(3), context).facts()["dimensions"][1] == 128
    with pytest.raises(SettingsError, match=r"128, 8, 8.*256, 4, 4.*combine=concat"):
        SubspaceAd(backbone="resnet18", layers=(2, 3)).fit(images(3), context)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_scatter_in_parts_is_the_covariance_also_far_from_zero(offset: float) -> None:
    rows = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) + offset
    scatter = Scatter()
    for part in torch.split(rows, 70):
        scatter.add(part)
    np.testing.assert_allclose(scatter.mean(), rows.double().mean(0), rtol=1e-12)
    want = np.cov(rows.double().numpy().T, bias=True)
    np.testing.assert_allclose(scatter.covariance(), want, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shape", [(40, 7), (7, 40)])
def test_the_reduction_of_few_and_of_many_rows_agree_with_scikit_learn(
    shape: tuple[int, int],
) -> None:
    from sklearn.decomposition import PCA

    rows = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * torch.arange(
        1, shape[1] + 1
    )
    mean, axes = reduction(rows + 3, 0.9)
    want = PCA(n_components=0.9, svd_solver="full").fit(rows.double().numpy() + 3)
    assert len(axes) == len(want.components_)
    np.testing.assert_allclose(mean, want.mean_, rtol=1e-4)
    same = np.abs(np.sum(axes.numpy() * want.components_, axis=1))
    np.testing.assert_allclose(same, 1, rtol=1e-4)


def test_equal_rows_leave_one_axis() -> None:
    assert principal_axes(torch.zeros(4, 4, dtype=torch.float64), 0.95).shape == (1, 4)
    assert reduction(torch.ones(3, 9), 0.95)[1].shape == (1, 9)
