"""Thinned curves, labelled regions, and the breakdowns by region and defect type."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import label

from benchmark.metrics import MetricInputError, pixel_metrics, pixel_metrics_by_type, region_overlap
from benchmark.metrics.curves import Curve, thin_line, thin_steps
from benchmark.metrics.regions import label_regions


def area(curve: Curve) -> float:
    return float(np.sum(np.diff(curve.x) * (curve.y[1:] + curve.y[:-1])) / 2)


def steps(curve: Curve) -> float:
    return float(np.sum(np.diff(curve.x) * curve.y[1:]))


def example(seed: int, size: int = 64) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    masks = rng.random((4, size, size)) < 0.2
    maps = rng.standard_normal(masks.shape) + masks
    return maps.astype(np.float32), masks


@pytest.mark.parametrize("limit", [0.3, 1.0])
def test_curves_are_bounded_and_keep_the_areas(limit: float) -> None:
    maps, masks = example(0)
    found = pixel_metrics(maps, masks, curves=True, fpr_limit=limit)
    assert found.curves is not None and found.pixel_auroc is not None and found.pixel_ap is not None
    roc, pr, pro = found.curves.roc, found.curves.pr, found.curves.pro
    for curve in (roc, pr, pro):
        assert 500 < len(curve.x) == len(curve.y) <= 1000
        assert (curve.x[0], curve.x[-1]) == (0.0, 1.0)
        assert (np.diff(curve.x) >= 0).all()
    assert area(roc) == pytest.approx(found.pixel_auroc, abs=1e-12)
    assert steps(pr) == pytest.approx(found.pixel_ap, abs=1e-12)
    whole = pixel_metrics(maps, masks, fpr_limit=1.0).pro
    assert area(pro) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("points", [4, 5, 50, 301])
@pytest.mark.parametrize("steep", [1, 4], ids=["even", "steep"])
def test_thinned_lines_rise_and_stay_near(points: int, steep: int) -> None:
    rng = np.random.default_rng(steep)
    x = np.concatenate([[0.0], np.cumsum(rng.exponential(size=3000) * (rng.random(3000) < 0.5))])
    y = np.concatenate([[0.0], np.cumsum(rng.exponential(size=3000) * (rng.random(3000) < 0.3))])
    curve = Curve((x / x[-1]) ** steep, (y / y[-1]) ** (1 / steep))
    thin = thin_line(curve, points)
    assert len(thin.x) <= points
    assert (np.diff(thin.x) >= -1e-15).all() and (np.diff(thin.y) >= -1e-15).all()
    assert area(thin) == pytest.approx(area(curve), abs=1e-12)
    near = 8 / points + np.diff(curve.y).max()
    assert np.abs(np.interp(curve.x, thin.x, thin.y) - curve.y).max() < near
    step = thin_steps(curve, points)
    assert len(step.x) <= points
    assert steps(step) == pytest.approx(steps(curve), abs=1e-12)


@pytest.mark.parametrize("density", [0.02, 0.1, 0.4, 0.7, 0.98])
@pytest.mark.parametrize("shape", [(3, 40, 31), (5, 1, 50), (5, 50, 1), (2, 2, 2)])
def test_regions_agree_with_scipy(shape: tuple[int, int, int], density: float) -> None:
    masks = np.random.default_rng(0).random(shape) < density
    found = label_regions(masks)
    begin = 0
    for i, mask in enumerate(masks):
        truth, count = label(mask, structure=np.ones((3, 3)))
        mine = found.region[found.image == i]
        assert len(np.unique(mine)) == count
        # Both number the regions in reading order of their first pixel, or nearly: compare pairs.
        pairs = set(zip(mine.tolist(), truth[mask].tolist(), strict=True))
        assert len(pairs) == count
        assert set(mine.tolist()) == set(range(begin, begin + count))
        begin += count
    assert np.array_equal(np.bincount(found.region), found.sizes)


def test_regions_do_not_reach_across_borders() -> None:
    masks = np.zeros((2, 3, 4), dtype=bool)
    masks[0, 0, 3] = masks[0, 1, 0] = True  # end of a row, begin of the next
    masks[0, 2, 3] = masks[1, 0, 0] = True  # last pixel of an image, first of the next
    assert label_regions(masks).sizes.tolist() == [1, 1, 1, 1]


def test_a_spiral_is_one_region() -> None:
    mask = np.array(
        [[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]
    )
    assert label_regions(mask[None].astype(bool)).sizes.tolist() == [17]


def test_region_overlap_averages_to_the_pro_curve() -> None:
    maps, masks = example(1, size=20)
    ids = ["a", "b", "c", "d"]
    found = region_overlap(maps, masks, 0.7, ids=ids)
    expected = []
    for name, one, mask in zip(ids, maps, masks, strict=True):
        labels, count = label(mask, structure=np.ones((3, 3)))
        for k in range(1, count + 1):
            inside = one[labels == k]
            expected.append((name, len(inside), float(np.mean(inside >= 0.7))))
    assert sorted((r.image, r.pixels, r.overlap) for r in found) == sorted(expected)
    assert region_overlap(maps, np.zeros_like(masks), 0.7) == []
    with pytest.raises(MetricInputError, match="image b"):
        region_overlap(maps, masks * np.array([1, 3, 1, 1])[:, None, None], 0.7, ids=ids)


def test_pixel_metrics_by_type_compares_each_with_all_good_images() -> None:
    maps, masks = example(2, size=16)
    masks[1] = masks[3] = False
    types = ["hole", "good", "cut", "good"]
    found = pixel_metrics_by_type(maps, masks, types)
    assert list(found) == ["cut", "hole"]
    assert found["cut"] == pixel_metrics(maps[1:], masks[1:])
    assert found["hole"] == pixel_metrics(maps[[0, 1, 3]], masks[[0, 1, 3]])
    with pytest.raises(MetricInputError, match="image x2"):
        broken = np.where(np.arange(4)[:, None, None] == 2, np.nan, maps)
        pixel_metrics_by_type(broken, masks, types, ids=["x0", "x1", "x2", "x3"])
    with pytest.raises(MetricInputError, match="3 defect types for 4 images"):
        pixel_metrics_by_type(maps, masks, types[:3])
