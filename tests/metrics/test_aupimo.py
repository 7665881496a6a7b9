"""AUPIMO against its definition, computed at every threshold."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.metrics import PixelMeter, pixel_metrics
from benchmark.metrics.names import METRICS

Map = NDArray[np.floating]


def example(levels: int | None = None, ragged: bool = False) -> tuple[list[Map], list[Map]]:
    """Four good images with enough pixels to resolve a rate of 1e-5, and three anomalous ones."""
    rng = np.random.default_rng(7)
    maps, masks = [], []
    for i in range(7):
        shape = (160 + 30 * (i % 2 and ragged), 170)
        mask = np.zeros(shape, bool)
        if i >= 4:
            mask[20:40, 30 : 30 + 5 * i] = True
        one = rng.normal(size=shape) + (i - 1.5) * mask
        maps.append((np.floor(one * levels) / levels if levels else one).astype(np.float32))
        masks.append(mask)
    return maps, masks


def slow_aupimo(maps: list[Map], masks: list[Map]) -> list[float | None]:
    """Walk down all thresholds; the mean of recall over the logarithm of the shared rate."""
    good = [m for m, k in zip(maps, masks, strict=True) if not k.any()]
    low, high = 1e-5, 1e-4
    values = np.unique(np.concatenate([m.ravel() for m in good]))[::-1]
    values = values[: int(4 * high * sum(m.size for m in good)) + 5]  # beyond a rate of 1e-4
    out: list[float | None] = []
    for one, mask in zip(maps, masks, strict=True):
        if not mask.any():
            out.append(None)
            continue
        area, rate_before = 0.0, 0.0
        for value in values:
            rate = float(np.mean([np.mean(m >= value) for m in good]))
            above, up_to = np.mean(one[mask] > value), np.mean(one[mask] >= value)
            if rate_before > 0:
                x = np.log([rate_before, rate])
                left, right = max(x[0], np.log(low)), min(x[1], np.log(high))
                if right > left:
                    area += float(np.mean(np.interp([left, right], x, [above, up_to]))) * (
                        right - left
                    )
            elif rate > low:
                return [None if not k.any() else np.nan for k in masks]
            rate_before = rate
        out.append(area / np.log(high / low))
    return out


@pytest.mark.parametrize("ragged", [False, True], ids=["one size", "two sizes"])
@pytest.mark.parametrize("levels", [None, 100, 3], ids=["distinct", "ties", "heavy ties"])
def test_every_image_agrees_with_the_slow_definition(
    counting: str, levels: int | None, ragged: bool
) -> None:
    maps, masks = example(levels, ragged)
    expected = slow_aupimo(maps, masks)
    known = [value for value in expected if value is not None]
    found = pixel_metrics(maps, masks)
    if np.isnan(known).any():  # heavy ties: the highest score alone is beyond the rate
        assert levels == 3 and found.aupimo is None
        return
    assert 0.01 < min(known) < 0.5 < max(known) < 0.99
    values = found.of_images["aupimo"]
    assert np.isnan(values).tolist() == [value is None for value in expected]
    assert values[~np.isnan(values)] == pytest.approx(known, abs=1e-9)
    assert found.aupimo == pytest.approx(np.mean(known), abs=1e-9)
    assert found.aupimo_median == pytest.approx(np.median(known), abs=1e-9)


def test_gathered_image_by_image_and_from_disk_it_is_the_same(counting: str) -> None:
    maps, masks = example(100)
    whole = pixel_metrics(np.stack(maps), np.stack(masks))
    meter = PixelMeter(memory_limit=100_000)
    for i in (5, 0, 4, 1, 6, 2, 3):
        meter.add(maps[i], masks[i])
    assert meter.result().aupimo == pytest.approx(whole.aupimo, abs=1e-12)
    assert pixel_metrics(np.stack(maps), np.stack(masks), variants=False).aupimo is None


def test_too_few_good_pixels_leave_it_undefined_with_the_reason() -> None:
    maps, masks = example()
    found = pixel_metrics(maps[3:], masks[3:])  # one good image of 27,200 pixels
    assert found.aupimo is None and found.pixel_auroc is not None
    assert "too few pixels to resolve" in METRICS["aupimo"].undefined
    assert pixel_metrics(maps[4:], masks[4:]).aupimo is None  # no good image
    # A tie at the top that spans more than the rate resolves nothing either.
    flat = [np.minimum(m, np.float32(2)) for m in maps]
    assert pixel_metrics(flat, masks).aupimo is None
