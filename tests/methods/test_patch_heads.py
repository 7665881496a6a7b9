"""1-NN, K-Means and OC-SVM on patch descriptors against scikit-learn in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.svm import OneClassSVM
from torch.nn import functional as F

from benchmark import Context, FeatureSpec, Geometry, State
from benchmark.data.loading import ImageSet
from benchmark.errors import SettingsError
from benchmark.plugins.registry import Registry

NAMES = ("one_nn", "k_means", "oc_svm")


def images(count: int, seed: int = 0) -> ImageSet:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (count, 64, 64, 3), np.uint8)
    return ImageSet(pixels, [f"{seed}-{i}" for i in range(count)])


def rows(context: Context, part: ImageSet) -> Any:
    fine, coarse = context.features(part.batch(range(len(part))), FeatureSpec("resnet18", (2, 3)))
    grown = F.interpolate(coarse, size=fine.shape[2:], mode="bilinear")
    return torch.cat([fine, grown], 1).flatten(2).mT.double().numpy()


def slow(name: str, detector: Any, normal: Any, queries: Any) -> Any:
    """Distances of queries by scikit-learn, all of whose rows are normal."""
    if name == "one_nn":
        return np.array([np.linalg.norm(normal - q, axis=1).min() for q in queries])
    if name == "oc_svm":
        machine = OneClassSVM(gamma="scale", nu=detector.nu).fit(normal)
        return -machine.decision_function(queries)
    found = detector.centres_[:, :-1].double().numpy() / -2
    nearest = np.array([np.linalg.norm(found - r, axis=1).argmin() for r in normal])
    for i, centre in enumerate(found):  # what makes them centres: the mean of what is nearest
        np.testing.assert_allclose(centre, normal[nearest == i].mean(0), rtol=1e-2, atol=1e-2)
    return np.array([np.linalg.norm(found - q, axis=1).min() for q in queries])


@pytest.mark.parametrize("name", NAMES)
def test_the_map_holds_the_distances_of_reduced_descriptors(name: str) -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    train, test = images(8), images(2, seed=1)
    cls: Any = Registry().method(name)[0]
    detector = cls(layers=(2, 3), samples=10_000, variance=0.8).fit(train, context)
    normal = rows(context, train).reshape(-1, 384)
    pca = PCA(n_components=0.8, svd_solver="full").fit(normal)
    assert detector.facts()["dimensions"] == [len(pca.components_), 384]
    axes = detector.axes_.double().numpy()
    span = np.abs(np.sum(axes * pca.components_, axis=1))
    np.testing.assert_allclose(span, 1, atol=1e-3)
    reduced = (normal - pca.mean_) @ axes.T
    got = detector.predict(test.batch([0, 1]), context)
    for i, queries in enumerate(rows(context, test)):
        want = slow(name, detector, reduced, (queries - pca.mean_) @ axes.T)
        grown = F.interpolate(torch.from_numpy(want).view(1, 1, 8, 8), (64, 64), mode="bilinear")
        np.testing.assert_allclose(got.maps[i], grown[0, 0], rtol=5e-3, atol=1e-3)
        assert float(got.scores[i]) == float(got.maps[i].max())


@pytest.mark.parametrize("name", NAMES)
def test_only_so_many_descriptors_are_drawn_and_by_the_seed(name: str) -> None:
    cls: Any = Registry().method(name)[0]

    def mean(seed: int) -> Any:
        context = Context.alone(geometry=Geometry(resize=64), seed=seed)
        return cls(layers=(3,), samples=20).fit(images(8), context).mean_

    assert torch.equal(mean(0), mean(0))
    assert not torch.equal(mean(0), mean(1))


@pytest.mark.parametrize("name", NAMES)
def test_the_teacher_of_uninformed_students_can_describe_the_patches(
    name: str, tmp_path: Path
) -> None:
    cls, preset = Registry().method(f"{name}_teacher")
    detector: Any = cls(**{**preset, "field": 17, "samples": 50})
    (cls,) = detector.assets()
    asset = cls()
    from benchmark.methods.uninformed_students.networks import patch_networks

    torch.manual_seed(0)
    networks = patch_networks(asset.fields)
    state = State({k: v.clone() for k, v in networks.state_dict().items()})
    asset.save(state, {}, tmp_path)
    context = Context.alone(geometry=Geometry(resize=64), assets_dir=tmp_path)
    detector.fit(images(4), context)
    assert detector.needs() == []
    network: Any = networks[asset.fields.index(17)]
    pixels = images(1, seed=1).batch([0]).pixels
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.no_grad():
        described = network.dense((pixels - mean) / std, 4)[0].flatten(1).T
    distances = detector.distance((described - detector.mean_) @ detector.axes_.T)
    got = detector.predict(images(1, seed=1).batch([0]), context).maps
    want = F.interpolate(distances.view(1, 1, 16, 16), (64, 64), mode="bilinear")[0]
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)


def test_settings_that_cannot_be_are_refused() -> None:
    one_nn: Any = Registry().method("one_nn")[0]
    with pytest.raises(SettingsError, match=r"field is 20; allowed are \[17, 33, 65\]"):
        one_nn(field=20)
    with pytest.raises(SettingsError, match="pooled"):
        one_nn(layers=("pooled",))
