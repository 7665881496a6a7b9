"""Images in groups: hold-out, bootstrap and metrics take whole groups."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark import Category, Sample
from benchmark.data.dataset import ArraySource
from benchmark.datasets.mvtec import MvtecAD
from benchmark.errors import BenchError, SettingsError
from benchmark.metrics import image_metrics
from benchmark.records.resample import Draws, image_values
from benchmark.runner.protocol import Protocol, split

IMAGE = ArraySource(np.zeros((2, 2), np.uint8), "image")
CLIPS = [f"clip{i // 5}" for i in range(50)]


def test_hold_out_takes_whole_groups() -> None:
    frames = [Sample(str(i), IMAGE, group=clip) for i, clip in enumerate(CLIPS)]
    train, held = Protocol(holdout=0.2).divide(Category("all", frames, []), MvtecAD, "toy", "all")
    assert sorted(train + held) == list(range(50)) and len(held) == 10
    assert not {CLIPS[i] for i in train} & {CLIPS[i] for i in held}
    alone = [Sample(str(i), IMAGE) for i in range(50)]
    ids = [s.id for s in alone]
    assert Protocol(holdout=0.2).divide(Category("all", alone, []), MvtecAD, "toy", "all") == split(
        ids, 0.2, "toy", "all"
    )


def test_a_validation_split_is_held_out_and_no_other_fraction_with_it() -> None:
    train, validation = ([Sample(f"{part}{i}", IMAGE) for i in range(3)] for part in "tv")
    category = Category("all", train, [], validation)
    assert Protocol().divide(category, MvtecAD, "toy") == ([0, 1, 2], [3, 4, 5])
    with pytest.raises(SettingsError, match="validation split of 3"):
        Protocol(holdout=0.1).divide(category, MvtecAD, "toy")


def test_group_metrics_against_plain_ones() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=50), np.arange(50) % 5 > 2
    labels[:5] = False  # a clip of one kind has no AUROC of its own
    found = image_metrics(scores, labels, groups=CLIPS)
    each = [
        image_metrics(scores[i : i + 5], labels[i : i + 5]).image_auroc for i in range(5, 50, 5)
    ]
    assert found.image_auroc_per_group == pytest.approx(np.mean([a for a in each if a is not None]))
    top = scores.reshape(10, 5).max(1)
    expected = image_metrics(top, labels.reshape(10, 5).any(1)).image_auroc
    assert found.group_auroc == expected
    shift = np.repeat(np.arange(10) * 100.0, 5)  # scores are never rescaled per clip, but a clip's
    moved = image_metrics(scores + shift, labels, groups=CLIPS)  # own AUROC does not see the others
    assert moved.image_auroc_per_group == found.image_auroc_per_group
    with pytest.raises(BenchError, match="49 groups; one group per score"):
        image_metrics(scores, labels, groups=CLIPS[1:])


def test_bootstrap_draws_whole_groups() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(50) % 5 > 2
    scores = rng.normal(size=50) + labels
    draws = Draws.of(labels, 40, CLIPS)
    weights = np.concatenate(list(draws.weights(50)))
    assert weights.shape == (40, 50)
    per_clip = weights.reshape(40, 10, 5)
    assert (per_clip == per_clip[..., :1]).all() and (per_clip[..., 0].sum(1) == 10).all()
    values = image_values(scores, "image_auroc", draws, None)
    repeated = [np.repeat(np.arange(50), row.astype(int)) for row in weights]
    expected = [image_metrics(scores[at], labels[at]).image_auroc for at in repeated]
    np.testing.assert_allclose(values, np.array(expected, float), atol=1e-12)
    each = image_metrics(scores, labels, groups=CLIPS)
    means = image_values(scores, "image_auroc_per_group", draws, None)
    assert abs(means.mean() - each.image_auroc_per_group) < 0.1 and means.std() > 0


def test_independent_images_are_drawn_by_kind_as_before() -> None:
    labels = np.arange(20) > 11
    draws = Draws.of(labels, 30, [str(i) for i in range(20)])
    assert draws.groups is None and draws.bad.shape == (30, 8) and draws.good.shape == (30, 12)
    with pytest.raises(BenchError, match="do not come in groups"):
        image_values(np.arange(20.0), "group_auroc", draws, None)
