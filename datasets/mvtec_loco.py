"""MVTec LOCO AD: five categories with structural and logical anomalies, and several masks per image.

Bergmann, Batzner, Fauser, Sattlegger, Steger: Beyond dents and scratches, logical constraints in
unsupervised anomaly detection and localization, IJCV 2022. Read as it is unpacked::

    <root>/<category>/train/good/000.png
    <root>/<category>/validation/good/000.png
    <root>/<category>/test/{good,logical_anomalies,structural_anomalies}/000.png
    <root>/<category>/ground_truth/<kind>/000/{000.png,001.png,…}     one file per defect
    <root>/<category>/defects_config.json

The validation images are the official held-out normals. A mask is the union of an image's files; each
file holds one positive value, whose entry in ``defects_config.json`` says how much of such a defect
must be found (``regions()`` of the mask). A missing part has a mask where it could be, so that a pixel
AUROC says little about logical anomalies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmark import Category
from benchmark.data.dataset import ImageSource
from benchmark.data.masks import RegionMasks, Saturation
from benchmark.errors import DataError

from ._files import pictures, sample, subfolders
from ._official import Tree

CONFIG = "defects_config.json"

# train, validation, good, structural, logical
COUNTS = {
    "breakfast_box": (351, 62, 102, 90, 83),
    "juice_bottle": (335, 54, 94, 94, 142),
    "pushpins": (372, 69, 138, 81, 91),
    "screw_bag": (360, 60, 122, 82, 137),
    "splicing_connectors": (354, 59, 119, 85, 108),
}


class MvtecLoco(Tree):
    """The official folder tree."""

    title = "MVTec LOCO AD"
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "P. Bergmann, K. Batzner, M. Fauser, D. Sattlegger, C. Steger: Beyond Dents and Scratches: "
        "Logical Constraints in Unsupervised Anomaly Detection and Localization. IJCV 2022"
    )
    origin = (
        "download it from https://www.mvtec.com/company/research/datasets/mvtec-loco (free for "
        "research) and unpack it"
    )
    archives = ("mvtec_loco*",)
    expected = """\
pushpins/train/good/000.png
pushpins/validation/good/000.png
pushpins/test/{good,logical_anomalies,structural_anomalies}/000.png
pushpins/ground_truth/logical_anomalies/000/000.png
pushpins/defects_config.json"""
    holds_out = False
    official: Mapping[str, Mapping[str, int]] = {
        name: {"train": t, "good": g, "defective": s + l, "validation": v}
        for name, (t, v, g, s, l) in COUNTS.items()
    }

    def listing(self, name: str) -> Category:
        folder = self.folder(name)
        train = [sample(folder, path) for path in pictures(folder / self.training)]
        held = [sample(folder, path) for path in pictures(folder / "validation" / "good")]
        return Category(name, train, self.tests(folder), held)

    def masks(self, folder: Path, kind: Path) -> dict[str, ImageSource]:
        kinds = _kinds(folder / CONFIG)
        found = {part: pictures(part) for part in subfolders(folder / self.truth / kind.name)}
        return {part.name: RegionMasks(files, kinds) for part, files in found.items() if files}

    def mask_path(self, folder: Path, image: Path) -> Path:
        return folder / self.truth / image.parent.name / image.stem / "000.png"


def _kinds(path: Path) -> dict[int, Saturation]:
    """Read, per value in a mask, the kind of defect. Raises DataError for a file of another
    form."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {
            int(entry["pixel_value"]): Saturation(
                str(entry["defect_name"]),
                float(entry["saturation_threshold"]),
                bool(entry["relative_saturation"]),
            )
            for entry in entries
        }
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; it says what the values in the masks mean. Unpack the archive "
            "again"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not the list of defects that the archive has ({type(error).__name__}: "
            f"{error}); unpack it again"
        ) from None
