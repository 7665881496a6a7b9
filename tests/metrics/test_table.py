"""The one table of metrics: what reads it, and numbers that a change must not move."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

import benchmark as ib
from benchmark.metrics import image_metrics, pixel_metrics
from benchmark.metrics.counted import pooled
from benchmark.metrics.curves import Ranking
from benchmark.metrics.image import checked
from benchmark.metrics.names import METRICS, Metric, measured
from benchmark.metrics.scored import ranked

# Computed before the table of metrics existed, from `unchanging` below.
EARLIER = {
    "image_auroc": 0.6597222222222222,
    "image_ap": 0.768269918911045,
    "image_f1_max": 0.7567567567567568,
    "image_accuracy": 0.5652173913043478,
    "image_balanced_accuracy": 0.5634920634920635,
    "image_balanced_accuracy_oracle": 0.6944444444444444,
    "image_recall_at_0_fpr": 0.10714285714285714,
    "image_recall_at_1_fpr": 0.10714285714285714,
    "pixel_auroc": 0.8486106298467544,
    "pixel_ap": 0.14657065532894592,
    "pro": 0.6032425793511115,
    "pixel_f1_max": 0.24380165289256198,
    "pixel_iou_max": 0.1388235294117647,
    "pixel_auroc_per_image": 0.8492981427017099,
    "pixel_auroc_anomalous": 0.8486960558541357,
    "pro_per_image": 0.6065439944246915,
}


def unchanging() -> tuple[dict[str, float | None], dict[str, float | None]]:
    rng = np.random.default_rng(20)
    masks = rng.random((6, 40, 40)) < 0.02
    masks[:, 5:9, 10:16] = True
    masks[::3] = False
    maps = np.round(rng.standard_normal(masks.shape) + 1.5 * masks, 2).astype(np.float32)
    labels = np.r_[masks.any((1, 2)), rng.random(40) < 0.6]
    scores = maps.max((1, 2)).astype(float)
    scores = np.r_[scores, np.round(rng.normal(size=40) + labels[6:], 1)]
    images = image_metrics(scores, labels, threshold=0.9)
    return dict(images.values), dict(pixel_metrics(maps, masks).values)


def test_the_metrics_of_before_have_not_moved(counting: str) -> None:
    images, pixels = unchanging()
    assert {name: (images | pixels)[name] for name in EARLIER} == pytest.approx(EARLIER, abs=1e-14)


def test_five_metrics_come_first_and_are_shown_unasked() -> None:
    first = ["image_auroc", "image_accuracy", "pixel_auroc", "pro", "pixel_ap"]
    assert list(METRICS)[:5] == first == [n for n, m in METRICS.items() if m.default]
    lower = [name for name, metric in METRICS.items() if metric.better == "lower"]
    assert lower == [f"image_fnr_at_{percent}_fpr" for percent in (0, 2, 5)]


def test_an_entry_of_the_table_is_measured_listed_and_resampled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from benchmark.records.resample import Draws, Histograms, Shares, image_values, pixel_values

    def worst(r: Ranking) -> float:
        return float(r.alarms[-1] / r.normal)

    monkeypatch.setitem(METRICS, "image_fpr_at_95", Metric("x", ranked(worst)))
    monkeypatch.setitem(METRICS, "pixel_fpr", Metric("y", pooled(worst), "pixel"))
    assert "image_fpr_at_95" in measured("image") and "pixel_fpr" in measured("pixel")
    scores, labels = np.array([0.1, 0.4, 0.3, 0.9]), np.array([0, 0, 1, 1], bool)
    found = ib.measure(scores, labels, scores.reshape(4, 1, 1), labels.reshape(4, 1, 1))
    assert found["image_fpr_at_95"] == found["pixel_fpr"] == 0.5
    assert {0.0, 0.5} < set(image_values(scores, "image_fpr_at_95", Draws.of(labels, 50), None))
    assert ib.available("metrics")["pixel_fpr"] == "y"
    bins, none = np.ones((2, 4)), np.zeros(2)
    each = {name: none for name in ("auroc", "pro", "aupimo")}
    counted = Histograms(bins, bins, Shares(bins[:1] / 4, np.array([0])), each)
    assert pixel_values(counted, "pixel_fpr", np.ones((1, 2))).tolist() == [1.0]


@pytest.mark.parametrize("decimals", [9, 1, 0], ids=["distinct", "ties", "heavy ties"])
def test_good_parts_kept_and_defects_missed_at_every_threshold(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    labels = rng.random(150) < 0.6
    scores = np.round(rng.standard_normal(150) + labels, decimals)
    found = image_metrics(scores, labels)
    good, bad = scores[~labels], scores[labels]
    every = np.r_[scores, scores.min() - 1, np.nextafter(scores, -9.0)]  # just below each, too
    rates = [(np.mean(good > t), np.mean(bad <= t)) for t in every]  # FPR, FNR
    for percent in (0, 2, 5):
        kept = max(1 - fpr for fpr, fnr in rates if fnr <= percent / 100)
        assert getattr(found, f"image_tnr_at_{percent}_fnr") == pytest.approx(kept, abs=1e-12)
        missed = min(fnr for fpr, fnr in rates if fpr <= percent / 100)
        assert getattr(found, f"image_fnr_at_{percent}_fpr") == pytest.approx(missed, abs=1e-12)
    assert found.image_fnr_at_0_fpr == pytest.approx(1 - (found.image_recall_at_0_fpr or 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_f1_at_a_threshold_is_scikit_learns(counting: str, dtype: type) -> None:
    rng = np.random.default_rng(3)
    masks = rng.random((5, 30, 30)) < 0.05
    masks[::2] = False
    maps: Any = np.round(rng.standard_normal(masks.shape) + masks, 2).astype(dtype)
    between = (float(maps[1, 0, 0]) + float(np.nextafter(maps[1, 0, 0], dtype(9)))) / 2
    for threshold in (0.5, float(maps[1, 0, 0]), between, -99.0, 99.0):
        expected = f1_score(masks.ravel(), maps.astype(np.float64).ravel() > threshold)
        found = pixel_metrics(maps, masks, threshold=threshold)
        assert found.pixel_f1 == pytest.approx(expected, abs=1e-12)
        assert (found.pixel_f1_max or 0) >= expected - 1e-12
    labels, scores = masks.any((1, 2)), maps.max((1, 2))
    expected = f1_score(labels, scores > 2.5)
    assert image_metrics(scores, labels, threshold=2.5).image_f1 == pytest.approx(expected)
    assert pixel_metrics(maps, masks).pixel_f1 is None
    assert METRICS["image_f1"].function(checked(scores, labels)) is None


def test_the_example_of_the_guide_runs_and_leaves_an_entry(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "adding-a-metric.md").read_text("utf-8")
    *_, example = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    before = dict(METRICS)
    (tmp_path / "example.py").write_text(example)
    runpy.run_path(str(tmp_path / "example.py"))
    (added,) = METRICS.keys() - before.keys()
    monkeypatch.delitem(METRICS, added)
    assert list(before) == list(METRICS)
