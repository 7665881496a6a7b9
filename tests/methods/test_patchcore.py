"""PatchCore against the official code's way of computing it, and against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmark import Context, FeatureSpec, Geometry
from benchmark.data.loading import ImageSet
from benchmark.detector.context import Quiet
from benchmark.methods._parts import coreset
from benchmark.methods._parts.neighbours import nearest_squared, searchable
from benchmark.plugins.registry import Registry

Patchcore: Any = Registry().method("patchcore")[0]


def images(count: int, seed: int = 0, side: int = 64) -> ImageSet:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (count, side, side, 3), np.uint8)
    return ImageSet(pixels, [f"{seed}-{i}" for i in range(count)])


def descriptors(context: Context, part: ImageSet, layers: tuple[int, ...]) -> torch.Tensor:
    """(B, P, 1024) as the official code computes them: unfolded, interpolated, pooled twice."""
    read = context.features(part.batch(range(len(part))), FeatureSpec("resnet18", layers))
    side = read[0].shape[2]
    pooled = []
    for layer in read:
        count, channels, height, _ = layer.shape
        patches = F.unfold(layer, 3, padding=1).view(count, channels * 9, height, height)
        patches = F.interpolate(patches, size=(side, side), mode="bilinear", align_corners=False)
        rows = patches.permute(0, 2, 3, 1).reshape(-1, 1, channels * 9)
        pooled.append(F.adaptive_avg_pool1d(rows, 1024).squeeze(1))
    stacked = torch.stack(pooled, 1).reshape(len(pooled[0]), 1, -1)
    return F.adaptive_avg_pool1d(stacked, 1024).reshape(len(part), side * side, 1024)


def brute(queries: torch.Tensor, bank: torch.Tensor) -> torch.Tensor:
    """All Euclidean distances (Q, M), in float64 and without a matrix product."""
    return torch.stack([(bank.double() - q.double()).norm(dim=1) for q in queries])


def greedy(points: torch.Tensor, count: int, starts: torch.Tensor) -> list[int]:
    far = brute(points, points[starts]).mean(1)
    chosen: list[int] = []
    for _ in range(count):
        chosen.append(int(far.argmax()))
        far = torch.minimum(far, brute(points, points[chosen[-1:]])[:, 0])
    return chosen


@pytest.mark.parametrize("layers", [(2, 3), (1, 2, 3)])
def test_scores_and_maps_equal_brute_force_over_the_official_descriptors(
    layers: tuple[int, ...],
) -> None:
    context = Context.alone(geometry=Geometry(resize=32))
    train, test = images(4, side=32), images(2, seed=1, side=32)
    detector = Patchcore(backbone="resnet18", layers=layers, coreset=None, sigma=0.0)
    got = detector.fit(train, context).predict(test.batch([0, 1]), context)
    bank = descriptors(context, train, layers).flatten(0, 1)
    for i, queries in enumerate(descriptors(context, test, layers)):
        squared = brute(queries, bank).amin(1).square()
        assert float(got.scores[i]) == pytest.approx(float(squared.max()), rel=1e-4)
        side = int(len(squared) ** 0.5)
        want = F.interpolate(squared.view(1, 1, side, side), (32, 32), mode="bilinear")[0, 0]
        np.testing.assert_allclose(got.maps[i], want, rtol=1e-3)


def test_reweighting_is_equation_7_with_plain_means_and_distances() -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    train, test = images(5), images(3, seed=1)
    detector = Patchcore(
        backbone="resnet18", aggregation="mean", coreset=None, reweight=4, sigma=0.0
    ).fit(train, context)
    got = detector.predict(test.batch([0, 1, 2]), context)

    def rows(part: ImageSet) -> torch.Tensor:
        fine, coarse = context.features(
            part.batch(range(len(part))), FeatureSpec("resnet18", (2, 3))
        )
        mean = [
            F.unfold(f, 3, padding=1).view(len(f), f.shape[1], 9, -1).mean(2)
            for f in (fine, coarse)
        ]
        grown = F.interpolate(mean[1].view(coarse.shape), size=fine.shape[2:], mode="bilinear")
        return torch.cat([mean[0], grown.flatten(2)], 1).mT

    bank = rows(train).flatten(0, 1).double()
    plain = []
    for i, queries in enumerate(rows(test).double()):
        distances = brute(queries, bank)
        worst = int(distances.amin(1).argmax())
        nearest = int(distances[worst].argmin())
        around = brute(bank[nearest][None], bank)[0].argsort()[:4]
        assert nearest in around
        raised = distances[worst].exp()
        weight = 1 - raised[nearest] / raised[around].sum()
        plain.append(float(distances[worst, nearest]))
        assert float(got.scores[i]) == pytest.approx(float(weight) * plain[-1], rel=1e-3)
        assert float(weight) < 0.9
        assert float(got.maps[i].max()) == pytest.approx(plain[-1], rel=0.2)


@pytest.mark.parametrize("candidates", [3, 40, 10_000])
def test_the_coreset_is_the_greedy_one_however_many_candidates_a_step_looks_at(
    candidates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coreset, "CANDIDATES", candidates)
    points = torch.randn(300, 8, generator=torch.Generator().manual_seed(0)) + 20
    starts = torch.tensor([5, 17, 200])
    got = coreset.farthest_first(points, 60, starts, Quiet())
    assert got.tolist() == greedy(points, 60, starts)


def test_the_search_in_blocks_finds_the_nearest_of_several_galleries() -> None:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(1100, 3, generator=generator)
    galleries = [torch.randn(count, 3, generator=generator) for count in (2100, 1, 1024)]
    got = nearest_squared(queries, [searchable(gallery) for gallery in galleries])
    want = torch.cdist(queries.double(), torch.cat(galleries).double()).amin(1).square()
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)


def test_a_point_that_occurs_twice_is_chosen_once() -> None:
    points = torch.randn(10, 4, generator=torch.Generator().manual_seed(0)).repeat(3, 1)
    got = coreset.farthest_first(points, 20, torch.tensor([0, 1]), Quiet())
    assert len(set(got.tolist())) == 20
    assert len({tuple(p.tolist()) for p in points[got[:10]]}) == 10


def test_the_memory_bank_is_the_share_asked_for_of_real_descriptors() -> None:
    context = Context.alone(geometry=Geometry(resize=64))
    train = images(20)
    detector = Patchcore(backbone="resnet18", coreset=0.1).fit(train, context)
    all_of_them = descriptors(context, train, (2, 3)).flatten(0, 1)
    bank = detector.bank_[:, :-1] / -2 + detector.centre_
    assert len(bank) == detector.facts()["memory_bank"] == len(all_of_them) // 10
    nearest = torch.cdist(bank.double(), all_of_them.double()).min(1)
    assert float(nearest.values.max()) < 1e-3 * float(bank.norm(dim=1).mean())
    assert len(set(nearest.indices.tolist())) == len(bank)
    covered = torch.cdist(all_of_them, bank).amin(1).max()
    drawn = all_of_them[torch.randperm(len(all_of_them))[: len(bank)]]
    assert float(covered) < float(torch.cdist(all_of_them, drawn).amin(1).max())


def test_the_draw_depends_on_the_seed_alone() -> None:
    def bank(seed: int) -> torch.Tensor:
        context = Context.alone(geometry=Geometry(resize=64), seed=seed)
        fitted: torch.Tensor = (
            Patchcore(backbone="resnet18", coreset=0.05).fit(images(8), context).bank_
        )
        return fitted

    assert torch.equal(bank(0), bank(0))
    assert not torch.equal(bank(0), bank(1))
