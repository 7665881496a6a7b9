"""UCSD Ped2, Avenue and ShanghaiTech on miniatures, from video file to table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.datasets.avenue import Avenue
from benchmark.datasets.shanghaitech import SCENES, ShanghaiTech
from benchmark.datasets.ucsd_ped2 import UcsdPed2
from benchmark.errors import DataError, SettingsError
from benchmark.metrics import image_metrics
from benchmark.plugins.contract import DatasetChecks, checks_of
from benchmark.records import store

from .conftest import Draw

Data = Callable[..., tuple[int, str]]
PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "mean_colour.py"


def video(path: Path, levels: list[int]) -> None:
    """A lossless video of 32×16 pixels, one grey level per frame."""
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for level in levels:
            frame = np.full((16, 32, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def keeps_contract(dataset: Any) -> None:
    for _, check in checks_of(DatasetChecks(dataset)):
        check()


# UCSD Ped2


@pytest.fixture
def ped2(draw: Draw) -> Path:
    """Two training clips of 3 frames, two test clips of 4; the second is 1-based 1:2 and 4:4."""
    for clip in ("Train001", "Train002"):
        draw.images(*(f"Train/{clip}/00{i}.tif" for i in (1, 2, 3)))
    for clip in ("Test001", "Test002"):
        draw.images(*(f"Test/{clip}/00{i}.tif" for i in (1, 2, 3, 4)))
        for i in (1, 2, 3, 4):
            draw.mask(f"Test/{clip}_gt/00{i}.bmp", *([255] if i > 1 else []))
    draw.path("Test/Test001/._001.tif").write_bytes(b"AppleDouble")
    draw.path("Train/.DS_Store").write_bytes(b"x")
    draw.path("Test/UCSDped2.m").write_text(
        "% TestVideoFile{end+1}.gt_frame = [9:9];\nTestVideoFile = {};\n"
        "TestVideoFile{end+1}.gt_frame = [3:4];\nTestVideoFile{end+1}.gt_frame = [1:2, 4:4];\n"
    )
    return draw.root


def test_ped2_labels_are_one_based_and_inclusive(ped2: Path) -> None:
    category = UcsdPed2(ped2).category("all")
    assert [s.label for s in category.test] == [0, 0, 1, 1, 1, 1, 0, 1]
    assert [s.group for s in category.test] == ["Test001"] * 4 + ["Test002"] * 4
    assert {s.group for s in category.train} == {"Train001", "Train002"}
    found = {s.id: int(s.mask.mask().sum()) for s in category.test if s.mask}
    assert found["Test/Test001/003.tif"] == 1
    assert found["Test/Test002/001.tif"] == 0  # labels and masks were drawn apart
    keeps_contract(UcsdPed2(ped2))


def test_ped2_stride_thins_the_training_clips_only(ped2: Path) -> None:
    category = UcsdPed2(ped2, stride=2).category("all")
    assert [s.id[-7:] for s in category.train] == ["001.tif", "003.tif"] * 2
    assert len(category.test) == 8
    with pytest.raises(SettingsError, match=r"ucsd_ped2\.stride: got 0, allowed is 1 or more"):
        UcsdPed2(ped2, stride=0)


def test_ped2_from_frames_to_table(ped2: Path, bench: Data) -> None:
    method = ("--plugin", PLUGIN, "--methods", "mean_colour", "--image-size", 16)
    status, text = bench("run", "--dataset", "ucsd_ped2", "--data-root", ped2, *method)
    assert status == 0, text
    (path,) = Path("results/runs").rglob("*-seed0.json")
    metrics = json.loads(path.read_text())["metrics"]
    shown = ("image_auroc", "image_auroc_per_group", "pixel_auroc", "image_f1")
    status, text = bench("table", "summary", "--metric", *shown, "--plugin", PLUGIN)
    assert status == 0 and all(f"{metrics[name]:.3f}" in text for name in shown), text


def test_ped2_names_what_is_missing(ped2: Path, data: Data) -> None:
    assert data("ucsd_ped2")[0] == 0
    (ped2 / "Test/Test002_gt/004.bmp").unlink()
    status, text = data("ucsd_ped2")
    assert status == 1 and "Test002/004.tif: an abnormal frame without a mask" in text
    (ped2 / "Test/Test002/002.tif").unlink()
    assert "Test002: frame 2 is missing between 001.tif and 004.tif" in data("ucsd_ped2")[1]
    (ped2 / "Test/Test002/001.tif").unlink()
    (ped2 / "Test/Test002/003.tif").unlink()
    assert "frames 4 to 4, and UCSDped2.m calls frame 1" in data("ucsd_ped2")[1]
    (ped2 / "Test/UCSDped2.m").write_text("TestVideoFile{1}.gt_frame = [1:2];")
    assert "UCSDped2.m: labels of 1 clips, there are 2" in data("ucsd_ped2")[1]
    (ped2 / "Test/UCSDped2.m").unlink()
    assert "UCSDped2.m: cannot be read" in data("ucsd_ped2")[1]


def test_ped2_two_levels_down_is_said(ped2: Path, bench: Data) -> None:
    deep = ped2.parent / "raw" / "UCSD_Anomaly_Dataset.v1p2" / "UCSDped2"
    deep.parent.mkdir(parents=True)
    ped2.rename(deep)
    status, text = bench("data", "ucsd_ped2", "--data-root", ped2.parent / "raw")
    assert status == 2 and f"bench data ucsd_ped2 --data-root {deep}" in text


# Avenue


def labels(path: Path, marked: list[bool]) -> None:
    from scipy.io import savemat

    cells = np.empty((1, len(marked)), object)
    for i, value in enumerate(marked):
        cells[0, i] = np.zeros((16, 32), np.uint8)
        cells[0, i][2, 3] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"volLabel": cells})


@pytest.fixture
def avenue(draw: Draw) -> Path:
    root: Path = draw.root
    for name in ("01", "02"):
        video(root / f"Avenue Dataset/training_videos/{name}.avi", [60, 80, 100])
    for name in ("01", "02"):
        video(root / f"Avenue Dataset/testing_videos/{name}.avi", [60, 200, 90, 220])
        labels(
            root / f"ground_truth_demo/testing_label_mask/{int(name)}_label.mat",
            [False, True, False, True],
        )
    return root


def test_avenue_decodes_each_frame_whatever_the_order(avenue: Path) -> None:
    category = Avenue(avenue).category("all")
    assert [s.label for s in category.test] == [0, 1, 0, 1] * 2
    for i in (3, 0, 2, 1, 3):
        level = category.test[i].image.pixels().mean()
        assert abs(level - (60, 200, 90, 220)[i]) < 3
    mask = category.test[1].mask
    assert mask is not None and np.argwhere(mask.mask()).tolist() == [[2, 3]]
    assert len({s.image.content() for s in category.test[:4]}) == 4
    assert [s.group for s in category.train] == ["01"] * 3 + ["02"] * 3
    keeps_contract(Avenue(avenue))


def test_avenue_a_frame_too_few_is_left_out_with_a_warning(avenue: Path) -> None:
    path = avenue / "ground_truth_demo/testing_label_mask/1_label.mat"
    labels(path, [False, True, False])
    with pytest.warns(UserWarning, match=r"01\.avi: 4 frames, and labels of 3; the last one"):
        assert [s.label for s in Avenue(avenue).category("all").test[:3]] == [0, 1, 0]
    labels(path, [False, True])
    with pytest.raises(DataError, match="4 frames, and labels of 2; get the video"):
        Avenue(avenue).category("all")
    path.rename(path.with_name("01_label.mat"))
    with pytest.raises(DataError, match=r"expected is .*testing_label_mask/1_label\.mat"):
        Avenue(avenue).category("all")
    path.write_bytes(b"rubbish")
    with pytest.raises(DataError, match=r"1_label\.mat: not a file of labels"):
        Avenue(avenue).category("all")


def test_avenue_without_the_extra_says_what_to_install(
    avenue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DataError, match=r"pip install 'iad-bench\[av\]', or save the frames"):
        Avenue(avenue).category("all")


def test_a_damaged_video_is_named(avenue: Path, data: Data) -> None:
    (avenue / "Avenue Dataset/training_videos/02.avi").write_bytes(b"rubbish")
    status, text = data("avenue")
    assert status == 1 and "02.avi: cannot be opened as a video" in text


def test_avenue_from_video_to_table(avenue: Path, bench: Data) -> None:
    method = ("--plugin", PLUGIN, "--methods", "mean_colour", "--image-size", 16)
    status, text = bench("run", "--dataset", "avenue", "--data-root", avenue, *method)
    assert status == 0, text
    (path,) = Path("results/runs").rglob("*-seed0.json")
    record = json.loads(path.read_text())
    scores = store.Scores.read(path.parent, record["files"]["scores"])
    assert len(scores.held_out) == 3  # one whole clip of two
    assert record["metrics"]["image_auroc"] == record["metrics"]["image_auroc_per_group"]
    for metric in ("image_auroc", "image_auroc_per_group"):
        status, text = bench("table", "per-category", "--metric", metric, "--plugin", PLUGIN)
        assert status == 0 and f"{record['metrics'][metric]:.3f}" in text, text
    for metric in ("image_auroc_per_group", "pixel_auroc"):  # resampled by clip
        sides = ("mean_colour", "mean_colour", "--metric", metric, "--plugin", PLUGIN)
        status, text = bench("compare", *sides, "--data-root", avenue)
        assert status == 0 and "+0.000 … +0.000" in text, text


# ShanghaiTech


@pytest.fixture
def campus(draw: Draw) -> Path:
    """Scene 01 trains from a video, scene 02 from a folder of frames; three test clips."""
    root: Path = draw.root
    video(root / "training/videos/01_001.avi", list(range(60, 180, 5)))
    video(root / "training/videos/02_001.avi", list(range(60, 180, 5)))
    for number, (clip, marked) in enumerate(CLIPS.items()):
        draw.images(*(f"testing/frames/{clip}/{i:03}.jpg" for i in range(len(marked))))
        masks = np.zeros((len(marked), 10, 12), np.uint8)
        masks[:, 4, 5] = marked
        if number == 1:
            masks = masks.transpose(1, 2, 0)  # some copies have the frames last
        for folder, array in (
            ("test_frame_mask", np.array(marked, np.uint8)),
            ("test_pixel_mask", masks),
        ):
            path = draw.path(f"testing/{folder}/{clip}.npy")
            np.save(path, array)
    return root


CLIPS = {"01_0014": [0, 1, 1], "01_0015": [1, 0, 1, 0], "02_0128": [0, 0]}


def test_campus_together_and_apart(campus: Path) -> None:
    together = ShanghaiTech(campus)
    assert together.categories() == ["all"]
    category = together.category("all")
    assert [s.label for s in category.test] == [
        label for marked in CLIPS.values() for label in marked
    ]
    for sample in category.test:
        if sample.mask:
            assert np.argwhere(sample.mask.mask()).tolist() == [[4, 5]], sample.id
    assert len(category.train) == 6  # every tenth of 24 frames, two clips
    apart = ShanghaiTech(campus, scenes="apart", stride=12)
    assert apart.categories() == ["01", "02"] and apart.official["01"] == {"test_groups": 34}
    scene = apart.category("02")
    assert {s.group for s in (*scene.train, *scene.test)} == {"02_001", "02_0128"}
    assert len(scene.train) == 2
    keeps_contract(together)
    assert sum(SCENES.values()) == 107


def test_campus_frames_are_ordered_as_numbers(campus: Path, draw: Draw) -> None:
    draw.images(*(f"training/frames/01_002/{i:03}.jpg" for i in range(998, 1002)))
    train = ShanghaiTech(campus, stride=1).category("all").train  # frames come before videos
    assert [Path(s.id).stem for s in train] == ["998", "999", "1000", "1001"]


def test_campus_labels_must_fit_each_clip(campus: Path, data: Data) -> None:
    assert data("shanghaitech")[0] == 0
    np.save(campus / "testing/test_frame_mask/02_0128.npy", np.zeros(3, np.uint8))
    status, text = data("shanghaitech")
    assert status == 1 and "clip 02_0128: 2 frames, 3 labels and 2 masks" in text
    np.save(campus / "testing/test_pixel_mask/02_0128.npy", np.zeros((3, 10, 12), np.uint8))
    assert (
        "02_0128.npy: masks of shape (3, 10, 12), the clip has 2 frames" in data("shanghaitech")[1]
    )
    (campus / "testing/test_frame_mask/01_0014.npy").unlink()
    assert "test_frame_mask/01_0014.npy: no such file" in data("shanghaitech")[1]


def test_campus_pools_all_frames_and_means_over_clips_under_their_own_names(
    campus: Path, bench: Data
) -> None:
    method = ("--plugin", PLUGIN, "--methods", "mean_colour", "--image-size", 16)
    status, text = bench("run", "--dataset", "shanghaitech", "--data-root", campus, *method)
    assert status == 0, text
    (path,) = Path("results/runs").rglob("*-seed0.json")
    metrics = json.loads(path.read_text())["metrics"]
    scores = store.Scores.read(path.parent, json.loads(path.read_text())["files"]["scores"])
    pooled = image_metrics(scores.scores, scores.labels.astype(bool)).image_auroc
    assert metrics["image_auroc"] == pooled
    each = []
    for clip in ("01_0014", "01_0015"):  # 02_0128 has normal frames alone
        of = np.array(scores.groups) == clip
        each.append(image_metrics(scores.scores[of], scores.labels[of].astype(bool)).image_auroc)
    assert metrics["image_auroc_per_group"] == pytest.approx(np.mean(np.array(each, float)))
    shown = ("image_auroc", "image_auroc_per_group", "pixel_auroc")
    status, text = bench("table", "summary", "--metric", *shown, "--plugin", PLUGIN)
    assert status == 0 and all(f"{metrics[name]:.3f}" in text for name in shown), text
    status, text = bench(
        "run",
        "--dataset",
        "shanghaitech",
        "--data-root",
        campus,
        *method,
        "--set",
        "shanghaitech.scenes=apart",
        "--categories",
        "01",
    )
    assert status == 0, text
    assert (Path("results/runs") / "shanghaitech-scenesapart").is_dir()


def test_spades_table_4_is_run_on_shanghaitech_and_read_from_its_records(
    campus: Path, bench: Data
) -> None:
    from benchmark.published.spade import SPADE_4
    from benchmark.tables.match import needed

    wanted = {"methods": ("spade",), "dataset": "shanghaitech", "protocol": "paper", "seeds": (0,)}
    assert needed(SPADE_4, {"spade"}) == [wanted]
    small = ("--weights", "random", "--image-size", 32, "--set", "spade.backbone=resnet18")
    run = ("--dataset", "shanghaitech", "--methods", "spade", "--protocol", "paper", *small)
    status, text = bench("run", "--data-root", campus, *run)
    assert status == 0, text
    (path,) = Path("results/runs").rglob("*-seed0.json")
    value = json.loads(path.read_text())["metrics"]["image_auroc"]
    status, text = bench("table", "spade-4")
    assert status == 0 and "71.9" in text and f"{100 * value:.1f}" in text, text
