"""ShanghaiTech Campus: 13 scenes of a campus; cyclists, chases and brawls are anomalies.

Luo, Liu, Gao: A revisit of sparse coding based anomaly detection in stacked RNN framework, ICCV 2017.
Read as it is unpacked::

    <root>/training/videos/01_001.avi               or frames: training/frames/01_001/000.jpg
    <root>/testing/frames/01_0014/000.jpg
    <root>/testing/test_frame_mask/01_0014.npy      0 or 1 per frame
    <root>/testing/test_pixel_mask/01_0014.npy      (frames, height, width), or frames last

The first number of a clip is its scene; scene 13 has training clips alone. Image metrics are over all
frames of the category, as in SPADE's Table 4, and ``image_auroc_per_group`` is the mean over clips;
scores are never rescaled per clip. The training clips have more than 270,000 frames, of which every
tenth is used unless the setting ``stride`` says otherwise; all 40,791 test frames are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from benchmark import Category, Sample
from benchmark.data.dataset import ImageSource
from benchmark.errors import DataError

from ._files import require_images
from ._video import Video, clips, labelled

Array = npt.NDArray[Any]

# test clips of each scene
SCENES = dict(zip((f"{i:02}" for i in range(1, 13)), (34, 3, 10, 9, 8, 6, 8, 12, 1, 5, 1, 10)))
FRAME_LABELS, ABNORMAL = 40791, 17326


class ShanghaiTech(Video):
    """All scenes together, or each as a category.

    Args:
        root: the folder that holds training and testing.
        stride: every how many frames of a training clip one is used.
        scenes: ``together``, one category ``all``; ``apart``, a category per scene.
    """

    title = "ShanghaiTech Campus"
    licence = "not stated by its authors"
    citation = (
        "W. Luo, W. Liu, S. Gao: A Revisit of Sparse Coding Based Anomaly Detection in Stacked RNN "
        "Framework. ICCV 2017"
    )
    origin = (
        "follow https://svip-lab.github.io/dataset/campus_dataset.html and unpack what it leads to"
    )
    archives = ("shanghaitech*",)
    expected = """\
training/videos/01_001.avi (or training/frames/01_001/000.jpg)
testing/frames/01_0014/000.jpg
testing/test_frame_mask/01_0014.npy
testing/test_pixel_mask/01_0014.npy"""
    official: Mapping[str, Mapping[str, int]] = {
        "all": {
            "good": FRAME_LABELS - ABNORMAL,
            "defective": ABNORMAL,
            "train_groups": 330,
            "test_groups": 107,
        }
    }

    def __init__(
        self,
        root: Path | None = None,
        *,
        stride: int = 10,
        scenes: Literal["together", "apart"] = "together",
    ) -> None:
        super().__init__(root, stride=stride)
        self.scenes = scenes
        if scenes == "apart":
            self.official = {name: {"test_groups": count} for name, count in SCENES.items()}

    def holds(self, folder: Path) -> list[str]:
        found = {_scene(clip) for clip in clips(folder / "testing" / "frames")}
        if self.scenes == "apart":
            return [name for name in SCENES if name in found]
        return ["all"] if found else []

    def category(self, name: str) -> Category:
        """List the clips of all scenes or of one. Raises DataError for labels that do not fit."""
        category = self.listing(name)
        root = self.place()
        require_images(name, category, root / "training" / "videos", root / "testing" / "frames")
        return category

    def listing(self, name: str) -> Category:
        self.known(name)
        training = self.place() / "training"
        trains = clips(training / "frames", training / "videos", training / "converted_videos")
        tests = clips(self.place() / "testing" / "frames")
        train = [s for c in trains if name in ("all", _scene(c)) for s in self.training_frames(c)]
        test = [s for c in tests if name in ("all", _scene(c)) for s in self._test(c)]
        return Category(name, train, test)

    def _test(self, clip: Path) -> list[Sample]:
        frames = self.frames(clip)
        testing = self.place() / "testing"
        path = testing / "test_frame_mask" / f"{clip.name}.npy"
        labels = np.asarray(_loaded(path))
        if labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
            raise DataError(f"{path}: not one 0 or 1 per frame (shape {labels.shape})")
        masks: list[ImageSource | None] = [None] * len(frames)
        if (testing / "test_pixel_mask").is_dir():
            path = testing / "test_pixel_mask" / f"{clip.name}.npy"
            masks = list(_masks(path, len(frames)))
        return labelled(frames, labels, masks, clip.name)


@dataclass(frozen=True)
class ArrayMask:
    """One frame of a file of masks, read when asked for.

    Attributes:
        path: an ``.npy`` of three axes.
        index: the frame.
        last: whether frames are the last axis instead of the first.
    """

    path: Path
    index: int
    last: bool
    may_be_empty: ClassVar[bool] = True

    def name(self) -> str:
        return f"{self.path}, frame {self.index}"

    def content(self) -> bytes:
        mask = self.mask()
        return repr(mask.shape).encode() + mask.tobytes()

    def pixels(self) -> Array:
        return np.repeat(self.mask()[..., None] * np.uint8(255), 3, axis=2)

    def mask(self) -> Array:
        masks = _loaded(self.path)
        plane = masks[..., self.index] if self.last else masks[self.index]
        return np.ascontiguousarray(plane > 0)


def _masks(path: Path, frames: int) -> list[ArrayMask]:
    """List the masks of a clip, one per frame. Raises DataError for a file of another length."""
    shape = _loaded(path).shape
    if len(shape) != 3 or frames not in (shape[0], shape[2]):
        raise DataError(
            f"{path}: masks of shape {shape}, the clip has {frames} frames; expected is ({frames}, "
            "height, width). Copy it again"
        )
    return [ArrayMask(path, i, shape[0] != frames) for i in range(frames)]


def _loaded(path: Path) -> Array:
    """Open an array on disk, without reading all of it. Raises DataError."""
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; unpack the archive again") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not an array ({error}); unpack the archive again") from None
    return array


def _scene(clip: Path) -> str:
    return clip.name.split("_")[0]
