"""A user's own images: the layouts that are understood, and the errors for those that are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark import Category
from benchmark.datasets.folder import FolderData
from benchmark.errors import DataError

Tree = Callable[..., Path]
SPLIT = ("train/good/0.png", "train/good/1.png", "test/good/2.png", "test/dent/3.png")


def only(root: Path) -> Category:
    """The single category of a folder."""
    data = FolderData(root)
    (name,) = data.categories()
    category: Category = data.category(name)
    return category


def labels(category: Category) -> dict[str, str]:
    return {s.id: s.defect if s.label else "good" for s in category.test}


def masks(category: Category) -> dict[str, str]:
    """File name of each mask by file name of its image."""
    return {
        s.id.rsplit("/", 1)[1]: s.mask.name().rsplit("/", 1)[1] for s in category.test if s.mask
    }


def test_without_a_category_level_the_folder_names_it(tree: Tree) -> None:
    root = tree(*SPLIT, root="my nuts (ünï)")
    assert FolderData(root).categories() == ["my nuts (ünï)"]
    category = only(root)
    assert [s.id for s in category.train] == ["train/good/0.png", "train/good/1.png"]
    assert labels(category) == {"test/dent/3.png": "dent", "test/good/2.png": "good"}
    assert not category.has_masks


def test_with_a_category_level(tree: Tree) -> None:
    names = [f"{kind}/{name}" for kind in ("nuts", "bolts") for name in SPLIT]
    data = FolderData(tree(*names, "docs/pictures/x.png"))
    assert data.categories() == ["bolts", "nuts"]
    assert len(data.category("nuts").train) == 2
    with pytest.raises(DataError, match="did you mean 'nuts'"):
        data.category("nut")


def test_train_may_hold_images_directly(tree: Tree) -> None:
    category = only(tree("train/0.png", "train/1.png", "test/ok/2.png", "test/ng/3.png"))
    assert len(category.train) == 2
    assert labels(category) == {"test/ng/3.png": "ng", "test/ok/2.png": "good"}


def test_defective_images_below_train_are_left_out(tree: Tree) -> None:
    category = only(tree(*SPLIT, "train/dent/9.png"))
    assert [s.id for s in category.train] == ["train/good/0.png", "train/good/1.png"]


@pytest.mark.parametrize("good", ["good", "Normal", "OK", "defect-free"])
@pytest.mark.parametrize("bad", ["bad", "abnormal", "NG", "anything else"])
def test_good_and_bad_folders_are_divided(tree: Tree, good: str, bad: str) -> None:
    category = only(tree(*(f"{good}/{i:02}.png" for i in range(12)), f"{bad}/a.png"))
    assert [s.id for s in category.test if not s.label] == [f"{good}/04.png", f"{good}/09.png"]
    assert len(category.train) == 10
    assert [(s.id, s.defect) for s in category.test if s.label] == [(f"{bad}/a.png", bad)]


def test_defect_types_as_siblings_or_below_bad(tree: Tree) -> None:
    good = [f"good/{i}.png" for i in range(4)]
    assert labels(only(tree(*good, "dent/1.png", "hole/deep/2.png", root="siblings"))) == {
        "dent/1.png": "dent",
        "hole/deep/2.png": "hole",
    }
    assert labels(only(tree(*good, "bad/2.png", "bad/crack/S0001/3.png"))) == {
        "bad/2.png": "bad",
        "bad/crack/S0001/3.png": "crack",
    }


@pytest.mark.parametrize("where", ["ground_truth", "masks", "mask", "gt", "Masks"])
@pytest.mark.parametrize("ending", ["", "_mask", "_gt"])
def test_mask_folders_and_names(tree: Tree, where: str, ending: str) -> None:
    split = only(tree(*SPLIT, f"{where}/dent/3{ending}.png"))
    assert masks(split) == {"3.png": f"3{ending}.png"} and split.has_masks
    names = ("good/0.png", "good/1.png", "bad/2.jpg", f"{where}/bad/2{ending}.png")
    assert masks(only(tree(*names, root="divided"))) == {"2.jpg": f"2{ending}.png"}


@pytest.mark.parametrize(
    "place",
    ["masks/3.png", "masks/test/dent/3.png", "test/masks/dent/3.png", "test/dent/3_mask.png"],
)
def test_other_places_of_masks(tree: Tree, place: str) -> None:
    category = only(tree(*SPLIT, place))
    assert masks(category) == {"3.png": place.rsplit("/", 1)[1]}
    assert list(labels(category)) == ["test/dent/3.png", "test/good/2.png"]  # no mask is an image


def test_masks_beside_good_images_are_no_images(tree: Tree) -> None:
    category = only(tree(*SPLIT, "train/good/0_mask.png", "test/good/2_mask.png"))
    assert len(category.train) == 2
    assert len(category.test) == 2


def test_the_mask_of_the_same_defect_type_comes_first(tree: Tree) -> None:
    root = tree(*SPLIT, "test/scratch/3.png", "gt/dent/3.png", "gt/scratch/3.png")
    found = {s.defect: s.mask.name() for s in only(root).test if s.mask}
    assert found == {kind: str(root / "gt" / kind / "3.png") for kind in ("dent", "scratch")}


def test_masks_by_defect_type_of_images_below_bad(tree: Tree) -> None:
    category = only(tree("good/0.png", "good/1.png", "bad/crack/3.png", "masks/crack/3.png"))
    assert masks(category) == {"3.png": "3.png"}


def test_one_mask_for_two_images_is_refused(tree: Tree) -> None:
    root = tree(*SPLIT, "test/scratch/3.png", "gt/3.png")
    with pytest.raises(DataError, match=r"gt/3\.png: a mask for two images.*dent/3.*scratch/3"):
        only(root)


def test_some_masks_missing_is_refused_with_the_expected_path(tree: Tree) -> None:
    root = tree(*SPLIT, "test/dent/4.png", "gt/dent/3_mask.png")
    with pytest.raises(DataError) as error:
        only(root)
    image, mask = root / "test/dent/4.png", root / "gt/dent/4_mask.png"
    assert f"{image}\n    expected mask: {mask}" in str(error.value)
    assert "1 of 2 defective images" in str(error.value)
    data = FolderData(root)
    assert len(data.listing(root.name).test) == 3


def test_masks_that_match_no_image_are_refused(tree: Tree) -> None:
    root = tree(*SPLIT, "masks/dent/label_9.png")
    with pytest.raises(
        DataError, match=r"(?s)label_9\.png.*named after no image.*masks/dent/3\.png"
    ):
        only(root)


def test_masks_of_good_images_alone_are_no_masks(tree: Tree) -> None:
    assert not only(tree(*SPLIT, "masks/good/2.png")).has_masks


@pytest.mark.parametrize("kept", ["good", "dent"])
def test_a_test_split_of_one_kind(tree: Tree, kept: str) -> None:
    category = only(tree(*(name for name in SPLIT if f"test/{kept}" in name or "train" in name)))
    assert [s.label for s in category.test] == [int(kept == "dent")]


def test_good_images_alone_are_divided(tree: Tree) -> None:
    category = only(tree(*(f"good/{i}.png" for i in range(5))))
    assert (len(category.train), len(category.test)) == (4, 1)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("train/good/0.png",), "no images to test.*test/<defect>"),
        (("test/good/0.png",), "no normal images to train on.*train/good"),
        (("train/left/0.png", "test/good/1.png"), r"(?s)left is not known.*train: train/\*\*$"),
        ((*SPLIT, "test/9.png"), r"(?s)9.png.*says nothing about good or.*unused: test/9.png$"),
        (("0.png", "1.png"), "(?s)not a layout.*2 images directly.*Accepted"),
        (("bad/0.png",), r"(?s)not a layout.*bad/ \(1 images\).*Accepted"),
    ],
    ids=["no test", "no train", "train unknown", "test flat", "flat", "no good"],
)
def test_layouts_that_are_refused(tree: Tree, names: tuple[str, ...], said: str) -> None:
    root = tree(*names)
    with pytest.raises(DataError, match=said) as error:
        only(root)
    assert str(root) in str(error.value)


def test_a_broken_category_does_not_stop_the_others(tree: Tree) -> None:
    data = FolderData(tree(*(f"nuts/{name}" for name in SPLIT), "bolts/train/good/0.png"))
    assert data.categories() == ["bolts", "nuts"]
    assert len(data.category("nuts").train) == 2
    with pytest.raises(DataError, match="no images to test"):
        data.category("bolts")


def test_empty_folders(tree: Tree) -> None:
    root = tree(*SPLIT)
    (root / "train/good/0.png").unlink()
    (root / "train/good/1.png").unlink()
    with pytest.raises(
        DataError, match=r"'things' is empty: no normal images to train on below .*/things "
    ):
        only(root)
    with pytest.raises(DataError, match=r"(?s)not a layout.*nothing.*Accepted"):
        FolderData(root / "train/good").categories()


@pytest.mark.parametrize("root", [None, "gone"])
def test_missing_root(tmp_path: Path, root: str | None) -> None:
    with pytest.raises(DataError, match=r"(?s)--data-root.*Accepted"):
        FolderData(tmp_path / root if root else None).categories()


@pytest.mark.parametrize("name", ["..", "a/b", ""])
def test_unusable_names(tree: Tree, name: str) -> None:
    with pytest.raises(DataError, match="not a usable name"):
        FolderData(tree(*SPLIT)).category(name)


def test_unusable_folder_name(tree: Tree) -> None:
    data = FolderData(tree(*SPLIT, root="new\nline"))
    with pytest.raises(DataError, match="not a usable name"):
        data.category(*data.categories())


def test_dots_and_links_are_resolved_to_names(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(*SPLIT)
    link = tmp_path / "linked"
    link.symlink_to(root)
    assert FolderData(link).categories() == ["linked"]
    assert len(only(link).train) == 2
    monkeypatch.chdir(root / "train")
    assert FolderData(Path("..")).categories() == ["things"]
    monkeypatch.chdir(root)
    assert FolderData(Path()).categories() == ["things"]


def test_links_leading_outside(tree: Tree, tmp_path: Path) -> None:
    elsewhere = tree("scratch/7.png", root="elsewhere")
    root = tree(*SPLIT)
    (root / "test" / "scratch").symlink_to(elsewhere / "scratch")
    os.symlink(elsewhere / "scratch" / "7.png", root / "train" / "good" / "8.png")
    category = only(root)
    assert "test/scratch/7.png" in labels(category)
    assert category.train[-1].image.pixels().shape == (6, 8, 3)


def test_hazelnut_toy(real_data: Path) -> None:
    category = only(real_data / "hazelnut_toy")
    assert category.name == "hazelnut_toy"
    assert (len(category.train), len(category.test)) == (28, 23)
    assert category.has_masks and {s.defect for s in category.test} == {"good", "colour"}
