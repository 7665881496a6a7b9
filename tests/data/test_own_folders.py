"""Folders as people have them: each kind that was once read wrong, and what is said about the files."""

from __future__ import annotations

import json
import shlex
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from benchmark.data.report import CategoryReport
from benchmark.data.verify import verify
from benchmark.datasets.folder import FolderData
from benchmark.errors import DataError, SettingsError
from benchmark.features.networks import untrained
from benchmark.runner.protocol import Protocol

Bench = Callable[..., tuple[int, str]]
RUN = ("--weights", "random", "--methods", "padim", "--set", "padim.backbone=resnet18")


class Camera:
    """Writes photographs and masks below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rng = np.random.default_rng(0)

    def photos(self, *names: str, side: int = 24) -> None:
        for name in names:
            self.save(name, self.rng.integers(0, 256, (side, side, 3)))

    def masks(self, *names: str, value: int = 255, empty: bool = False) -> None:
        for name in names:
            pixels = np.zeros((24, 24))
            pixels[4:9, 4:9] = 0 if empty else value
            self.save(name, pixels)

    def save(self, name: str, pixels: Any, **options: Any) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels).astype(np.uint8)).save(path, **options)

    def split(self, masks: bool = False) -> None:
        """Four training images, two good and two dented ones."""
        self.photos(
            *numbered("train/good", 4), *numbered("test/good", 2), *numbered("test/dent", 2)
        )
        if masks:
            self.masks(*numbered("ground_truth/dent", 2))


@pytest.fixture
def camera(tmp_path: Path) -> Camera:
    return Camera(tmp_path / "things")


def numbered(folder: str, count: int, form: str = "{:03}.png") -> list[str]:
    return [f"{folder}/{form.format(i)}" for i in range(count)]


def kinds(root: Path) -> Counter[str]:
    data = FolderData(root)
    (name,) = data.categories()
    return Counter(role.kind for role in data.roles(name).values())


def counts(root: Path) -> tuple[int, int, int]:
    """Training, good and defective images; raises what a run would."""
    data = FolderData(root)
    category = data.category(*data.categories())
    bad = sum(s.label for s in category.test)
    return len(category.train), len(category.test) - bad, bad


def report(root: Path, **options: Any) -> CategoryReport:
    (found,) = verify(FolderData(root), **options).categories
    return found


def test_whatever_lies_below_good_is_good(camera: Camera) -> None:
    camera.photos(*numbered("good", 6), *numbered("good/night_shift/a", 4), *numbered("bad", 2))
    assert counts(camera.root) == (8, 2, 2)


def test_training_images_in_sub_folders_are_used(camera: Camera) -> None:
    camera.split()
    camera.photos(*numbered("train/good/2024-05-02", 5))
    assert counts(camera.root) == (9, 2, 2)


def test_defects_at_any_depth_count_and_keep_their_type(camera: Camera) -> None:
    camera.photos(*numbered("OK", 5), *numbered("NG/AK/S0000", 2), *numbered("NG/HS/S0001/b", 1))
    data = FolderData(camera.root)
    test = data.category("things").test
    assert [s.defect for s in test] == ["AK", "AK", "HS", "good"]


def test_thumbnails_and_system_files_are_named_as_unused(camera: Camera) -> None:
    camera.split()
    strays = ("test/good/thumbnails/000.png", "test/good/._000.png", "@eaDir/000.png/s.jpg")
    camera.photos(*strays)
    roles = FolderData(camera.root).roles("things")
    assert {p for p, role in roles.items() if role.kind == "unused"} == set(strays)
    assert counts(camera.root) == (4, 2, 2)


def test_a_thumbnail_of_nothing_is_asked_about(camera: Camera) -> None:
    camera.split()
    camera.photos("test/good/thumbnails/777.png")
    with pytest.raises(DataError, match=r"(?s)777.*unused: test/good/thumbnails/\*\*$"):
        counts(camera.root)


@pytest.mark.parametrize(
    "form",
    [
        "{}.png",
        "{}_label.png",
        "{}_seg.png",
        "{}_Mask.png",
        "mask_{}.png",
        "{}-mask.bmp",
        "{}_x.png",
    ],
)
def test_masks_beside_images_are_no_images(camera: Camera, form: str) -> None:
    camera.photos(*numbered("train/good", 4), *numbered("test/good", 2))
    camera.photos(*numbered("test/dent", 3, "{}.jpg"))
    camera.masks(*numbered("test/dent", 3, form))
    assert counts(camera.root) == (4, 2, 3)
    assert kinds(camera.root)["mask"] == 3


def test_photographs_of_similar_names_are_images(camera: Camera) -> None:
    camera.photos(*numbered("good", 5), "bad/1.png", "bad/1_2.png", "bad/1_label.png", "bad/1.bmp")
    assert counts(camera.root) == (4, 1, 4)


def test_empty_masks_beside_good_images_are_no_images(camera: Camera) -> None:
    camera.photos(*numbered("good", 10, "Part{}.jpg"), *numbered("bad", 4, "Part{}.jpg"))
    camera.masks(*numbered("good", 10, "Part{}_label.bmp"), empty=True)
    camera.masks(*numbered("bad", 4, "Part{}_label.bmp"))
    assert counts(camera.root) == (8, 2, 4)


@pytest.mark.parametrize(
    "third", ["labels", "Ground-Truth", "mask_dir", "masks_bad", "Anmerkungen"]
)
def test_a_third_folder_of_masks_is_no_defect_type(camera: Camera, third: str) -> None:
    camera.photos(*numbered("good", 5), *numbered("bad", 3))
    camera.masks(*numbered(third, 3))
    assert counts(camera.root) == (4, 1, 3)
    assert kinds(camera.root)["mask"] == 3


@pytest.mark.parametrize("third", ["overlay", "pictures2", "umrandet"])
def test_a_third_folder_of_pictures_is_asked_about(camera: Camera, third: str) -> None:
    camera.photos(*numbered("good", 5), *numbered("bad", 3), *numbered(third, 3))
    with pytest.raises(DataError, match=rf"(?s){third}/000\.png.*\nunused: {third}/\*\*$"):
        counts(camera.root)


@pytest.mark.parametrize(
    ("strays", "line"),
    [
        (numbered("bad/overlay", 3), "bad/overlay/**"),
        (numbered("good/preview", 3), "good/preview/**"),
        (numbered("bad", 3, "{:03}_overlay.png"), r"bad/*_overlay.png"),
        (numbered("misc", 3), "misc/**"),
    ],
)
def test_pictures_made_of_others_are_asked_about(
    camera: Camera, strays: list[str], line: str
) -> None:
    camera.photos(*numbered("good", 5), *numbered("bad", 3), *strays)
    with pytest.raises(DataError) as error:
        counts(camera.root)
    assert str(error.value).endswith(f"\nunused: {line}")
    (camera.root / "folder.yaml").write_text(str(error.value).splitlines()[-1])
    assert counts(camera.root) == (4, 1, 3)


def test_validation_images_are_neither_good_nor_bad(camera: Camera) -> None:
    camera.photos(*numbered("good", 5), *numbered("bad", 3), *numbered("val", 3))
    assert counts(camera.root) == (4, 1, 3) and kinds(camera.root)["validation"] == 3
    data = FolderData(camera.root)
    (category,) = map(data.category, data.categories())
    assert Protocol().divide(category, FolderData, "x") == ([0, 1, 2, 3], [4, 5, 6])


def test_folders_of_masks_per_image_are_named_with_the_remedy(camera: Camera) -> None:
    camera.split()
    camera.masks("ground_truth/dent/000/000.png", "ground_truth/dent/000/001.png")
    camera.masks("ground_truth/dent/001/000.png")
    with pytest.raises(DataError, match=r"ground_truth/dent/000/ holds.*merge them into one file"):
        counts(camera.root)
    assert len(report(camera.root).found_kinds["no mask"]) == 2


def test_names_that_differ_in_composition_are_the_same(camera: Camera) -> None:
    name = "beule_grün"
    camera.photos(*numbered("Grün/good", 5), f"Grün/bad/{unicodedata.normalize('NFD', name)}.png")
    camera.masks(f"Grün/masks/bad/{unicodedata.normalize('NFC', name)}_mask.png")
    (camera.root / "Grün").rename(camera.root / unicodedata.normalize("NFD", "Grün"))
    data = FolderData(camera.root)
    assert data.categories() == ["Grün"]
    assert data.category(unicodedata.normalize("NFD", "Grün")).has_masks


@pytest.mark.parametrize("name", [b"k\xf6rper", b"back\\slash", b"x" * 101])
def test_a_name_that_no_category_can_have_costs_only_itself(camera: Camera, name: bytes) -> None:
    for category in ("nuts", "x"):
        camera.photos(*numbered(f"{category}/good", 5), f"{category}/bad/0.png")
    (camera.root / "x").rename(Path(str(camera.root)) / name.decode("utf-8", "surrogateescape"))
    reports = {r.name: r for r in verify(FolderData(camera.root)).categories}
    assert reports.pop("nuts").ok
    (other,) = reports.values()
    assert other.error is not None and "not a usable name" in other.error
    other.name.encode()  # can be printed


@pytest.mark.parametrize("name", ["regular", "test", "normal"])
def test_a_category_may_have_the_name_of_a_folder_of_images(camera: Camera, name: str) -> None:
    for category in (name, "large"):
        camera.photos(*numbered(f"{category}/train/good", 3), f"{category}/test/bad/0.png")
    assert FolderData(camera.root).categories() == sorted([name, "large"])


def test_categories_without_a_split_may_be_called_regular(camera: Camera) -> None:
    for category in ("regular", "large"):
        camera.photos(*numbered(f"{category}/good", 5), f"{category}/scratch/0.png")
    assert FolderData(camera.root).categories() == ["large", "regular"]


def test_folders_of_images_and_of_masks_side_by_side(camera: Camera) -> None:
    camera.photos(*numbered("Data/Images/Normal", 5), *numbered("Data/Images/Anomaly", 2))
    camera.masks(*numbered("Data/Masks/Anomaly", 2))
    assert counts(camera.root) == (4, 1, 2) and kinds(camera.root)["mask"] == 2


def test_what_belongs_to_no_category_is_named(camera: Camera) -> None:
    camera.photos(*numbered("nuts/good", 5), *numbered("bolts/bad", 2), "cover.jpg")
    text = verify(FolderData(camera.root)).text()
    assert "no category: bolts/: 2 images" in text and "no category: cover.jpg" in text


def test_the_line_of_a_refusal_settles_it(camera: Camera) -> None:
    camera.split()
    camera.photos("preview.jpg", "old/000.png")
    with pytest.raises(DataError) as error:
        counts(camera.root)
    assert str(error.value).endswith("\nunused: [preview.jpg, old/**]")
    (camera.root / "folder.yaml").write_text(str(error.value).splitlines()[-1])
    assert counts(camera.root) == (4, 2, 2)
    with (camera.root / "folder.yaml").open("a") as file:  # a role may stand in several lines
        file.write("\nunused: test/dent/001.png\n")
    assert counts(camera.root) == (4, 2, 1)


def test_patterns_state_roles_of_any_names(camera: Camera) -> None:
    camera.photos(*numbered("MT_Free/Imgs", 5), *numbered("MT_Fray/Imgs", 2))
    camera.masks(*numbered("anno/MT_Fray", 2, "{:03}_y.png"))
    lines = ("good: MT_Free/**", "defect: MT_{type}/**", "mask: anno/MT_{type}/{stem}_y.png")
    (camera.root / "folder.yaml").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"says good: MT_Free/\*\* and defect: MT_\{type\}"):
        counts(camera.root)
    (camera.root / "folder.yaml").write_text("\n".join(lines).replace("MT_{type}/**", "MT_Fray/**"))
    with pytest.raises(DataError, match="a mask that is named after no image"):  # MT_Fray, not Fray
        counts(camera.root)
    lines = ("good: MT_Free/**", "defect: MT_Fray/**", "mask: anno/{type}/{stem}_y.png")
    (camera.root / "folder.yaml").write_text("\n".join(lines))
    category = FolderData(camera.root).category("things")
    assert [s.defect for s in category.test] == [
        "MT_Fray",
        "MT_Fray",
        "good",
    ] and category.has_masks


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bad: x/**", "unknown role 'bad'.*known: defect, good"),
        ("- a", "expected lines such as good"),
        ("good: [", "cannot be read as YAML"),
        ("good: {a: b}", "good needs a pattern"),
        ("mask: '{stem}/{stem}'", "may stand once"),
    ],
)
def test_a_folder_yaml_that_cannot_be_read(camera: Camera, text: str, said: str) -> None:
    camera.split()
    (camera.root / "folder.yaml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        counts(camera.root)


def test_a_written_proposal_says_what_was_read(camera: Camera, bench: Bench) -> None:
    camera.split(masks=True)
    camera.photos(*numbered("test/scratch/camera_1", 2), "test/good/thumbs/000.png", "x.png")
    camera.masks(*numbered("ground_truth/scratch", 2))
    before = FolderData(camera.root).roles("things")
    status, out = bench("data", "folder", "--data-root", camera.root, "--write")
    assert status == 1 and "folder.yaml" in out
    text = (camera.root / "folder.yaml").read_text()
    assert "mask: ground_truth/{type}/{stem}.png" in text and "# unused: x.png" in text
    after = FolderData(camera.root).roles("things")
    assert {p: (r.kind, r.of) for p, r in after.items()} == {
        p: (r.kind, r.of) for p, r in before.items()
    }
    status, out = bench("data", "folder", "--data-root", camera.root, "--write")
    assert status == 2 and "is there already" in out


def test_the_same_image_twice_is_said(camera: Camera, bench: Bench) -> None:
    camera.split()
    for source, target in (
        ("train/good/000.png", "test/good/copy.png"),
        ("test/dent/000.png", "test/good/copy2.png"),
        ("train/good/001.png", "train/good/copy3.png"),
    ):
        (camera.root / target).write_bytes((camera.root / source).read_bytes())
    found = report(camera.root).found_kinds
    assert {kind: len(texts) for kind, texts in found.items()} == {
        "in train and test": 1,
        "good and defective": 1,
        "twice": 1,
    }
    (text,) = found["in train and test"]
    assert "train/good/000.png" in text and "test/good/copy.png" in text
    _, out = bench("run", "--dataset", "folder", "--data-root", camera.root, *RUN, "--dry-run")
    assert "things: 5 train, 4 good, 2 defect (2 dent)" in out
    assert all(f"things: warning: {kind}: 1 " in out for kind in found)


@pytest.mark.parametrize(("top", "said"), [(4080, "multiply by 16"), (65535, None)])
def test_images_that_use_a_part_of_16_bits_are_dark(
    camera: Camera, top: int, said: str | None
) -> None:
    camera.split()
    for path in camera.root.rglob("*.png"):
        values = np.linspace(0, top, 24 * 24).reshape(24, 24).astype(np.uint16)
        values[0, :9] = camera.rng.integers(0, top, 9)
        Image.fromarray(values).save(path)
    found = report(camera.root).found_kinds
    assert ("dark" in found) == (said is not None)
    assert said is None or (len(found["dark"]) == 8 and said in found["dark"][0])


def test_masks_that_mark_the_background_are_said(camera: Camera) -> None:
    camera.split(masks=True)
    path = camera.root / "ground_truth/dent/000.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    (text,) = report(camera.root).found_kinds["mostly marked"]
    assert str(path) in text and "96%" in text


def test_a_rotation_in_image_or_mask_alone_is_said(camera: Camera) -> None:
    camera.split(masks=True)
    exif = Image.Exif()
    exif[274] = 6
    (camera.root / "test/dent/000.png").unlink()
    camera.save("test/dent/000.jpg", camera.rng.integers(0, 256, (24, 24, 3)), exif=exif)
    (text,) = report(camera.root).found_kinds["turned"]
    assert "test/dent/000.jpg: orientation 6" in text


def test_grey_masks_are_counted_and_a_threshold_reads_them(camera: Camera, bench: Bench) -> None:
    camera.split(masks=True)
    for number, stray in ((0, 2), (1, 9)):
        path = camera.root / f"ground_truth/dent/{number:03}.png"
        pixels = np.array(Image.open(path))
        pixels[0, :stray] = 3
        Image.fromarray(pixels).save(path)
    command = ("run", "--dataset", "folder", "--data-root", camera.root, *RUN, "--image-size", 32)
    status, out = bench(*command)
    assert status == 1 and "2 of 2 masks have values" in out and "the worst has 9" in out
    assert "001.png" in out and "--mask-threshold 127" in out
    status, out = bench(*command, "--mask-threshold", 127)
    assert status == 0, out
    status, out = bench("evaluate", "--data-root", camera.root)
    assert status == 0 and "1 records evaluated, 0 of them changed" in out
    status, out = bench(*command, "--mask-threshold", 2)
    assert status == 1 and "mask_threshold" in out  # another key
    assert len(report(camera.root).problems["not binary"]) == 2
    assert report(camera.root, mask_threshold=127).ok


def test_empty_masks_are_counted_alike_in_data_and_run(camera: Camera, bench: Bench) -> None:
    camera.split(masks=True)
    camera.masks("ground_truth/dent/001.png", empty=True)
    assert len(report(camera.root).found_kinds["empty mask"]) == 1
    _, out = bench("run", "--dataset", "folder", "--data-root", camera.root, *RUN, "--dry-run")
    assert "things: warning: empty mask: 1 " in out


def test_defects_outside_of_a_papers_window_are_said(camera: Camera, bench: Bench) -> None:
    camera.split(masks=True)
    pixels = np.zeros((24, 24))
    pixels[0, 0] = 255  # the paper's central crop does not see the corner
    camera.save("ground_truth/dent/000.png", pixels)
    _, out = bench("data", "folder", "--data-root", camera.root)
    assert "things: 1 of 2 defects have no pixel in what --protocol paper measures with" in out
    command = ("run", "--dataset", "folder", "--data-root", camera.root, *RUN, "--dry-run")
    _, out = bench(*command, "--protocol", "paper")
    assert "warning: 1 of 2 defects have no pixel in what is measured with padim" in out
    assert "no pixel in" not in bench(*command)[1]


def test_the_readmes_five_commands_lead_from_photographs_to_verdicts(
    camera: Camera, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    block = text.split("## On your own photographs")[1].split("```")[1].strip().splitlines()
    assert len(block) == 5
    camera.root = tmp_path / "photos"
    camera.photos(*numbered("good", 6), *numbered("scratch", 2))
    camera.masks(*numbered("masks/scratch", 2))
    weights = tmp_path / "weights"
    weights.mkdir()
    save_file(untrained("resnet18").state_dict(), weights / "resnet18.safetensors")
    bench("list", "methods")  # the fixture leaves the folder and clears the environment
    monkeypatch.setenv("BENCH_WEIGHTS", str(weights))
    (tmp_path / "new_photos").mkdir()
    shutil.copy(camera.root / "good/000.png", tmp_path / "new_photos")
    said = [bench(*shlex.split(command)[1:]) for command in block]
    assert [status for status, _ in said] == [0] * 5, said
    assert "defect scratch" in said[0][1] and "PaDiM" in said[2][1]
    assert list((tmp_path / "results/photos/pictures").rglob("*.png"))
    assert len((tmp_path / "results/verdicts/verdicts.csv").read_text().splitlines()) == 2


def test_a_long_image_keeps_its_aspect(camera: Camera, bench: Bench) -> None:
    camera.split(masks=True)
    for path in camera.root.rglob("*.png"):
        Image.open(path).resize((24, 60), Image.Resampling.NEAREST).save(path)
    assert "--keep-aspect or --image-size 640x256" in verify(FolderData(camera.root)).text()
    command = ("run", "--dataset", "folder", "--data-root", camera.root, *RUN)
    for options, label in (
        (("--image-size", "80x32"), "standard-80x32px"),
        (("--image-size", 32, "--keep-aspect"), "standard-32px-aspect"),
    ):
        status, out = bench(*command, *options)
        assert status == 0 and label in out, out
    record = json.loads(
        next(Path("results/runs").rglob("standard-32px-aspect/*/*.json")).read_text()
    )
    assert record["key"]["geometry"]["resize"] == 32
    assert record["key"]["protocol"]["keep_aspect"] is True
    for wrong in (("--protocol", "paper", "--keep-aspect"), ("--image-size", "3x4x5")):
        assert bench(*command, *wrong)[0] == 2


def test_validation_takes_good_images_only(camera: Camera) -> None:
    camera.photos(*numbered("train/good", 4), *numbered("val/good", 2), *numbered("val/bad", 2))
    with pytest.raises(
        DataError, match="no images to test.* val/bad holds defective .* call it test"
    ):
        counts(camera.root)
    camera.photos(*numbered("test/good", 2), *numbered("test/bad", 1))
    category = FolderData(camera.root).category("things")
    assert [s.id for s in category.validation] == numbered("val/good", 2)
    assert kinds(camera.root)["unused"] == 2


def test_a_mask_is_given_to_no_image_of_another_folder(camera: Camera) -> None:
    camera.split(masks=True)
    (camera.root / "test/dent/001.png").unlink()  # test/good/001.png is there
    with pytest.raises(
        DataError, match=r"dent/001\.png: a mask of no image below dent, though test"
    ):
        counts(camera.root)
    camera.photos("test/dent/001.png")
    (camera.root / "folder.yaml").write_text("unused: test/dent/001.png")
    assert counts(camera.root) == (4, 2, 1) and kinds(camera.root)["unused"] == 2
    camera.photos(*numbered("test/scratch", 2))
    camera.masks("ground_truth/scratch/000.png", "ground_truth/scratch/001.png")
    (camera.root / "test/scratch/001.png").unlink()
    (camera.root / "folder.yaml").unlink()
    camera.photos("test/dent/001.png")
    (
        camera.root / "ground_truth/dent/001.png"
    ).unlink()  # which the scratch's mask must not replace
    with pytest.raises(DataError, match=r"scratch/001\.png: a mask of no image below scratch"):
        counts(camera.root)


def test_a_good_image_whose_mask_marks_a_defect_is_asked_about(camera: Camera) -> None:
    camera.split(masks=True)
    camera.photos("test/good/9.png")
    camera.masks("ground_truth/good/000.png", empty=True)
    camera.masks("ground_truth/good/9.png")
    wanted = "taken for good, and ground_truth/good/9.png marks"
    with pytest.raises(DataError, match=wanted) as said:
        counts(camera.root)
    (camera.root / "folder.yaml").write_text(str(said.value).splitlines()[-1])
    assert counts(camera.root) == (4, 2, 2)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("unused: Test/dent/000.png", "fits no file, but nearly test/dent/000.png"),
        ("unused: test/dnet/000.png", "fits no file, but nearly test/dent/000.png"),
        ("good: okay/**", r"good: okay/\*\* fits no file; correct the line"),
    ],
)
def test_a_line_that_fits_no_file_is_refused(camera: Camera, line: str, said: str) -> None:
    camera.split()
    (camera.root / "folder.yaml").write_text(line)
    with pytest.raises(SettingsError, match=said):
        counts(camera.root)


def test_folder_yml_is_not_overlooked(camera: Camera) -> None:
    camera.split()
    (camera.root / "folder.yml").write_text("unused: test/dent/000.png")
    with pytest.raises(SettingsError, match=r"folder\.yml: is not read .* rename it folder\.yaml"):
        counts(camera.root)


def test_photographs_in_formats_that_are_not_read_are_named(camera: Camera) -> None:
    camera.split()
    for i in range(2):
        (camera.root / f"test/IMG_{i}.HEIC").write_bytes(b"ftypheic")
    with pytest.raises(DataError, match=r"IMG_0\.HEIC and 1 more: \.HEIC is not read") as said:
        counts(camera.root)
    (camera.root / "folder.yaml").write_text(str(said.value).splitlines()[-1])
    assert counts(camera.root) == (4, 2, 2)
    shutil.rmtree(camera.root / "train")
    shutil.rmtree(camera.root / "test")
    camera.root.joinpath("ok").mkdir()
    camera.root.joinpath("ok/a.heic").write_bytes(b"ftypheic")
    camera.root.joinpath("folder.yaml").unlink()
    with pytest.raises(DataError, match=r"0 images, 1 \.heic that are not read|empty"):
        counts(camera.root)


def test_a_run_names_what_belongs_to_no_category(camera: Camera, bench: Bench) -> None:
    camera.photos(*numbered("nuts/good", 5), *numbered("nuts/bad", 2), *numbered("bolts/bad", 2))
    _, out = bench("run", "--dataset", "folder", "--data-root", camera.root, *RUN, "--dry-run")
    assert "warning: no category: bolts/: 2 images" in out
    assert "of these categories can be used" in verify(FolderData(camera.root)).text()


def test_a_written_proposal_does_not_turn_test_images_into_training(
    camera: Camera, bench: Bench
) -> None:
    camera.photos(*numbered("test/good", 10), *numbered("test/bad", 2))
    for _ in range(2):
        with pytest.raises(DataError, match="no normal images to train on"):
            counts(camera.root)
        bench("data", "folder", "--data-root", camera.root, "--write")


def test_no_common_aspect_is_proposed_for_upright_and_lying_images(camera: Camera) -> None:
    names = [*numbered("train/good", 4), *numbered("test/good", 1), *numbered("test/dent", 1)]
    for name in names:
        camera.save(name, np.zeros((24, 48, 3)))
    assert "--keep-aspect" in verify(FolderData(camera.root)).text()
    camera.save("train/good/000.png", np.zeros((48, 24, 3)))
    assert "--keep-aspect" not in verify(FolderData(camera.root)).text()


def test_masks_with_names_of_their_own_are_proposed_as_masks(camera: Camera) -> None:
    camera.split()
    camera.masks(*numbered("ground_truth/dent", 2, "{:03}_defekt.png"))
    with pytest.raises(DataError, match="a mask of test/dent/000.png. Its name says more") as said:
        counts(camera.root)
    line = str(said.value).splitlines()[-1]
    assert line == "mask: ground_truth/dent/{stem}_defekt.png"
    (camera.root / "folder.yaml").write_text(line)
    assert FolderData(camera.root).category("things").has_masks


def test_lines_of_a_category_join_those_beside_all_categories(camera: Camera) -> None:
    for name in ("nuts", "bolts"):
        camera.photos(*numbered(f"{name}/good", 5), *numbered(f"{name}/bad", 2), f"{name}/x.png")
    (camera.root / "folder.yaml").write_text("unused: x.png")
    (camera.root / "nuts/folder.yaml").write_text("unused: bad/001.png")
    data = FolderData(camera.root)
    assert [sum(s.label for s in data.category(n).test) for n in ("nuts", "bolts")] == [1, 2]


def test_one_split_is_not_taken_for_the_whole(camera: Camera) -> None:
    camera.split()
    with pytest.raises(DataError, match=r"one split, and train/ beside.*pass \S+things as --data"):
        FolderData(camera.root / "test").categories()
    (camera.root / "test/folder.yaml").write_text("good: good/**")
    assert FolderData(camera.root / "test").categories() == ["test"]
