"""Harder versions of a category: nested draws, masks that move with their images, exact counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmark.data.corruptions import CORRUPTIONS
from benchmark.data.dataset import ArraySource, Category, Sample
from benchmark.data.stress import Stress, corruptions
from benchmark.datasets.synthetic import Synthetic
from benchmark.errors import DataError, SettingsError
from benchmark.runner.protocol import Protocol


def small() -> Category:
    """20 normal training images, 4 good and 10 defective test images with a square each."""

    def one(split: str, i: int, label: int) -> Sample:
        rng = np.random.default_rng([i, label])
        grey = 120 + 40 * rng.random((96, 128, 1)) + np.linspace(0, 30, 128)[:, None]
        image = np.repeat(grey, 3, axis=2).astype(np.uint8)
        mask = np.zeros((96, 128), bool)
        if label:
            mask[30:50, 40:80] = True
            image[mask] = (250, 10, 10)
        source = ArraySource(image, f"{split} {i}")
        where = ArraySource(mask, f"mask {i}") if label else None
        return Sample(f"{split}/{i:02}", source, label, "square" if label else "good", where)

    test = [*(one("test", i, 0) for i in range(4)), *(one("test", i + 4, 1) for i in range(10))]
    return Category("nut", [one("train", i, 0) for i in range(20)], test)


def ids(samples: Sequence[Sample], positions: Sequence[int]) -> set[str]:
    return {samples[i].id for i in positions}


def test_shots_nest_and_do_not_touch_what_is_held_out() -> None:
    category, before, held = small(), set[str](), set[int]()
    for shots in (1, 2, 4, 8):
        train, out = Protocol(stress=Stress(shots=shots)).divide(category, Synthetic, "a", "nut")
        chosen = ids(category.train, train)
        assert len(chosen) == shots and before <= chosen
        assert not chosen & ids(category.train, out) and (not held or held == set(out))
        before, held = chosen, set(out)
    every, _ = Protocol().divide(category, Synthetic, "a", "nut")
    assert before <= ids(category.train, every)
    with pytest.raises(SettingsError, match="shots 30: a nut has 18 training images"):
        Protocol(stress=Stress(shots=30)).divide(category, Synthetic, "a", "nut")


def test_contamination_moves_nested_shares_of_the_defects_and_never_holds_them_out() -> None:
    category, before = small(), set[str]()
    for share, count in ((0.01, 1), (0.2, 2), (0.5, 5)):
        stress = Stress(contaminate=share)
        dirty = stress.altered(category, "a")
        moved = [s.id for s in dirty.train if s.label]
        assert len(moved) == count and before <= set(moved)
        assert {s.id for s in dirty.test} == {s.id for s in category.test} - set(moved)
        train, held = Protocol(stress=stress).divide(dirty, Synthetic, "a", "nut")
        assert set(moved) <= ids(list(dirty.train), train)
        clean, out = Protocol().divide(category, Synthetic, "a", "nut")
        assert held == out and train[: len(clean)] == clean
        before = set(moved)
    with pytest.raises(DataError, match="10 defective test images"):
        Stress(contaminate=0.99).altered(category, "a")


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corruption_grows_with_its_strength_and_depends_on_the_image_alone(kind: str) -> None:
    category = small()
    clean = np.stack([s.image.pixels() for s in category.test]).astype(int)
    gaps = []
    for strength in (1, 3, 5):
        stress = Stress(corrupt=f"{kind}:{strength}")
        once, again = (stress.altered(category, "a") for _ in range(2))
        pixels = np.stack([s.image.pixels() for s in once.test])
        assert pixels.dtype == np.uint8 and pixels.shape == clean.shape
        assert (pixels == np.stack([s.image.pixels() for s in again.test])).all()
        gaps.append(np.abs(pixels.astype(int) - clean).mean())
        assert once.test[0].image.content() == again.test[0].image.content()
        assert once.test[0].image.content() != category.test[0].image.content()
        assert [s.id for s in once.train] == [s.id for s in category.train]
    assert 0 <= gaps[0] < gaps[1] < gaps[2] and gaps[2] > 3


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_masks_move_with_their_images_and_only_then(kind: str) -> None:
    category = small()
    for strength in (2, 5):
        for sample in Stress(corrupt=f"{kind}:{strength}").altered(category, "a").test[4:]:
            assert sample.mask is not None
            mask, image = sample.mask.mask(), sample.image.pixels().astype(int)
            moved = not (mask == category.test[4].mask.mask()).all()  # type: ignore[union-attr]
            assert moved == (kind in ("shift", "rotate"))
            red = image[..., 0] - image[..., 1]  # the defect is the only red
            assert red[mask].mean() > max(30, 2.5 * np.abs(red[~mask]).mean())


def test_directions_differ_from_image_to_image_and_stay_with_the_strength() -> None:
    category = small()
    signs = []
    for strength in (2, 4):
        once = Stress(corrupt=f"brightness:{strength}").altered(category, "a")
        pairs = zip(once.test, category.test, strict=True)
        signs.append([a.image.pixels().mean() > b.image.pixels().mean() for a, b in pairs])
    assert signs[0] == signs[1] and 0 < sum(signs[0]) < len(signs[0])


def test_labels_tell_variants_apart_and_wrong_words_say_what_is_allowed() -> None:
    every = [Stress(), Stress(shots=4), Stress(contaminate=0.1), Stress(corrupt="blur:2")]
    labels = [Protocol("paper", holdout=0.1, stress=s).label for s in every]
    assert len(set(labels)) == 4 and labels[0] == "paper-holdout0.1"
    for stress in every:
        assert Stress.from_json({"name": "paper", **stress.as_json()}) == stress
    assert len(corruptions(["jpeg", "blur:2-3", "blur:3"])) == 7
    for wrong in ("nois:3", "noise:6", "noise:0-3", "noise:"):
        with pytest.raises(SettingsError, match="did you mean|strength"):
            Stress(corrupt=corruptions([wrong])[0] if "-" in wrong else wrong)
