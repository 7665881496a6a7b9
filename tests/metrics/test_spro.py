"""sPRO against its definition, computed at every threshold."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.metrics import MetricInputError, image_metrics, pixel_metrics
from benchmark.metrics.scored import LOGICAL, STRUCTURAL

TYPES = ["good", STRUCTURAL, LOGICAL, STRUCTURAL, "good", LOGICAL]


@dataclass(frozen=True)
class Annotated:
    mask: NDArray[np.bool_]
    saturation: int


def example(levels: int | None) -> tuple[Any, Any, list[list[Annotated]]]:
    """Six images; overlapping defects of several pieces, some found once half of them is."""
    rng = np.random.default_rng(4)
    maps = rng.normal(size=(6, 16, 18))
    masks, defects = np.zeros(maps.shape, bool), []
    for i, kind in enumerate(TYPES):
        own = []
        for k in range(0 if kind == "good" else 1 + i % 3):
            mask = np.zeros(maps.shape[1:], bool)
            mask[2 + 3 * k : 7 + 3 * k, 3:9] = True
            mask[15, 2 * k] = True  # apart from the rest, and of the same defect
            own.append(Annotated(mask, int(rng.integers(1, mask.sum() + 1))))
            masks[i] |= mask
        defects.append(own)
    maps += 1.2 * masks
    if levels:
        maps = np.floor(maps * levels) / levels
    return maps.astype(np.float32), masks, defects


def slow_spro(maps: Any, masks: Any, defects: Any, kind: str, limit: float) -> float:
    chosen = [i for i, name in enumerate(TYPES) if name in ("good", kind)]
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        alarms = sum(int(((maps[i] >= threshold) & ~masks[i]).sum()) for i in chosen)
        normal = sum(int((~masks[i]).sum()) for i in chosen)
        found = [
            min(int((maps[i] >= threshold)[d.mask].sum()) / d.saturation, 1.0)
            for i in chosen
            for d in defects[i]
        ]
        points.append((alarms / normal, float(np.mean(found))))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            return (area + 0.5 * (y0 + y1) * (limit - x0)) / limit
        area += 0.5 * (y0 + y1) * (x1 - x0)
    return area / limit


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("levels", [None, 4, 1], ids=lambda n: f"{n or 'all'} levels")
def test_both_types_and_limits_agree_with_the_slow_definition(
    counting: str, levels: int | None, as_list: bool
) -> None:
    maps, masks, defects = example(levels)
    given = (list(maps), list(masks)) if as_list else (maps, masks)
    found = pixel_metrics(*given, types=TYPES, defects=defects)
    for percent, limit in ((5, 0.05), (30, 0.3)):
        each = [slow_spro(maps, masks, defects, kind, limit) for kind in (STRUCTURAL, LOGICAL)]
        name = f"spro_at_{percent}_fpr"
        assert getattr(found, f"{name}_structural") == pytest.approx(each[0], abs=1e-9)
        assert getattr(found, f"{name}_logical") == pytest.approx(each[1], abs=1e-9)
        assert getattr(found, name) == pytest.approx(np.mean(each), abs=1e-9)
        assert each[0] != pytest.approx(each[1], abs=1e-3)
    plain = pixel_metrics(maps, masks)
    assert {n: v for n, v in found.values.items() if "spro" not in n} == pytest.approx(
        dict(plain.values), abs=1e-12
    )
    assert "spro_at_5_fpr" not in plain.values  # nothing says how defects saturate


def test_the_image_auroc_of_each_type_is_against_all_good_images() -> None:
    scores = np.array([0.3, 0.4, 0.2, 0.9, 0.1, 0.25])
    labels = np.array([name != "good" for name in TYPES])
    found = image_metrics(scores, labels, types=TYPES)
    assert found.image_auroc_structural == 1.0 and found.image_auroc_logical == 0.5
    assert found.image_auroc_over_types == 0.75
    assert "image_auroc_logical" not in image_metrics(scores, labels).values


def test_defects_that_do_not_make_up_the_mask_are_refused() -> None:
    maps, masks, defects = example(None)
    with pytest.raises(MetricInputError, match="image 1: its mask is not the union of its 0"):
        pixel_metrics(maps, masks, types=TYPES, defects=[[]] * 6)
    with pytest.raises(MetricInputError, match="image 1: defect 0 saturates at 0 pixels"):
        wrong = [[Annotated(d.mask, 0) for d in own] for own in defects]
        pixel_metrics(maps, masks, types=TYPES, defects=wrong)
    with pytest.raises(MetricInputError, match="5 defect types"):
        pixel_metrics(maps, masks, types=TYPES[:5], defects=defects)
    with pytest.raises(MetricInputError, match="both or neither"):
        pixel_metrics(maps, masks, types=TYPES)
