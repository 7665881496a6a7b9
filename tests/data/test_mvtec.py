"""MVTec AD: the official tree, and what is said when it is not there or not whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.datasets.mvtec import MvtecAD
from benchmark.errors import DataError

Tree = Callable[..., Path]
GRID = (
    "grid/train/good/000.png",
    "grid/train/good/001.png",
    "grid/test/good/000.png",
    "grid/test/bent/000.png",
    "grid/test/bent/001.png",
    "grid/ground_truth/bent/000_mask.png",
    "grid/ground_truth/bent/001_mask.png",
)


def test_official_numbers() -> None:
    counts = MvtecAD.official.values()
    totals = [sum(c[key] for c in counts) for key in ("train", "good", "defective")]
    assert totals == [3629, 467, 1258]  # the paper's table: 3629 train, 1725 test images
    assert list(MvtecAD.official) == [*MvtecAD.groups["Textures"], *MvtecAD.groups["Objects"]]
    assert [len(MvtecAD.groups[group]) for group in ("Textures", "Objects")] == [5, 10]


def test_categories_are_those_on_disk_textures_first(tree: Tree) -> None:
    root = tree(*GRID, "bottle/train/good/0.png", "zebra/train/good/0.png")
    assert MvtecAD(root).categories() == ["grid", "bottle"]


def test_samples(tree: Tree) -> None:
    root = tree(*GRID)
    category = MvtecAD(root).category("grid")
    assert [s.id for s in category.train] == ["train/good/000.png", "train/good/001.png"]
    assert [(s.id, s.label, s.defect) for s in category.test] == [
        ("test/bent/000.png", 1, "bent"),
        ("test/bent/001.png", 1, "bent"),
        ("test/good/000.png", 0, "good"),
    ]
    masks = [s.mask.name() if s.mask else None for s in category.test]
    folder = root / "grid" / "ground_truth" / "bent"
    assert masks == [str(folder / "000_mask.png"), str(folder / "001_mask.png"), None]
    assert category.has_masks
    assert category.test[0].image.pixels().shape == (6, 8, 3)
    assert category.test[0].mask is not None and category.test[0].mask.mask().sum() == 4


def test_other_formats_and_stray_files(tree: Tree) -> None:
    root = tree(
        "tile/train/good/0.JPG",
        "tile/train/good/1.bmp",
        "tile/test/crack/0.Tiff",
        "tile/ground_truth/crack/0_mask.BMP",
    )
    (root / "tile/train/good/.DS_Store").write_bytes(b"x")
    (root / "tile/train/good/.hidden.png").write_bytes(b"x")
    (root / "tile/train/good/Thumbs.db").write_bytes(b"x")
    (root / "tile/license.txt").write_text("x")
    category = MvtecAD(root).category("tile")
    assert [s.id for s in category.train] == ["train/good/0.JPG", "train/good/1.bmp"]
    assert category.has_masks


@pytest.mark.parametrize("root", [None, "gone"])
def test_missing_root_says_how_to_get_it(tmp_path: Path, root: str | None) -> None:
    with pytest.raises(DataError, match=r"(?s)MVTec AD: .*https://.*--data-root.*ground_truth"):
        MvtecAD(tmp_path / root if root else None).categories()


def test_a_folder_without_categories_says_what_is_expected(tree: Tree) -> None:
    root = tree("zebra/train/good/0.png")
    with pytest.raises(DataError, match=r"(?s)none of the 15.*found: zebra.*train/good/000\.png"):
        MvtecAD(root).categories()


def test_the_folder_of_one_category_is_recognised(tree: Tree) -> None:
    root = tree(*GRID)
    with pytest.raises(DataError, match=f"one category: name the folder above it, {root}"):
        MvtecAD(root / "grid").categories()


def test_a_missing_mask_names_image_and_expected_path(tree: Tree) -> None:
    root = tree(*GRID[:-1])
    image = root / "grid/test/bent/001.png"
    mask = root / "grid/ground_truth/bent/001_mask.png"
    with pytest.raises(DataError) as error:
        MvtecAD(root).category("grid")
    assert f"{image}\n    expected mask: {mask}" in str(error.value)
    assert "1 defective images" in str(error.value)
    listing = MvtecAD(root).listing("grid")  # for bench data: counted, not refused
    assert [s.mask is None for s in listing.test] == [False, True, True]


@pytest.mark.parametrize("left_out", ["train", "test"])
def test_an_empty_category_names_the_folder(tree: Tree, left_out: str) -> None:
    root = tree(*(name for name in GRID if f"/{left_out}/" not in name))
    with pytest.raises(DataError, match=f"'grid' is empty: {root}/grid/{left_out}.*remedy|remove"):
        MvtecAD(root).category("grid")


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../grid", "grid\n", "/", ".git", "a\\b"])
def test_unusable_names(tree: Tree, name: str) -> None:
    with pytest.raises(DataError, match="not a usable name"):
        MvtecAD(tree(*GRID)).category(name)


def test_unknown_and_absent_categories(tree: Tree) -> None:
    data = MvtecAD(tree(*GRID))
    with pytest.raises(DataError, match="did you mean 'grid'"):
        data.category("gird")
    with pytest.raises(DataError, match="bottle: no such folder.*https://"):
        data.category("bottle")


def test_official_split_of_real_data(real_data: Path) -> None:
    data = MvtecAD(real_data / "mvtec")
    for name in data.categories():
        category = data.category(name)
        defective = sum(s.label for s in category.test)
        found = {
            "train": len(category.train),
            "good": len(category.test) - defective,
            "defective": defective,
        }
        assert found == data.official[name], name
        assert category.has_masks
