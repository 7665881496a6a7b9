"""What ``bench data`` finds: each kind of problem, planted on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark import Category, Dataset, Sample
from benchmark.data.dataset import ArraySource
from benchmark.data.report import CategoryReport
from benchmark.data.verify import verify
from benchmark.datasets.folder import FolderData
from benchmark.datasets.mvtec import MvtecAD
from benchmark.errors import DataError

Tree = Callable[..., Path]
GRID = (
    *(f"train/good/00{i}.png" for i in range(3)),
    "test/good/000.png",
    *(f"test/bent/00{i}.png" for i in range(4)),
    *(f"ground_truth/bent/00{i}_mask.png" for i in range(4)),
)


@pytest.fixture
def root(tree: Tree) -> Path:
    return tree(*(f"grid/{name}" for name in GRID))


def grid(root: Path) -> CategoryReport:
    (report,) = verify(MvtecAD(root)).categories
    return report


def kinds(report: CategoryReport) -> dict[str, int]:
    return {kind: len(messages) for kind, messages in report.found_kinds.items()}


def test_a_sound_category(root: Path) -> None:
    report = grid(root)
    assert report.ok and not report.complete and report.error is None
    assert report.found == {"train": 3, "good": 1, "defective": 4}
    assert report.official == {"train": 264, "good": 21, "defective": 57}
    assert kinds(report) == {} and report.skipped == 0


def test_each_problem_is_found(root: Path) -> None:
    masks = root / "grid/ground_truth/bent"
    image = root / "grid/train/good/001.png"
    image.write_bytes(image.read_bytes()[:50])  # truncated
    Image.fromarray(np.zeros((9, 9), dtype=np.uint8)).save(masks / "000_mask.png")  # two at once
    Image.fromarray(np.full((6, 8), 128, dtype=np.uint8)).save(masks / "001_mask.png")
    (masks / "002_mask.png").rename(masks / "777_mask.png")
    (root / "grid/test/bent/Thumbs.db").write_bytes(b"x")
    (root / "grid/.DS_Store").write_bytes(b"x")
    report = grid(root)
    assert kinds(report) == dict.fromkeys(
        ("unreadable", "no mask", "mask only", "other size", "not binary", "empty mask"), 1
    )
    expected = {
        "unreadable": image,
        "no mask": root / "grid/test/bent/002.png",
        "mask only": masks / "777_mask.png",
        "other size": masks / "000_mask.png",
        "not binary": masks / "001_mask.png",
        "empty mask": masks / "000_mask.png",
    }
    for kind, path in expected.items():
        assert report.found_kinds[kind][0].startswith(str(path)), kind
    assert report.skipped == 2
    assert report.error is not None and "002_mask.png" in report.error
    assert not report.ok
    assert report.found == {"train": 3, "good": 1, "defective": 4}  # counted nevertheless


def test_an_unreadable_mask(root: Path) -> None:
    (root / "grid/ground_truth/bent/003_mask.png").write_bytes(b"rubbish")
    assert kinds(grid(root)) == {"unreadable": 1}


def test_a_category_that_cannot_be_listed_does_not_hide_the_others(tree: Tree) -> None:
    root = tree(*(f"nuts/{name}" for name in GRID), "bolts/train/good/0.png")
    report = verify(FolderData(root))
    bolts, nuts = report.categories
    assert nuts.ok and not report.ok
    assert bolts.error is not None and "no images to test" in bolts.error
    assert "bolts: a run would stop: " in report.text()


def test_no_masks_at_all_is_no_problem(tree: Tree) -> None:
    report = verify(FolderData(tree(*(name for name in GRID if "ground_truth" not in name))))
    assert report.ok and kinds(report.categories[0]) == {}


def test_missing_root_is_raised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        verify(MvtecAD(tmp_path / "gone"))


def test_progress_counts_every_sample(root: Path) -> None:
    seen: list[tuple[int, int]] = []
    verify(MvtecAD(root), lambda done, total: seen.append((done, total)))
    assert seen == [(n, 8) for n in range(1, 9)]


def test_text_is_aligned_and_names_remedies(root: Path) -> None:
    for number in range(3):
        (root / f"grid/train/good/00{number}.png").write_bytes(b"rubbish%d" % number)
    lines = verify(MvtecAD(root)).text(limit=2).splitlines()
    assert lines[0] == f"MVTec AD in {root}"
    header, row = lines[1:3]
    assert header.split()[:5] == ["category", "train", "good", "defective", "official"]
    assert row.split()[:6] == ["grid", "3", "1", "4", "264/21/57", "3"]
    assert len(header) == len(row)
    for name in ("train", "good", "defective", "official", "unreadable"):
        end = header.index(name) + len(name)  # numbers stand under the end of their heading
        assert row[end - 1] != " " and (end == len(row) or row[end] == " "), name
    assert lines[3].startswith("not there: carpet, leather")
    text = "\n".join(lines)
    assert "grid: 3/1/4 images (train/good/defective), official are 264/21/57" in text
    assert "grid: unreadable: 3 cannot be decoded; copy them again" in text
    assert "… and 1 more" in text and "002.png" not in text
    assert "can be used" not in text


def test_text_of_a_sound_data_set(root: Path) -> None:
    assert verify(MvtecAD(root)).text().endswith("Every image and every mask can be used.")


class InMemory(Dataset):
    """A data set without files."""

    title = "In memory"
    licence = citation = origin = "none"
    needs_root = False
    official: Mapping[str, Mapping[str, int]] = {"a": {"train": 1, "good": 0, "defective": 1}}

    def categories(self) -> list[str]:
        return ["a"]

    def category(self, name: str) -> Category:
        image = ArraySource(np.zeros((4, 4), dtype=np.uint8), "image")
        other = ArraySource(np.ones((4, 4), dtype=np.uint8), "other image")
        mask = ArraySource(np.eye(4, 5, dtype=np.uint8), "its mask")
        return Category(name, [Sample("0", image)], [Sample("1", other, 1, "bad", mask)])


def test_any_data_set_can_be_verified() -> None:
    report = verify(InMemory())
    (category,) = report.categories
    assert category.complete and kinds(category) == {"other size": 1}
    assert report.text().startswith("In memory\n") and "its mask" in report.text()


def test_real_data_is_sound(real_data: Path) -> None:
    report = verify(FolderData(real_data / "hazelnut_toy"))
    assert report.ok, report.text()
