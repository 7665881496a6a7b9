"""UCSD Ped2: a walkway seen from one camera; cyclists, skaters and cars are anomalies.

Mahadevan, Li, Bhalodia, Vasconcelos: Anomaly detection in crowded scenes, CVPR 2010. Read as it is
unpacked, from the folder UCSDped2::

    <root>/Train/Train001/001.tif
    <root>/Test/Test001/001.tif
    <root>/Test/Test001_gt/001.bmp
    <root>/Test/UCSDped2.m             the abnormal frames of each clip, first and last included

By that file 1648 of the 2010 test frames are abnormal; the 1636 in many papers leave out one frame of
each clip.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from benchmark import Category, Sample
from benchmark.errors import DataError

from ._files import pictures, require_images, subfolders
from ._video import FrameMask, Video, labelled

LABELS = "UCSDped2.m"


class UcsdPed2(Video):
    """One category, ``all``."""

    title = "UCSD Ped2"
    licence = "not stated by its authors"
    citation = (
        "V. Mahadevan, W. Li, V. Bhalodia, N. Vasconcelos: Anomaly Detection in Crowded Scenes. "
        "CVPR 2010"
    )
    origin = (
        "download UCSD_Anomaly_Dataset.tar.gz (SHA-256 2329af326951f509…) from "
        "http://www.svcl.ucsd.edu/projects/anomaly/dataset.htm and unpack it; the folder is "
        "UCSD_Anomaly_Dataset.v1p2/UCSDped2"
    )
    archives = ("UCSD_Anomaly*",)
    expected = """\
Train/Train001/001.tif
Test/Test001/001.tif
Test/Test001_gt/001.bmp
Test/UCSDped2.m"""
    official: Mapping[str, Mapping[str, int]] = {
        "all": {
            "train": 2550,
            "good": 362,
            "defective": 1648,
            "train_groups": 16,
            "test_groups": 12,
        }
    }

    def holds(self, folder: Path) -> list[str]:
        clip = (folder / "Train" / "Train001").is_dir()
        return ["all"] if clip and not (folder / "Test" / "UCSDped1.m").is_file() else []

    def category(self, name: str) -> Category:
        """List all clips. Raises DataError for labels, masks or frames that are missing."""
        category = self.listing(name)
        root = self.place()
        require_images(name, category, root / "Train", root / "Test")
        return category

    def listing(self, name: str) -> Category:
        self.known(name)
        train = [s for clip in _clips(self.place(), "Train") for s in self.training_frames(clip)]
        tests = _clips(self.place(), "Test")
        spans = _abnormal(self.place() / "Test" / LABELS)
        if len(spans) != len(tests):
            raise DataError(
                f"{self.place() / 'Test' / LABELS}: labels of {len(spans)} clips, there are "
                f"{len(tests)}; unpack the archive again"
            )
        test = [s for clip, span in zip(tests, spans, strict=True) for s in self._test(clip, span)]
        return Category(name, train, test)

    def _test(self, clip: Path, span: set[int]) -> list[Sample]:
        frames = self.frames(clip)
        folder = clip.with_name(f"{clip.name}_gt")
        found = {path.stem: FrameMask(path) for path in pictures(folder)}
        masks = [found.get(Path(name).stem) for name, _ in frames]
        numbers = [int(Path(name).stem) for name, _ in frames]
        labels = [number in span for number in numbers]
        if outside := sorted(span - set(numbers)):
            raise DataError(
                f"{clip}: frames {numbers[0]} to {numbers[-1]}, and {LABELS} calls frame "
                f"{outside[0]} abnormal; unpack the archive again"
            )
        for (name, _), label, mask in zip(frames, labels, masks, strict=True):
            if label and mask is None:
                raise DataError(
                    f"{self.place() / name}: an abnormal frame without a mask, expected is "
                    f"{folder / Path(name).stem}.bmp; unpack the archive again"
                )
        return labelled(frames, labels, masks, clip.name)


def _clips(root: Path, split: str) -> list[Path]:
    """List the clips of a split; folders of masks (``Test001_gt``) are none."""
    pattern = re.compile(rf"{split}\d+")
    return [path for path in subfolders(root / split) if pattern.fullmatch(path.name)]


def _abnormal(path: Path) -> list[set[int]]:
    """Read the numbers of the abnormal frames of each clip, from 1. Raises DataError."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); it has the labels of the test frames. "
            "Unpack the archive again"
        ) from None
    lines = "\n".join(line.partition("%")[0] for line in text.splitlines())
    found = re.findall(r"gt_frame\s*=\s*\[([^\]]*)\]", lines)
    out = []
    for spans in found:
        pairs = re.findall(r"(\d+)\s*:\s*(\d+)", spans)
        out.append({i for first, last in pairs for i in range(int(first), int(last) + 1)})
    return out
