"""Image-level metrics against scikit-learn, thresholds against their definition."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    precision_recall_curve,
    roc_auc_score,
)

from benchmark.metrics import (
    MetricInputError,
    image_metrics,
    image_metrics_by_type,
    normal_threshold,
)

from ..helpers import flat


@pytest.mark.parametrize("decimals", [9, 1, 0], ids=["distinct", "ties", "heavy ties"])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_scikit_learn(seed: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.random(83) < 0.6
    scores = np.round(rng.standard_normal(83) + labels, decimals)
    found = image_metrics(scores, labels, threshold=0.5)
    assert found.image_auroc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found.image_ap == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    assert found.image_f1_max == pytest.approx(f1.max(), abs=1e-12)
    called = scores > 0.5
    assert found.image_accuracy == pytest.approx(np.mean(called == labels))
    assert found.image_balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, called))
    every = [balanced_accuracy_score(labels, scores > t) for t in [-99, *scores]]
    assert found.image_balanced_accuracy_oracle == pytest.approx(max(every), abs=1e-12)
    assert found.tp == int(np.sum(called & labels))
    assert found.fp == int(np.sum(called & ~labels))
    assert found.tn == int(np.sum(~called & ~labels))
    assert found.fn == int(np.sum(~called & labels))
    assert (found.anomalous_images, found.normal_images) == (labels.sum(), (~labels).sum())


def test_a_score_at_the_threshold_is_normal() -> None:
    found = image_metrics([1.0, 1.0, 2.0], [0, 1, 1], threshold=1.0)
    assert (found.tp, found.fp, found.tn, found.fn) == (1, 0, 1, 1)
    assert image_metrics([1.0, 1.0], [0, 1]).image_recall_at_0_fpr == 0.0


def test_recall_at_few_false_alarms() -> None:
    normal = np.arange(200.0)
    bad = np.array([197.5, 198.5, 199.0, 199.5])
    found = image_metrics(np.concatenate([normal, bad]), [0] * 200 + [1] * 4)
    assert found.image_recall_at_0_fpr == 0.25
    # The 198th smallest of 200 is 197: two normal images, 1 %, lie above it.
    assert found.image_recall_at_1_fpr == 1.0
    fewer = image_metrics(np.concatenate([normal[101:], bad]), [0] * 99 + [1] * 4)
    assert fewer.image_recall_at_1_fpr == fewer.image_recall_at_0_fpr == 0.25


def test_without_a_threshold_no_accuracy() -> None:
    found = image_metrics([0.1, 0.9], [0, 1])
    assert (found.image_accuracy, found.image_balanced_accuracy) == (None, None)
    assert (found.threshold, found.tp, found.fp, found.tn, found.fn) == (None,) * 5
    assert found.image_balanced_accuracy_oracle == 1.0


@pytest.mark.parametrize("label", [0, 1])
def test_undefined_with_one_class(label: int) -> None:
    found = flat(image_metrics([0.1, 0.9], [label, label], threshold=0.5))
    defined = {k: v for k, v in found.items() if v is not None}
    assert found["image_accuracy"] == 0.5
    assert not {k for k in defined if k.startswith("image_")} - {"image_accuracy"}
    assert flat(image_metrics([], []))["image_auroc"] is None
    assert image_metrics([], [], threshold=0.5).image_accuracy is None


def test_constant_scores() -> None:
    found = image_metrics([0.3] * 4, [0, 1, 1, 1])
    assert (found.image_auroc, found.image_ap) == (0.5, 0.75)
    assert found.image_balanced_accuracy_oracle == 0.5


def test_tensors_and_types() -> None:
    torch = pytest.importorskip("torch")
    scores, labels = torch.tensor([0.25, 0.5, 0.75]), torch.tensor([False, True, True])
    expected = image_metrics([0.25, 0.5, 0.75], [0, 1, 1])
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        assert image_metrics(scores.to(dtype), labels) == expected
    assert normal_threshold(scores.to(torch.bfloat16)) == 0.75


@pytest.mark.parametrize("n", [*range(1, 45), 99, 100, 199, 1000])
def test_normal_threshold_is_the_smallest_that_covers(n: int) -> None:
    scores = np.random.default_rng(n).permutation(n).astype(np.float64) + 1
    rank = -(-(n + 1) * 19 // 20)  # 0.95 is 19 / 20
    assert normal_threshold(scores) == (rank if n >= 19 else n)
    assert rank > n or n >= 19


def test_normal_threshold_of_nothing() -> None:
    assert normal_threshold([]) is None
    assert normal_threshold(np.zeros(0, dtype=np.float32)) is None


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, float("nan")], [0, 1], "1 NaN and 0 infinite"),
        ([0.1, float("inf")], [0, 1], "0 NaN and 1 infinite"),
        ([0.1, 0.2], [0], r"2 image scores but labels of shape \(1,\)"),
        ([0.1, 0.2], [0, 2], r"\[0, 2\]"),
        ([0.1, 0.2], [0, 0.5], "0.5"),
        ([[0.1, 0.2]], [[0, 1]], "one score per image"),
        ([1, 2], [0, 1], "int64"),
    ],
)
def test_errors_name_what_was_found(scores: Any, labels: Any, message: str) -> None:
    with pytest.raises(MetricInputError, match=message):
        image_metrics(scores, labels)


def test_a_threshold_must_be_finite() -> None:
    with pytest.raises(MetricInputError, match="threshold nan"):
        image_metrics([0.1], [0], threshold=float("nan"))
    with pytest.raises(MetricInputError, match="held-out scores"):
        normal_threshold([float("nan")])


def test_by_type_compares_each_with_all_good_images() -> None:
    scores, types = [0.9, 0.2, 0.4, 0.1, 0.3], ["cut", "cut", "hole", "good", "good"]
    found = image_metrics_by_type(scores, [1, 1, 1, 0, 0], types, threshold=0.35)
    assert list(found) == ["cut", "hole"]
    assert found["cut"] == image_metrics([0.9, 0.2, 0.1, 0.3], [1, 1, 0, 0], threshold=0.35)
    assert found["hole"] == image_metrics([0.4, 0.1, 0.3], [1, 0, 0], threshold=0.35)
    with pytest.raises(MetricInputError, match="2 defect types for 5 images"):
        image_metrics_by_type(scores, [1, 1, 1, 0, 0], ["cut", "good"])
