"""MVTec AD: 15 categories of industrial surfaces and objects, with defect types and masks.

Bergmann, Fauser, Sattlegger, Steger: MVTec AD, a comprehensive real-world dataset for unsupervised
anomaly detection, CVPR 2019. Read as it is unpacked, at any resolution, grey or RGB::

    <root>/<category>/train/good/000.png
    <root>/<category>/test/good/000.png
    <root>/<category>/test/<defect>/000.png
    <root>/<category>/ground_truth/<defect>/000_mask.png
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from benchmark import Category, Dataset, Sample
from benchmark.errors import DataError, unknown

from ._files import lacking, pictures, require_images, sample, subfolders, usable_name

# train, good test images, defective test images; in the row order of the RD4AD paper's tables
TEXTURES = {
    "carpet": (280, 28, 89),
    "grid": (264, 21, 57),
    "leather": (245, 32, 92),
    "tile": (230, 33, 84),
    "wood": (247, 19, 60),
}
OBJECTS = {
    "bottle": (209, 20, 63),
    "cable": (224, 58, 92),
    "capsule": (219, 23, 109),
    "hazelnut": (391, 40, 70),
    "metal_nut": (220, 22, 93),
    "pill": (267, 26, 141),
    "screw": (320, 41, 119),
    "toothbrush": (60, 12, 30),
    "transistor": (213, 60, 40),
    "zipper": (240, 32, 119),
}


class MvtecAD(Dataset):
    """MVTec AD: the official folder tree; the categories that are there are the ones that can be run."""

    title = "MVTec AD"
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "P. Bergmann, M. Fauser, D. Sattlegger, C. Steger: MVTec AD — A Comprehensive Real-World "
        "Dataset for Unsupervised Anomaly Detection. CVPR 2019"
    )
    origin = (
        "download it from https://www.mvtec.com/company/research/datasets/mvtec-ad (free for "
        "research) and unpack it"
    )
    size = 256
    groups: ClassVar[Mapping[str, Sequence[str]]] = {
        "Textures": tuple(TEXTURES),
        "Objects": tuple(OBJECTS),
    }
    official: ClassVar[Mapping[str, Mapping[str, int]]] = {
        name: {"train": train, "good": good, "defective": defective}
        for name, (train, good, defective) in {**TEXTURES, **OBJECTS}.items()
    }

    def categories(self) -> list[str]:
        """The official categories found on disk, textures first.

        Raises:
            DataError: no folder, or none of the categories in it.
        """
        root = self._root()
        present = [name for name in self.official if (root / name).is_dir()]
        if not present:
            found = ", ".join(path.name for path in subfolders(root)[:8]) or "no folders"
            hint = ""
            if (root / "train").is_dir() and root.resolve().name in self.official:
                hint = f"\nThis is one category: name the folder above it, {root.resolve().parent}."
            raise DataError(
                f"{root}: none of the 15 categories of MVTec AD is here (found: {found}).{hint}\n"
                f"{_EXPECTED}\nTo get it, {self.origin}; then pass its folder as --data-root. A "
                "data set of your own runs as 'folder'."
            )
        return present

    def category(self, name: str) -> Category:
        """The samples of one category.

        Raises:
            DataError: unknown or empty category; a defective image without its mask.
        """
        category = self.listing(name)
        folder = self._root() / name
        require_images(name, category, folder / "train" / "good", folder / "test")
        missing = [s for s in category.test if s.label and s.mask is None]
        if missing:
            images = [folder / s.id for s in missing]
            pairs = (f"{path}\n    expected mask: {_mask_path(folder, path)}" for path in images)
            raise DataError(
                f"category {name!r}: {len(missing)} defective images have no mask:{lacking(pairs)}"
                "\nUnpack the archive again; without masks the images run as data set 'folder'."
            )
        return category

    def listing(self, name: str) -> Category:
        if usable_name(name) not in self.official:
            raise DataError(unknown("category", name, self.official))
        folder = self._root() / name
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; {self.origin}")
        train = [sample(folder, path) for path in pictures(folder / "train" / "good")]
        test: list[Sample] = []
        for kind in subfolders(folder / "test"):
            if kind.name == "good":
                test += [sample(folder, path) for path in pictures(kind)]
                continue
            masks = {path.stem: path for path in pictures(folder / "ground_truth" / kind.name)}
            for path in pictures(kind):
                test.append(sample(folder, path, kind.name, masks.get(f"{path.stem}_mask")))
        return Category(name, train, test)

    def _root(self) -> Path:
        if self.root is None or not self.root.is_dir():
            where = (
                "no data root was given" if self.root is None else f"{self.root}: no such folder"
            )
            raise DataError(
                f"MVTec AD: {where}.\nTo get it, {self.origin}; then pass its folder as "
                f"--data-root, or set BENCH_DATA.\n{_EXPECTED}"
            )
        return self.root


_EXPECTED = """\
Expected are folders of this form (png, jpg, bmp or tif, any resolution):
  bottle/train/good/000.png
  bottle/test/good/000.png
  bottle/test/broken_large/000.png
  bottle/ground_truth/broken_large/000_mask.png"""


def _mask_path(folder: Path, image: Path) -> Path:
    return folder / "ground_truth" / image.parent.name / f"{image.stem}_mask.png"
