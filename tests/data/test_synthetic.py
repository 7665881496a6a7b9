"""The embedded data set: deterministic, cached, with masks that tell the truth."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from benchmark.data.dataset import content_key
from benchmark.datasets import synthetic
from benchmark.datasets.synthetic import Synthetic, draw
from benchmark.errors import DataError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "iad-bench" / f"synthetic-{synthetic.VERSION}"


ALL = [(name, defect) for name, (_, defects) in synthetic._SCENES.items() for defect in defects]


def test_declared_counts(cache: Path) -> None:
    data = Synthetic()
    assert data.categories() == [*data.groups["Textures"], *data.groups["Objects"]]
    category = data.category("stone")
    defective = [s for s in category.test if s.label]
    assert len(category.train) == data.official["stone"]["train"]
    assert len(category.test) - len(defective) == data.official["stone"]["good"]
    assert len(defective) == data.official["stone"]["defective"]
    assert category.has_masks and all(s.mask is None for s in category.test if not s.label)
    ids = [s.id for s in (*category.train, *category.test)]
    assert len(set(ids)) == len(ids)
    keys = {content_key(s.image) for s in (*category.train, *category.test)}
    assert len(keys) == len(ids)


def test_pixels_never_change() -> None:
    """Golden: any change of a pixel has to raise VERSION, or old caches would be mixed with new
    images. Computed with the first release of the generator; nothing else to compare with."""
    total = hashlib.sha256()
    for name, defect in ALL:
        for kind in ("good", defect):
            image, mask = draw(name, f"golden/{kind}", kind)
            total.update(image.tobytes() + mask.tobytes())
    assert (synthetic.VERSION, total.hexdigest()[:16]) == (1, "1e1b8ea52ffd93e4")


def test_an_image_depends_on_its_name_alone(cache: Path) -> None:
    category = Synthetic().category("plank")
    for sample in (category.test[20], category.train[3]):
        image, _ = draw("plank", sample.id, sample.defect)
        np.testing.assert_array_equal(sample.image.pixels(), image)


@pytest.mark.parametrize(("name", "defect"), ALL)
def test_masks_tell_the_truth(name: str, defect: str) -> None:
    """The same scene, light and noise with and without the defect: the pixels differ inside the
    mask, and not outside but for the soft edge of the defect."""
    for number in range(2):
        good, _ = draw(name, f"check/{number}", "good")
        image, mask = draw(name, f"check/{number}", defect)
        assert image.shape == (128, 128, 3) and image.dtype == np.uint8
        assert mask.shape == (128, 128) and mask.dtype == bool
        assert 10 <= mask.sum() < 0.1 * mask.size
        change = np.abs(image.astype(int) - good).max(axis=2)
        assert change[~binary_dilation(mask, iterations=5)].max() <= 30
        assert (change[mask] > 3).mean() > 0.4


@pytest.mark.parametrize("name", synthetic._SCENES)
def test_good_images_vary(name: str) -> None:
    first, empty = draw(name, "a", "good")
    second, _ = draw(name, "b", "good")
    assert not empty.any()
    assert np.abs(first.astype(float) - second).mean() > 3
    assert 30 < first.mean() < 225  # neither black nor burnt out
    assert ((first == 0) | (first == 255)).mean() < 0.05


def test_cache_is_written_once_and_read_back(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Synthetic().category("fabric")
    assert [path.name for path in cache.iterdir()] == ["fabric.npz"]  # and no part is left over
    monkeypatch.setattr(synthetic, "draw", lambda *_: pytest.fail("drawn again"))
    held = Synthetic().category("fabric")
    for old, new in zip(drawn.test, held.test, strict=True):
        assert (old.id, content_key(old.image)) == (new.id, content_key(new.image))
        if old.mask and new.mask:
            np.testing.assert_array_equal(old.mask.mask(), new.mask.mask())


@pytest.mark.parametrize("damage", ["empty", "rubbish", "half", "a few bytes"])
def test_a_damaged_cache_is_drawn_again(cache: Path, damage: str) -> None:
    before = [content_key(s.image) for s in Synthetic().category("fabric").test]
    file = cache / "fabric.npz"
    whole = file.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "empty": b"",
        "rubbish": b"rubbish",
        "half": whole[:middle],
        "a few bytes": whole[:middle] + bytes(30) + whole[middle + 30 :],
    }
    file.write_bytes(damaged[damage])
    assert [content_key(s.image) for s in Synthetic().category("fabric").test] == before
    assert len(file.read_bytes()) == len(whole)


def test_a_cache_of_another_shape_is_drawn_again(cache: Path) -> None:
    cache.mkdir(parents=True)
    np.savez(cache / "fabric.npz", images=np.zeros((1, 2, 2, 3)), masks=np.zeros((1, 2, 2)))
    assert Synthetic().category("fabric").train[0].image.pixels().shape == (128, 128, 3)


def test_an_unwritable_cache_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the cache folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    data = Synthetic()
    assert data.category("fabric") is data.category("fabric")  # held in memory
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["fabrik", "..", ""])
def test_unknown_category(name: str) -> None:
    with pytest.raises(DataError, match="unknown category.*known: board, fabric"):
        Synthetic().category(name)
