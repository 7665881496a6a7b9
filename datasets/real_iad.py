"""Real-IAD: 30 industrial products, every part seen from five views, 151,050 images.

Wang, Zhu, Gao, Gan, Zhang, Gu, Qian, Chen, Ma: Real-IAD, a real-world multi-view dataset for
benchmarking versatile industrial anomaly detection, CVPR 2024. The images of one size and the splits::

    <root>/realiad_1024/<category>/OK/S0001/<category>_0001_OK_C1_<time>.jpg
    <root>/realiad_1024/<category>/NG/<kind>/S0001/<category>_0001_NG_<kind>_C1_<time>.jpg
    <root>/realiad_1024/<category>/NG/<kind>/S0001/…_mask.png
    <root>/realiad_jsons/realiad_jsons/<category>.json         all views
    <root>/realiad_jsons/realiad_jsons_sv/<category>.json      one view

A view of a defective part on which nothing is visible has no mask and counts as good. The views of a
part are a group: ``group_auroc`` is the official score per part (the highest of its views). The splits
with contaminated training sets (fuiad) are not read, since a detector is trained on normal images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from benchmark import Category, Sample
from benchmark.data.images import FileSource
from benchmark.data.masks import DefectMask
from benchmark.errors import DataError, unknown

from ._files import lacking, require_images, usable_name
from ._official import Official

CATEGORIES = [
    "audiojack",
    "bottle_cap",
    "button_battery",
    "end_cap",
    "eraser",
    "fire_hood",
    "mint",
    "mounts",
    "pcb",
    "phone_battery",
    "plastic_nut",
    "plastic_plug",
    "porcelain_doll",
    "regulator",
    "rolled_strip_base",
    "sim_card_set",
    "switch",
    "tape",
    "terminalblock",
    "toothbrush",
    "toy",
    "toy_brick",
    "transistor1",
    "u_block",
    "usb",
    "usb_adaptor",
    "vcpill",
    "wooden_beads",
    "woodstick",
    "zipper",
]
Resolution = Literal[256, 512, 1024, "raw"]
RESOLUTIONS: tuple[Resolution, ...] = (256, 512, 1024, "raw")
SPLITS = {"all": "realiad_jsons", "one": "realiad_jsons_sv"}


class RealIad(Official):
    """One folder of images and the split files.

    Args:
        root: the folder that holds both.
        views: ``all`` for the multi-view split, ``one`` for the single-view split.
        resolution: which images, when there are several sizes.
    """

    title = "Real-IAD"
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "C. Wang, W. Zhu, B.-B. Gao, Z. Gan, J. Zhang, Z. Gu, S. Qian, M. Chen, L. Ma: Real-IAD: A "
        "Real-World Multi-View Dataset for Benchmarking Versatile Industrial Anomaly Detection. "
        "CVPR 2024"
    )
    origin = (
        "ask for access at https://realiad4ad.github.io/Real-IAD/ and unpack one size of the images "
        "and realiad_jsons"
    )
    archives = ("realiad*", "real-iad*", "real_iad*")
    expected = """\
realiad_1024/usb/OK/S0001/usb_0001_OK_C1_….jpg
realiad_1024/usb/NG/AK/S0001/usb_0001_NG_AK_C1_….jpg
realiad_1024/usb/NG/AK/S0001/usb_0001_NG_AK_C1_…_mask.png
realiad_jsons/realiad_jsons/usb.json"""
    official: Mapping[str, Mapping[str, int]] = {name: {} for name in CATEGORIES}

    def __init__(
        self,
        root: Path | None = None,
        *,
        views: Literal["all", "one"] = "all",
        resolution: Resolution | None = None,
    ) -> None:
        super().__init__(root)
        self.views = views
        self.resolution = resolution

    def holds(self, folder: Path) -> list[str]:
        images = [folder / f"realiad_{size}" for size in RESOLUTIONS]
        return [
            name
            for name in CATEGORIES
            if any((place / name).is_dir() for place in images)
            and any(path.is_file() for path in self._splits(folder, name))
        ]

    def category(self, name: str) -> Category:
        """List the samples of one category.

        Raises:
            DataError: unknown or absent category, a split file of another form, or files that it
                names and that are missing.
        """
        category = self.listing(name)
        folder = self._images(name)
        require_images(name, category, folder, folder)
        sources = [s.image for s in (*category.train, *category.test)]
        sources += [s.mask for s in category.test if s.mask]
        paths = [source.path for source in sources if isinstance(source, FileSource)]
        gone = [path for path in paths if not path.is_file()]
        if gone:
            raise DataError(
                f"category {name!r}: {len(gone)} files that the split names are missing:"
                f"{lacking(map(str, gone))}\nUnpack the archive of this category again."
            )
        return category

    def listing(self, name: str) -> Category:
        if usable_name(name) not in CATEGORIES:
            raise DataError(unknown("category", name, CATEGORIES))
        folder = self._images(name)
        candidates = self._splits(self.place(), name)
        path = next((p for p in candidates if p.is_file()), candidates[0])
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            train, test = ([_sample(folder, row) for row in rows[part]] for part in _PARTS)
        except FileNotFoundError:
            raise DataError(f"{path}: no such file; {self.origin}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: not a split file of this data set ({type(error).__name__}: {error}); get "
                "it again"
            ) from None
        if odd := [s.id for s in train if s.label]:
            raise DataError(
                f"{path}: {len(odd)} of its training images are defective:{lacking(odd)}\nA "
                "detector is trained on normal images; use the official splits without "
                "contamination"
            )
        return Category(name, train, test)

    def _splits(self, root: Path, name: str) -> list[Path]:
        folder = SPLITS[self.views]
        return [root / "realiad_jsons" / folder / f"{name}.json", root / folder / f"{name}.json"]

    def _images(self, name: str) -> Path:
        """Find the folder of a category's images. Raises DataError for none, or several sizes."""
        sizes = [self.resolution] if self.resolution else RESOLUTIONS
        folders = [self.place() / f"realiad_{size}" / name for size in sizes]
        found = [folder for folder in folders if folder.is_dir()]
        if not found:
            raise DataError(f"{folders[0]}: no such folder; {self.origin}")
        if len(found) > 1:
            names = ", ".join(folder.parent.name for folder in found)
            size = found[0].parent.name.removeprefix("realiad_")
            raise DataError(
                f"{self.place()}: {name} is there in several sizes ({names}); choose one: "
                f"--set {self.name}.resolution={size}"
            )
        return found[0]


_PARTS = ("train", "test")


def _sample(folder: Path, row: Mapping[str, Any]) -> Sample:
    """Make a sample of one row: ``anomaly_class``, ``image_path`` and ``mask_path``, below the
    category's folder."""
    image, mask, kind = str(row["image_path"]), row["mask_path"], str(row["anomaly_class"])
    group = image.rpartition("/")[0]
    if kind == "OK" or not mask:
        return Sample(image, FileSource(folder / image), group=group)
    return Sample(image, FileSource(folder / image), 1, kind, DefectMask(folder / mask), group)
