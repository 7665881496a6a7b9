"""CUHK Avenue: one camera before a building; running, throwing and wrong directions are anomalies.

Lu, Shi, Jia: Abnormal event detection at 150 FPS in MATLAB, ICCV 2013. Both archives are unpacked into
one folder::

    <root>/Avenue Dataset/training_videos/01.avi
    <root>/Avenue Dataset/testing_videos/01.avi
    <root>/ground_truth_demo/testing_label_mask/1_label.mat     no leading zero

A clip may also be a folder of frames (``training_videos/01/0000.jpg``). A frame is abnormal where its
mask marks anything. Where a video and its labels differ by one frame, the last one is left out, with a
warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmark import Category, Sample
from benchmark.errors import DataError

from ._files import require_images
from ._video import PackedMask, Video, clips, labelled


class Avenue(Video):
    """One category, ``all``."""

    title = "CUHK Avenue"
    licence = "not stated by its authors"
    citation = "C. Lu, J. Shi, J. Jia: Abnormal Event Detection at 150 FPS in MATLAB. ICCV 2013"
    origin = (
        "download Avenue_Dataset.zip (SHA-256 fc9cb8432a11ca79…) and ground_truth_demo.zip (SHA-256 "
        "60fec1728ec8f73a…) from http://www.cse.cuhk.edu.hk/leojia/projects/detectabnormal/dataset.html"
        " and unpack both into one folder"
    )
    archives = ("Avenue*.zip", "ground_truth_demo*.zip")
    expected = """\
Avenue Dataset/training_videos/01.avi
Avenue Dataset/testing_videos/01.avi
ground_truth_demo/testing_label_mask/1_label.mat"""
    official: Mapping[str, Mapping[str, int]] = {
        "all": {"train": 15328, "train_groups": 16, "test_groups": 21}
    }

    def __init__(self, root: Path | None = None, *, stride: int = 1) -> None:
        super().__init__(root, stride=stride)
        self._masks: dict[Path, list[PackedMask]] = {}

    def holds(self, folder: Path) -> list[str]:
        return ["all"] if _videos(folder, "training") or _videos(folder, "testing") else []

    def category(self, name: str) -> Category:
        """List all clips. Raises DataError for labels or frames that are missing."""
        category = self.listing(name)
        require_images(name, category, self.place(), self.place())
        return category

    def listing(self, name: str) -> Category:
        self.known(name)
        train = [
            s for clip in _videos(self.place(), "training") for s in self.training_frames(clip)
        ]
        test = [s for clip in _videos(self.place(), "testing") for s in self._test(clip)]
        return Category(name, train, test)

    def _test(self, clip: Path) -> list[Sample]:
        frames, masks = self.frames(clip), self._labels(clip)
        count = min(len(frames), len(masks))
        if len(frames) != len(masks):
            found = f"{clip}: {len(frames)} frames, and labels of {len(masks)}"
            if abs(len(frames) - len(masks)) > 1:
                raise DataError(f"{found}; get the video and its labels again")
            warnings.warn(f"{found}; the last one is left out", stacklevel=2)
        labels = [bool(mask.mask().any()) for mask in masks]
        return labelled(frames[:count], labels[:count], masks[:count], clip.stem)

    def _labels(self, clip: Path) -> list[PackedMask]:
        """Read the masks of a clip, one per frame. Raises DataError."""
        file = f"{int(clip.stem) if clip.stem.isdecimal() else clip.stem}_label.mat"
        below = Path("testing_label_mask") / file
        places = [self.place() / "ground_truth_demo" / below, self.place() / below]
        path = next((p for p in places if p.is_file()), None)
        if path is None:
            raise DataError(
                f"{clip}: its labels are missing, expected is {places[0]}; unpack "
                "ground_truth_demo.zip beside the videos"
            )
        if path not in self._masks:
            self._masks[path] = _read(path)
        return self._masks[path]


def _videos(root: Path, split: str) -> list[Path]:
    return clips(root / "Avenue Dataset" / f"{split}_videos", root / f"{split}_videos")


def _read(path: Path) -> list[PackedMask]:
    """Read the cells of ``volLabel``, uint8 (H, W) each. Raises DataError."""
    from scipy.io import loadmat

    try:
        cells = loadmat(path)["volLabel"].reshape(-1)
        masks = [np.asarray(cell) > 0 for cell in cells]
        if not masks or any(mask.ndim != 2 for mask in masks):
            raise ValueError("volLabel is not a row of masks")
    except Exception as error:  # scipy raises many kinds on damaged files
        raise DataError(
            f"{path}: not a file of labels ({type(error).__name__}: {error}); unpack it again"
        ) from error
    return [PackedMask.of(mask, f"{path}, frame {i}") for i, mask in enumerate(masks)]
