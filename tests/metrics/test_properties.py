"""What must hold for any scores and any masks."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from benchmark.metrics import PixelMeter, PixelMetrics, image_metrics, pixel_metrics

from ..helpers import flat

FRACTIONS = (
    "pixel_auroc",
    "pixel_ap",
    "pro",
    "pixel_f1_max",
    "pixel_iou_max",
    "pixel_auroc_per_image",
    "pixel_auroc_anomalous",
    "pro_per_image",
)
Sample = tuple[NDArray[np.float32], NDArray[np.bool_]]

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def samples(draw: Any) -> Sample:
    """A few small images; few distinct scores as often as many."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7)))
    few = st.integers(-3, 3).map(float)
    many = st.floats(-1e6, 1e6, width=32)
    maps = draw(arrays.arrays(np.float32, shape, elements=draw(st.sampled_from([few, many]))))
    masks = draw(arrays.arrays(np.bool_, shape))
    return maps, masks


def same(one: PixelMetrics, two: PixelMetrics, tolerance: float = 1e-12) -> None:
    first, second = flat(one), flat(two)
    assert {k for k in FRACTIONS if first[k] is None} == {k for k in FRACTIONS if second[k] is None}
    for name, value in first.items():
        if value is not None:
            assert value == pytest.approx(second[name], abs=tolerance), name


@quick
@given(samples())
def test_a_rising_transform_changes_nothing(counting: str, sample: Sample) -> None:
    maps, masks = sample
    expected = pixel_metrics(maps, masks)
    rank = np.unique(maps, return_inverse=True)[1].reshape(maps.shape)
    assert pixel_metrics(rank.astype(np.float32), masks) == expected
    assert pixel_metrics(2.0**-40 * (rank.astype(np.float64) - 7), masks) == expected
    assert pixel_metrics(np.float32(-1) / (rank + 1).astype(np.float32), masks) == expected


@quick
@given(samples(), st.randoms(use_true_random=False))
def test_the_order_of_images_changes_nothing(counting: str, sample: Sample, random: Any) -> None:
    maps, masks = sample
    order = list(range(len(maps)))
    random.shuffle(order)
    mixed, found = pixel_metrics(maps[order], masks[order]), pixel_metrics(maps, masks)
    for name, values in found.of_images.items():
        assert np.allclose(mixed.of_images[name], values[order], equal_nan=True), name
    same(replace(mixed, of_images={}), replace(found, of_images={}))


@quick
@given(samples(), st.data())
def test_splitting_into_batches_changes_nothing(counting: str, sample: Sample, data: Any) -> None:
    maps, masks = sample
    cuts = sorted(data.draw(st.sets(st.integers(0, len(maps)))) | {0, len(maps)})
    meter = PixelMeter(memory_limit=data.draw(st.integers(0, 400)))
    for begin, end in pairwise(cuts):
        meter.add(maps[begin:end], masks[begin:end])
    assert meter.result() == pixel_metrics(maps, masks)


@quick
@given(samples(), st.floats(0.001, 1.0))
def test_values_stay_in_their_bounds(counting: str, sample: Sample, limit: float) -> None:
    maps, masks = sample
    found = flat(pixel_metrics(maps, masks, fpr_limit=limit))
    for name in FRACTIONS:
        assert found[name] is None or -1e-12 <= found[name] <= 1 + 1e-12, name
    if found["pixel_auroc"] is not None:
        flipped = pixel_metrics(-maps, masks)
        assert found["pixel_auroc"] + flipped.pixel_auroc == pytest.approx(1)
        # Calling everything anomalous is always possible.
        assert found["pixel_iou_max"] >= masks.mean() - 1e-12
        assert found["pixel_f1_max"] >= found["pixel_iou_max"]
        assert found["pixel_ap"] >= 0


@quick
@given(samples())
def test_curves_have_the_areas_of_the_metrics(counting: str, sample: Sample) -> None:
    maps, masks = sample
    found = pixel_metrics(maps, masks, curves=True, fpr_limit=1.0)
    if found.curves is None:
        assert found.pixel_auroc is None
        return
    roc, pr, pro = found.curves.roc, found.curves.pr, found.curves.pro
    for curve, area in ((roc, found.pixel_auroc), (pro, found.pro)):
        assert (np.diff(curve.x) >= 0).all() and (np.diff(curve.y) >= -1e-12).all()
        assert np.sum(np.diff(curve.x) * (curve.y[1:] + curve.y[:-1])) / 2 == pytest.approx(area)
    assert np.sum(np.diff(pr.x) * pr.y[1:]) == pytest.approx(found.pixel_ap)


@quick
@given(st.lists(st.tuples(st.integers(-4, 4), st.booleans()), max_size=40))
def test_image_metrics_see_only_the_order(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in pairs], dtype=np.float64)
    labels = np.array([label for _, label in pairs], dtype=bool)
    found = flat(image_metrics(scores, labels))
    assert flat(image_metrics(np.exp(scores), labels)) == found
    assert flat(image_metrics(scores[::-1], labels[::-1])) == found
    assert all(value is None or 0 <= value for value in found.values())
