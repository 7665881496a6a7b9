"""VisA: 12 objects, from printed circuit boards to macaroni, with masks.

Zou, Jeong, Pemula, Zhang, Dabeer: SPot-the-difference self-supervised pre-training for anomaly
detection and segmentation, ECCV 2022. Both trees in use are read, with the one-class split of the
paper: the original one, whose split is kept with this file, ::

    <root>/<object>/Data/Images/{Normal,Anomaly}/0836.JPG
    <root>/<object>/Data/Masks/Anomaly/000.png              class ids 1, 2, …

and the one that the authors' script prepares, with or without ``1cls`` above the objects::

    <root>/1cls/<object>/{train/good,test/good,test/bad}/0836.JPG
    <root>/1cls/<object>/ground_truth/bad/000.png           0 and 255
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from benchmark import Category, Sample
from benchmark.data.masks import DefectMask

from .._download import Archive
from .._files import pictures, sample
from .._official import Tree, by_stem, defective
from .split import TEST_NORMAL

# train, good test images; 100 defective ones each
COUNTS = {
    "pcb1": (904, 100),
    "pcb2": (901, 100),
    "pcb3": (905, 101),
    "pcb4": (904, 101),
    "candle": (900, 100),
    "capsules": (542, 60),
    "macaroni1": (900, 100),
    "macaroni2": (900, 100),
    "cashew": (450, 50),
    "chewinggum": (453, 50),
    "fryum": (450, 50),
    "pipe_fryum": (450, 50),
}


class Visa(Tree):
    """The original tree or the prepared one; where an object is in both, the original."""

    title = "VisA"
    licence = "CC BY 4.0"
    citation = (
        "Y. Zou, J. Jeong, L. Pemula, D. Zhang, O. Dabeer: SPot-the-Difference Self-Supervised "
        "Pre-training for Anomaly Detection and Segmentation. ECCV 2022"
    )
    origin = (
        "run bench data visa --download --data-root DIR, or follow "
        "https://github.com/amazon-science/spot-diff and unpack VisA_20220922.tar"
    )
    archives = ("VisA*.tar*", "VisA*.zip")
    archive = Archive(
        "https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",
        "VisA_20220922.tar",
        "2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
    )
    expected = """\
candle/Data/Images/Normal/0000.JPG
candle/Data/Images/Anomaly/000.JPG
candle/Data/Masks/Anomaly/000.png
or 1cls/candle/{train/good,test/good,test/bad,ground_truth/bad}/…"""
    groups: ClassVar[Mapping[str, Sequence[str]]] = {
        "Complex structure": ("pcb1", "pcb2", "pcb3", "pcb4"),
        "Several instances": ("candle", "capsules", "macaroni1", "macaroni2"),
        "One instance": ("cashew", "chewinggum", "fryum", "pipe_fryum"),
    }
    official: Mapping[str, Mapping[str, int]] = {
        name: {"train": train, "good": good, "defective": 100}
        for name, (train, good) in COUNTS.items()
    }

    def holds(self, folder: Path) -> list[str]:
        return [name for name in self.official if any(True for _ in _trees(folder, name))]

    def folder(self, name: str) -> Path:
        found = next(_trees(self.place(), name), None)
        return found if found and name in self.official else super().folder(name)

    def listing(self, name: str) -> Category:
        folder = self.folder(name)
        if not _is_original(folder):
            return super().listing(name)
        images = folder / "Data" / "Images"
        normal = by_stem(images / "Normal")
        chosen = TEST_NORMAL[name].split()
        # one that is missing is listed, so that it is named instead of passed over
        tested = [normal.pop(stem, images / "Normal" / f"{stem}.JPG") for stem in chosen]
        train = [sample(folder, path) for path in normal.values()]
        test: list[Sample] = [sample(folder, path) for path in tested]
        masks = by_stem(folder / "Data" / "Masks" / "Anomaly")
        for path in pictures(images / "Anomaly"):
            mask = masks.get(path.stem)
            test.append(defective(folder, path, "bad", DefectMask(mask) if mask else None))
        return Category(name, train, test)

    def mask_path(self, folder: Path, image: Path) -> Path:
        if _is_original(folder):
            return folder / "Data" / "Masks" / "Anomaly" / f"{image.stem}.png"
        return super().mask_path(folder, image)


def _is_original(folder: Path) -> bool:
    return (folder / "Data" / "Images").is_dir()


def _trees(root: Path, name: str) -> Iterator[Path]:
    """Yield the folders of an object in the layouts, the original first."""
    if _is_original(root / name):
        yield root / name
    for folder in (root / name, root / "1cls" / name):
        if (folder / "train" / "good").is_dir():
            yield folder
