"""AnomalyDINO and RAD against cosines computed pair by pair, on both kinds of networks."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmark import Context, FeatureSpec, Geometry
from benchmark.data.loading import ImageSet
from benchmark.plugins.registry import Registry

AnomalyDino: Any = Registry().method("anomaly_dino")[0]
Rad: Any = Registry().method("rad")[0]


def images(count: int, seed: int = 0) -> ImageSet:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (count, 64, 64, 3), np.uint8)
    return ImageSet(pixels, [f"{seed}-{i}" for i in range(count)])


VIT = "vit_tiny_patch16_224"


def read(context: Context, part: ImageSet, backbone: str, layer: int | str) -> torch.Tensor:
    out = context.features(part.batch(range(len(part))), FeatureSpec(backbone, (layer,)))[0]
    return out.double()


@pytest.mark.parametrize(("backbone", "layer", "side"), [("resnet18", 1, 16), (VIT, "norm", 4)])
def test_anomaly_dino_is_one_minus_the_largest_cosine_with_any_normal_patch(
    backbone: str, layer: int | str, side: int
) -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    train, test = images(4), images(2, seed=1)
    detector = AnomalyDino(backbone=backbone, layers=(layer,), top=0.1, sigma=0.0)
    got = detector.fit(train, context).predict(test.batch([0, 1]), context)
    bank = read(context, train, backbone, layer).permute(0, 2, 3, 1).flatten(0, 2)
    for i, features in enumerate(read(context, test, backbone, layer)):
        queries = features.flatten(1).T
        distances = torch.stack([1 - F.cosine_similarity(q[None], bank).max() for q in queries])
        assert len(distances) == side**2
        top = distances.sort(descending=True).values[: side**2 // 10].mean()
        assert float(got.scores[i]) == pytest.approx(float(top), rel=1e-3)
        want = F.interpolate(distances.view(1, 1, side, side), (64, 64), mode="bilinear")[0, 0]
        np.testing.assert_allclose(got.maps[i], want, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "levels", "descriptor", "radius"),
    [
        ("resnet18", {2: 8, 3: 4}, "pooled", 0),
        ("resnet18", {2: 8, 3: 4}, "pooled", 1),
        (VIT, {3: 4, 9: 4}, "cls", 1),
    ],
)
def test_rad_compares_with_the_neighbourhood_in_the_retrieved_images_alone(
    backbone: str, levels: dict[int, int], descriptor: str, radius: int
) -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    train, test = images(6), images(2, seed=1)
    detector = Rad(
        backbone=backbone,
        layers=tuple(levels),
        descriptor=descriptor,
        k=2,
        radius=radius,
        sigma=0.0,
        top=0.02,
    ).fit(train, context)
    got = detector.predict(test.batch([0, 1]), context)
    pooled, pooled_test = (read(context, part, backbone, descriptor) for part in (train, test))
    for i in range(2):
        order = F.cosine_similarity(pooled_test[i][None], pooled).argsort(descending=True)[:2]
        want = torch.zeros(64, 64, dtype=torch.float64)
        for layer, side in levels.items():
            normal, shown = (read(context, part, backbone, layer) for part in (train, test))
            odd = shown[i]
            grid = torch.empty(side, side, dtype=torch.float64)
            for y in range(side):
                for x in range(side):
                    near = [
                        F.cosine_similarity(odd[:, y, x], normal[n, :, v, u], dim=0)
                        for n in order.tolist()
                        for v in range(max(0, y - radius), min(side, y + radius + 1))
                        for u in range(max(0, x - radius), min(side, x + radius + 1))
                    ]
                    grid[y, x] = 1 - torch.stack(near).max()
            want += F.interpolate(grid[None, None], (64, 64), mode="bilinear")[0, 0] / 2
        np.testing.assert_allclose(got.maps[i], want, rtol=1e-3, atol=1e-6)
        top = want.flatten().sort(descending=True).values[:81].mean()
        assert float(got.scores[i]) == pytest.approx(float(top), rel=1e-3)


def test_rad_compares_several_images_at_a_time_in_a_graph_and_finds_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, gallery = (
        F.normalize(torch.randn(count, 4, 5, 3, generator=generator), dim=1) for count in (2, 6)
    )
    chosen = torch.tensor([[0, 3, 5, 1, 2], [4, 0, 1, 2, 3]])
    nearby = sys.modules[Rad.__module__].nearby_cosine
    one_by_one = nearby(queries, gallery, chosen, 1)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    monkeypatch.setattr(sys.modules[Rad.__module__], "TRACED", 2 * gallery[0].numel())
    torch.testing.assert_close(nearby(queries, gallery, chosen, 1), one_by_one, rtol=0, atol=1e-6)
