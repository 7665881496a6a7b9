"""MVTec LOCO, MVTec AD 2 and Real-IAD: validation splits, private images, parts of several views."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.data.masks import RegionMasks
from benchmark.datasets.mvtec_ad2 import MvtecAD2
from benchmark.datasets.mvtec_loco import MvtecLoco
from benchmark.datasets.real_iad import CATEGORIES, RealIad
from benchmark.errors import DataError
from benchmark.metrics import image_metrics
from benchmark.plugins.contract import DatasetChecks, checks_of
from benchmark.records import store

from .conftest import Draw

Data = Callable[..., tuple[int, str]]
PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "mean_colour.py"


def run(bench: Data, draw: Draw, name: str, *arguments: object) -> tuple[dict[str, Any], Any]:
    """A cell of the example method at 16 pixels: its record and its stored scores."""
    method = ("--plugin", PLUGIN, "--methods", "mean_colour", "--image-size", 16)
    results = ("--results", draw.root.parent / "results")
    status, text = bench("run", "--dataset", name, "--data-root", draw.root, *method, *results)
    assert status == 0, text
    (path,) = (draw.root.parent / "results").rglob("*-seed0.json")
    record = json.loads(path.read_text())
    return record, store.Scores.read(path.parent, record["files"]["scores"])


def keeps_contract(dataset: Any) -> None:
    for _, check in checks_of(DatasetChecks(dataset)):
        check()


# MVTec LOCO AD

KINDS = [
    {
        "defect_name": "one missing",
        "pixel_value": 255,
        "saturation_threshold": 1,
        "relative_saturation": False,
    },
    {
        "defect_name": "broken",
        "pixel_value": 254,
        "saturation_threshold": 0.5,
        "relative_saturation": True,
    },
]


@pytest.fixture
def loco(draw: Draw) -> Path:
    draw.images(*(f"pushpins/train/good/00{i}.png" for i in range(4)))
    draw.images(*(f"pushpins/validation/good/00{i}.png" for i in range(3)))
    draw.images("pushpins/test/good/000.png", "pushpins/test/logical_anomalies/000.png")
    draw.images("pushpins/test/structural_anomalies/000.png")
    truth = "pushpins/ground_truth"
    draw.mask(f"{truth}/logical_anomalies/000/000.png", 255)
    draw.mask(f"{truth}/logical_anomalies/000/001.png", 254, 254, 254)
    draw.mask(f"{truth}/structural_anomalies/000/000.png", 254, 254)
    (draw.root / "pushpins/defects_config.json").write_text(json.dumps(KINDS))
    return draw.root


def test_loco_masks_are_the_union_and_keep_their_regions(loco: Path) -> None:
    category = MvtecLoco(loco).category("pushpins")
    logical, structural = (s.mask for s in category.test if s.label)
    assert isinstance(logical, RegionMasks) and isinstance(structural, RegionMasks)
    assert logical.mask().sum() == 3 and logical.name().endswith("logical_anomalies/000")
    found = [(int(r.mask.sum()), r.saturation, r.defect) for r in logical.regions()]
    assert found == [(1, 1, "one missing"), (3, 1, "broken")]  # int(0.5 * 3) pixels
    assert [s.defect for s in category.test] == [
        "good",
        "logical_anomalies",
        "structural_anomalies",
    ]
    keeps_contract(MvtecLoco(loco))


def test_loco_regions_are_part_of_the_fingerprint(loco: Path) -> None:
    def content() -> bytes:
        mask = MvtecLoco(loco).category("pushpins").test[1].mask
        assert mask is not None
        return bytes(mask.content())

    before = content()
    changed = [{**KINDS[0], "saturation_threshold": 2}, KINDS[1]]
    (loco / "pushpins/defects_config.json").write_text(json.dumps(changed))
    assert content() != before


@pytest.mark.parametrize(
    ("values", "words"),
    [((9,), "with the values 9"), ((254, 255), "values 254, 255"), ((), "no pixel is marked")],
)
def test_loco_a_mask_file_holds_one_known_value(
    loco: Path, draw: Draw, data: Data, values: tuple[int, ...], words: str
) -> None:
    draw.mask("pushpins/ground_truth/logical_anomalies/000/001.png", *values)
    status, text = data("mvtec_loco")
    assert status == 1 and "logical_anomalies/000/001.png" in text and words in text


def test_loco_without_its_config_or_a_mask_folder(loco: Path, draw: Draw, data: Data) -> None:
    draw.images("pushpins/test/structural_anomalies/007.png")
    status, text = data("mvtec_loco")
    assert status == 1
    assert "expected mask: " in text and "structural_anomalies/007/000.png" in text
    assert "4/1/3/3 images (train/good/defective/validation), official are 372/138/172/69" in text
    (loco / "pushpins/defects_config.json").unlink()
    assert "defects_config.json: no such file" in data("mvtec_loco")[1]


def test_the_official_validation_split_replaces_the_random_hold_out(
    loco: Path, draw: Draw, bench: Data
) -> None:
    record, scores = run(bench, draw, "mvtec_loco")
    category = MvtecLoco(loco).category("pushpins")
    assert record["key"]["protocol"]["holdout"] == 0  # no training image is lost
    assert record["metrics"]["held_out_images"] == len(scores.held_out) == 3
    from benchmark.data.dataset import content_key

    assert scores.held_out_keys == [content_key(s.image) for s in category.validation]
    assert record["metrics"]["image_accuracy"] is not None
    assert "image_auroc_per_group" not in record["metrics"]  # its images are independent
    spro = [n for n in record["metrics"] if n.startswith("spro") or n.endswith("_logical")]
    assert len(spro) == 7 and all(0 <= record["metrics"][name] <= 1 for name in spro)
    each = [record["metrics"][f"image_auroc_{name}"] for name in ("structural", "logical")]
    assert record["metrics"]["image_auroc_over_types"] == sum(each) / 2
    assert (
        "1 records evaluated, 0 of them changed, 0 not"
        in bench("evaluate", "--results", draw.root.parent / "results", "--data-root", loco)[1]
    )
    refused = ("--dataset", "mvtec_loco", "--data-root", loco, "--holdout", "0.2")
    status, text = bench("run", "--plugin", PLUGIN, "--methods", "mean_colour", *refused)
    assert status == 1 and "validation split of 3 normal images" in text


def test_loco_official_numbers() -> None:
    keys = ("train", "validation", "good", "defective")
    totals = [sum(c[k] for c in MvtecLoco.official.values()) for k in keys]
    assert totals == [1772, 304, 575, 432 + 561]


# MVTec AD 2


@pytest.fixture
def ad2(draw: Draw) -> Path:
    draw.images(*(f"vial/train/good/00{i}_regular.png" for i in range(3)))
    draw.images(*(f"vial/validation/good/00{i}_regular.png" for i in range(2)))
    for light in ("regular", "overexposed"):
        draw.images(
            f"vial/test_public/good/000_{light}.png", f"vial/test_public/bad/000_{light}.png"
        )
        draw.mask(f"vial/test_public/ground_truth/bad/000_{light}_mask.png", 255)
    draw.images("vial/test_private/000_regular.png", "vial/test_private_mixed/000_mixed.png")
    return draw.root


def test_ad2_groups_lightings_and_keeps_private_images_apart(ad2: Path, data: Data) -> None:
    category = MvtecAD2(ad2).category("vial")
    assert [(s.id, s.group) for s in category.test if s.label] == [
        ("test_public/bad/000_overexposed.png", "bad/000"),
        ("test_public/bad/000_regular.png", "bad/000"),
    ]
    assert {s.group for s in category.test} == {"bad/000", "good/000"}
    assert [s.id for s in category.unlabelled] == [
        "test_private/000_regular.png",
        "test_private_mixed/000_mixed.png",
    ]
    keeps_contract(MvtecAD2(ad2))
    status, text = data("mvtec_ad2")
    assert status == 0 and "vial: 2 images (unlabelled), official are 552" in text


def test_ad2_private_images_are_scored_without_metrics(ad2: Path, draw: Draw, bench: Data) -> None:
    record, scores = run(bench, draw, "mvtec_ad2")
    assert len(scores.ids) == 4 and len(scores.held_out) == 2
    assert record["metrics"]["image_auroc_per_group"] is None
    assert "no group has both" in record["undefined"]["image_auroc_per_group"]
    assert len(scores.unlabelled) == 2 and np.isfinite(scores.unlabelled).all()
    assert scores.unlabelled_ids[1] == "test_private_mixed/000_mixed.png"
    folder = next((draw.root.parent / "results").rglob("*-seed0.json")).parent
    maps = store.read_maps(folder, record["files"]["unlabelled_maps"])
    assert maps.shape == (2, 16, 16)
    status, text = bench("scores", "--results", draw.root.parent / "results")
    lines = [line for line in text.splitlines() if "test_private" in line]
    assert status == 0 and len(lines) == 2
    assert ",test_private/000_regular.png,,unknown," in lines[0]


def test_ad2_unpacked_twice_says_the_command(ad2: Path, data: Data) -> None:
    (ad2 / "vial").rename(ad2 / "inner")
    (ad2 / "vial").mkdir()
    (ad2 / "inner").rename(ad2 / "vial" / "vial")
    status, text = data("mvtec_ad2")
    assert status == 1 and f"mv '{ad2}/vial/vial'/* '{ad2}/vial'/" in text


# Real-IAD


def row(image: str, kind: str = "OK", mask: str | None = None) -> dict[str, Any]:
    return {"category": "usb", "anomaly_class": kind, "image_path": image, "mask_path": mask}


@pytest.fixture
def real_iad(draw: Draw) -> Path:
    train = [f"OK/S0001/usb_0001_OK_C{view}_1.jpg" for view in (1, 2)]
    good = [f"OK/S0002/usb_0002_OK_C{view}_1.jpg" for view in (1, 2)]
    bad = [f"NG/AK/S0001/usb_0001_NG_AK_C{view}_1.jpg" for view in (1, 2)]
    mask = bad[0].replace(".jpg", "_mask.png")
    draw.images(*(f"realiad_256/usb/{name}" for name in (*train, *good, *bad)))
    draw.mask(f"realiad_256/usb/{mask}", 255, 128)  # resized: greys at the border
    both = {
        "train": [row(name) for name in train],
        "test": [*(row(name) for name in good), row(bad[0], "AK", mask), row(bad[1], "AK")],
    }
    one = {part: [r for r in rows if "_C1_" in r["image_path"]] for part, rows in both.items()}
    for folder, rows in (("realiad_jsons", both), ("realiad_jsons_sv", one)):
        draw.path(f"realiad_jsons/{folder}/usb.json").write_text(json.dumps(rows))
    return draw.root


def test_real_iad_views_of_a_part_are_a_group(real_iad: Path) -> None:
    category = RealIad(real_iad).category("usb")
    assert [(s.label, s.group) for s in category.test] == [
        (0, "OK/S0002"),
        (0, "OK/S0002"),
        (1, "NG/AK/S0001"),
        (0, "NG/AK/S0001"),  # nothing is visible on this view
    ]
    assert category.test[2].mask is not None and category.test[2].mask.mask().sum() == 2
    assert [len(RealIad(real_iad, views="one").category("usb").test), len(category.test)] == [2, 4]
    keeps_contract(RealIad(real_iad))
    assert len(CATEGORIES) == 30


def test_real_iad_scores_parts_under_a_name_of_their_own(
    real_iad: Path, draw: Draw, bench: Data
) -> None:
    record, scores = run(bench, draw, "real_iad")
    assert list(scores.groups) == ["OK/S0002", "OK/S0002", "NG/AK/S0001", "NG/AK/S0001"]
    expected = float(max(scores.scores[2:]) > max(scores.scores[:2]))
    assert record["metrics"]["group_auroc"] == expected
    found = image_metrics(scores.scores, scores.labels, groups=scores.groups)
    assert record["metrics"]["image_auroc_per_group"] == found.image_auroc_per_group


def test_real_iad_names_a_missing_image_and_a_contaminated_split(
    real_iad: Path, data: Data
) -> None:
    (real_iad / "realiad_256/usb/OK/S0002/usb_0002_OK_C2_1.jpg").unlink()
    status, text = data("real_iad")
    assert status == 1 and "1 files that the split names are missing" in text
    assert "usb_0002_OK_C2_1.jpg" in text
    path = real_iad / "realiad_jsons/realiad_jsons/usb.json"
    rows = json.loads(path.read_text())
    rows["train"].append(rows["test"][2])
    path.write_text(json.dumps(rows))
    assert "1 of its training images are defective" in data("real_iad")[1]
    path.write_text("{}")
    assert "usb.json: not a split file of this data set" in data("real_iad")[1]


def test_real_iad_in_two_sizes_asks_which(real_iad: Path, data: Data, draw: Draw) -> None:
    draw.images("realiad_512/usb/OK/S0001/usb_0001_OK_C1_1.jpg")
    with pytest.raises(DataError, match=r"--set real_iad\.resolution=256"):
        RealIad(real_iad).category("usb")
    status, _ = data("real_iad", "--set", "real_iad.resolution=256")
    assert status == 0


def test_settings_of_a_data_set_name_its_folder_and_its_key(
    real_iad: Path, draw: Draw, bench: Data
) -> None:
    method = ("--plugin", PLUGIN, "--methods", "mean_colour", "--image-size", 16)
    where = ("--dataset", "real_iad", "--data-root", real_iad, "--results", "r")
    status, text = bench("run", *where, *method, "--set", "real_iad.views=one")
    assert status == 0, text
    (path,) = Path("r").rglob("*-seed0.json")
    assert path.relative_to("r").parts[0] == "real_iad-viewsone"
    key = json.loads(path.read_text())["key"]
    assert key["source"] == "real_iad" and key["source_settings"] == {"views": "one"}
    again = ("--results", "r", "--data-root", real_iad)
    status, text = bench("evaluate", *again)  # reads the same two images, not all four
    assert status == 0 and "1 records evaluated, 0 of them changed, 0 not" in text
    status, text = bench("run", *where, *method, "--set", "real_iad.views=two")
    assert status == 2 and "'all' or 'one'" in text
