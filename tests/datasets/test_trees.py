"""VisA, BTAD, MPDD and the two KolektorSDD on miniatures, with the traps of each planted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from benchmark import Sample
from benchmark.datasets.btad import Btad
from benchmark.datasets.kolektor_sdd import KolektorSdd
from benchmark.datasets.kolektor_sdd2 import KolektorSdd2
from benchmark.datasets.mpdd import Mpdd
from benchmark.datasets.visa import Visa
from benchmark.errors import DataError
from benchmark.plugins.contract import DatasetChecks, checks_of

from .conftest import Draw

Data = Callable[..., tuple[int, str]]


def ids(samples: list[Sample] | Any) -> list[str]:
    return [sample.id for sample in samples]


def masked(samples: Any) -> dict[str, int]:
    """Number of marked pixels of every defective sample."""
    return {s.id: int(s.mask.mask().sum()) if s.mask else -1 for s in samples if s.label}


def keeps_contract(dataset: Any) -> None:
    for _, check in checks_of(DatasetChecks(dataset)):
        check()


# VisA


def original_visa(draw: Draw) -> None:
    """Two training images, two of the split's test images, two anomalies of the same stems."""
    images = "candle/Data/Images"
    draw.images(*(f"{images}/Normal/{stem}.JPG" for stem in ("0000", "0001", "0011", "0013")))
    draw.images(*(f"{images}/Anomaly/{stem}.JPG" for stem in ("000", "0011")))
    draw.mask("candle/Data/Masks/Anomaly/000.png", 1, 9)  # ids of classes
    draw.mask("candle/Data/Masks/Anomaly/0011.png", 2, palette=True)


def prepared_visa(draw: Draw, top: str) -> None:
    draw.images(f"{top}candle/train/good/0000.JPG", f"{top}candle/test/good/0011.JPG")
    draw.images(f"{top}candle/test/bad/000.JPG")
    draw.mask(f"{top}candle/ground_truth/bad/000.png", 255)


def test_visa_original_tree_follows_the_split_and_reads_class_ids(draw: Draw) -> None:
    original_visa(draw)
    category = Visa(draw.root).listing("candle")
    assert ids(category.train) == [f"Data/Images/Normal/{n}.JPG" for n in ("0000", "0001")]
    good = [s for s in category.test if not s.label]
    assert len(good) == 100 and sum(s.image.path.exists() for s in good) == 2
    assert masked(category.test) == {
        "Data/Images/Anomaly/000.JPG": 2,
        "Data/Images/Anomaly/0011.JPG": 1,
    }
    assert len(set(ids(category.normal) + ids(category.test))) == 104  # stems overlap, ids do not


def test_visa_names_a_missing_image_and_a_missing_mask(draw: Draw, data: Data) -> None:
    original_visa(draw)
    (draw.root / "candle/Data/Masks/Anomaly/0011.png").unlink()
    status, text = data("visa")
    assert status == 1
    assert "candle: unreadable: 98" in text and "Normal/0016.JPG: no such file" in text
    assert "expected mask: " in text and "Masks/Anomaly/0011.png" in text
    assert "2/100/2 images (train/good/defective), official are 900/100/100" in text
    assert "CC BY 4.0" in text


@pytest.mark.parametrize("top", ["", "1cls/"])
def test_visa_prepared_tree(draw: Draw, top: str) -> None:
    prepared_visa(draw, top)
    dataset = Visa(draw.root)
    category = dataset.category("candle")
    assert ids(category.train) == ["train/good/0000.JPG"]
    assert masked(category.test) == {"test/bad/000.JPG": 1}
    keeps_contract(dataset)


def test_an_empty_mask_is_refused_by_name_when_a_run_reads_it(
    draw: Draw, bench: Callable[..., tuple[int, str]]
) -> None:
    prepared_visa(draw, "")
    draw.mask("candle/ground_truth/bad/000.png")
    run = ("--methods", "padim", "--weights", "random", "--set", "padim.backbone=resnet18")
    status, text = bench("run", "--dataset", "visa", "--data-root", draw.root, *run)
    assert status == 1
    assert "ground_truth/bad/000.png: no pixel is marked as defective" in text


def test_visa_official_numbers() -> None:
    counts = Visa.official.values()
    assert [sum(c[k] for c in counts) for k in ("train", "good", "defective")] == [8659, 962, 1200]
    assert {len(members) for members in Visa.groups.values()} == {4}


def test_one_level_down_and_still_packed_are_said_with_the_command(draw: Draw, data: Data) -> None:
    original_visa(draw)
    deeper = draw.root / "VisA 2022"
    deeper.mkdir()
    shutil.move(draw.root / "candle", deeper / "candle")
    status, text = data("visa")
    assert status == 2
    assert f"bench data visa --data-root '{deeper}'" in text
    shutil.rmtree(deeper)
    (draw.root / "VisA_20220922.tar").write_bytes(b"")
    status, text = data("visa")
    archive = draw.root / "VisA_20220922.tar"
    assert f"still packed; unpack it:\n  tar -xf {archive} -C {draw.root}" in text


# BTAD and MPDD


def test_btad_finds_masks_by_stem_whatever_their_ending(draw: Draw, data: Data) -> None:
    draw.images("01/train/ok/0.bmp", "01/test/ok/0.png", "01/test/ko/1.bmp", "03/train/ok/0.bmp")
    draw.images("03/test/ko/7.bmp", "03/test/ok/0.bmp", "03/test/ko/8.bmp")
    draw.mask("01/ground_truth/ko/1.png", 255)
    draw.mask("03/ground_truth/ko/7.bmp", 255, 255)
    dataset = Btad(draw.root)
    assert dataset.categories() == ["01", "03"]
    assert masked(dataset.category("01").test) == {"test/ko/1.bmp": 1}
    with pytest.raises(DataError, match=r"1 defective images have no mask(?s:.*)ko/8\.png"):
        dataset.category("03")
    draw.mask("03/ground_truth/ko/8.bmp", 255)
    status, text = data("btad")
    assert status == 0  # other totals are said, not refused
    assert "01: 1/1/1 images (train/good/defective), official are 400/21/49" in text
    assert "not there: 02" in text
    keeps_contract(dataset)


def test_two_files_of_one_stem_are_refused(draw: Draw) -> None:
    draw.images("01/train/ok/0.bmp", "01/test/ok/0.png", "01/test/ko/1.bmp", "01/test/ko/1.png")
    with pytest.raises(DataError, match=r"1\.bmp and 1\.png: two files of one name"):
        Btad(draw.root).category("01")


def test_mpdd_masks_have_the_ending_of_mvtec(draw: Draw, data: Data) -> None:
    draw.images("tubes/train/good/0.png", "tubes/test/good/0.png", "tubes/test/anomalous/0.png")
    draw.mask("tubes/ground_truth/anomalous/0_mask.png", 255)
    draw.mask("tubes/ground_truth/anomalous/9_mask.png", 255)
    assert masked(Mpdd(draw.root).category("tubes").test) == {"test/anomalous/0.png": 1}
    status, text = data("mpdd")
    assert status == 1 and "masks without a defective image" in text and "9_mask.png" in text
    totals = [sum(c[k] for c in Mpdd.official.values()) for k in ("train", "good", "defective")]
    assert totals == [888, 176, 282]


# KolektorSDD and KolektorSDD2


def test_kolektor_sdd_splits_by_item(draw: Draw, data: Data) -> None:
    for item in ("kos01", "kos05"):
        draw.images(f"{item}/Part0.jpg", f"{item}/Part1.jpg")
        draw.mask(f"{item}/Part0_label.bmp")
        draw.mask(f"{item}/Part1_label.bmp", 255)
    draw.images("other/Part0.jpg")
    dataset = KolektorSdd(draw.root)
    category = dataset.category("all")
    assert ids(category.train) == ["kos01/Part0.jpg"]
    assert ids(category.test) == ["kos01/Part1.jpg", "kos05/Part0.jpg", "kos05/Part1.jpg"]
    assert masked(category.test) == {"kos01/Part1.jpg": 1, "kos05/Part1.jpg": 1}
    assert [s.group for s in category.test] == ["kos01", "kos05", "kos05"]
    keeps_contract(dataset)
    status, text = data("kolektor_sdd")
    assert status == 0 and "all: 2 images (defective), official are 52" in text
    (draw.root / "kos05/Part0_label.bmp").unlink()
    status, text = data("kolektor_sdd")
    assert status == 1 and "kos05/Part0.jpg: expected Part0_label.bmp" in text


def test_kolektor_sdd2_drops_defects_and_copies_from_training(draw: Draw, data: Data) -> None:
    for name in ("train/10000", "train/10301", "train/10301 (copy)", "test/20000", "test/20001"):
        draw.images(f"{name}.png")
    draw.mask("train/10000_GT.png")
    draw.mask("train/10301_GT.png", 255)
    draw.mask("train/10301_GT (copy).png", 255)
    draw.mask("test/20000_GT.png")
    draw.mask("test/20001_GT.png", 255, 255)
    dataset = KolektorSdd2(draw.root)
    category = dataset.category("all")
    assert ids(category.train) == ["train/10000.png"]
    assert ids(category.test) == ["test/20000.png", "test/20001.png"]
    assert masked(category.test) == {"test/20001.png": 2}
    keeps_contract(dataset)
    assert data("kolektor_sdd2")[0] == 0
    (draw.root / "train/10301_GT.png").unlink()  # which images are good is then unknown
    status, text = data("kolektor_sdd2")
    assert status == 1 and "train/10301.png: expected 10301_GT.png" in text


@pytest.mark.parametrize("name", ["btad", "mpdd", "kolektor_sdd2"])
def test_what_may_not_be_fetched_says_its_page_and_the_expected_files(
    draw: Draw, data: Data, name: str
) -> None:
    status, text = data(name, "--download")
    assert status == 2
    assert "cannot be fetched by this program" in text and "https://" in text
    assert "Expected are folders of this form:" in text
