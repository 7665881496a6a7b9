"""The CNN feature dictionary against a loop over patches and pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmark import Context, Geometry
from benchmark.data.loading import ImageSet
from benchmark.plugins.registry import Registry

CnnDict: Any = Registry().method("cnn_dict")[0]


def images(count: int, seed: int = 0, side: int = 32) -> ImageSet:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (count, side, side, 3), np.uint8)
    return ImageSet(pixels, [f"{seed}-{i}" for i in range(count)])


@pytest.mark.parametrize("side", [32, 30])
def test_a_pixel_gets_the_mean_over_the_patches_that_cover_it(side: int) -> None:
    context = Context.alone(geometry=Geometry(resize=side))
    train, test = images(3, side=side), images(1, seed=1, side=side)
    detector = CnnDict(layer=2, patch=16, stride=8, size=32, samples=15, words=4, nearest=2)
    got = detector.fit(train, context).predict(test.batch([0]), context)
    network = context.backbone("resnet18")
    image = F.pad(test.batch([0]).pixels, (0, 32 - side, 0, 32 - side), mode="replicate")
    total, covered = torch.zeros(32, 32), torch.zeros(32, 32)
    for top in (0, 8, 16):
        for left in (0, 8, 16):
            patch = image[:, :, top : top + 16, left : left + 16]
            enlarged = F.interpolate(patch, size=(32, 32), mode="bilinear")
            described = network(enlarged, network.resolve((2,)))[0].mean((2, 3))[0]
            reduced = detector.axes_ @ (described - detector.mean_)
            gaps = torch.stack([(reduced - word).norm() for word in detector.words_])
            total[top : top + 16, left : left + 16] += gaps.sort().values[:2].mean()
            covered[top : top + 16, left : left + 16] += 1
    assert got.maps is not None and got.maps.shape == (1, side, side)
    want = (total / covered)[:side, :side]
    np.testing.assert_allclose(got.maps[0], want, rtol=1e-3)
    assert float(got.scores[0]) == pytest.approx(float(want.max()), rel=1e-3)


def test_the_dictionary_comes_from_so_many_patches_drawn_by_the_seed() -> None:
    def words(seed: int) -> torch.Tensor:
        context = Context.alone(geometry=Geometry(resize=32), seed=seed)
        detector = CnnDict(layer=1, stride=8, size=32, samples=6, words=10)
        fitted: torch.Tensor = detector.fit(images(3), context).words_
        return fitted

    assert len(words(0)) == 6
    assert torch.equal(words(0), words(0))
    assert not torch.equal(words(0).mean(0), words(1).mean(0))
