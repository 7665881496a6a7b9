"""MVTec AD 2: eight harder categories under several lightings; part of the test labels are private.

Heckler-Kram, Neudeck, Scheler, König, Steger: The MVTec AD 2 dataset, advanced scenarios for
unsupervised anomaly detection, 2025. Read as it is unpacked::

    <root>/<category>/{train,validation}/good/000_regular.png
    <root>/<category>/test_public/{good,bad}/000_<lighting>.png
    <root>/<category>/test_public/ground_truth/bad/000_<lighting>_mask.png
    <root>/<category>/{test_private,test_private_mixed}/000_{regular,mixed}.png

Metrics are those of the public test. The private images are scored and their maps kept, without
labels. Images of one number show one part under several lightings: they are a group. Many defects are
gone at 256 pixels: consider ``--image-size``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmark import Category, Sample
from benchmark.errors import DataError

from ._files import pictures, sample
from ._official import Tree

# images of each of the two private sets
PRIVATE = {
    "can": 321,
    "fabric": 314,
    "fruit_jelly": 255,
    "rice": 277,
    "sheet_metal": 142,
    "vial": 276,
    "wallplugs": 232,
    "walnuts": 228,
}
SECRET = ("test_private", "test_private_mixed")


class MvtecAD2(Tree):
    """The official folder tree."""

    title = "MVTec AD 2"
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "L. Heckler-Kram, J.-H. Neudeck, U. Scheler, R. König, C. Steger: The MVTec AD 2 Dataset: "
        "Advanced Scenarios for Unsupervised Anomaly Detection. arXiv 2503.21622, 2025"
    )
    origin = (
        "register and download it from https://www.mvtec.com/company/research/datasets/mvtec-ad-2 "
        "(about 30 GB) and unpack it"
    )
    archives = ("mvtec_ad_2*",)
    expected = """\
vial/train/good/000_regular.png
vial/validation/good/000_regular.png
vial/test_public/good/000_regular.png
vial/test_public/bad/000_regular.png
vial/test_public/ground_truth/bad/000_regular_mask.png
vial/test_private/000_regular.png
vial/test_private_mixed/000_mixed.png"""
    testing = "test_public"
    truth = "test_public/ground_truth"
    ending = "_mask"
    holds_out = False
    official: Mapping[str, Mapping[str, int]] = {
        name: {"unlabelled": 2 * count} for name, count in PRIVATE.items()
    }

    def folder(self, name: str) -> Path:
        folder = super().folder(name)
        twice = folder / name
        if (twice / "train").is_dir() and not (folder / "train").is_dir():
            raise DataError(
                f"{twice}: unpacked one level too deep; move it up:\n"
                f"  mv '{twice}'/* '{folder}'/ && rmdir '{twice}'"
            )
        return folder

    def holds(self, folder: Path) -> list[str]:
        nested = [name for name in self.official if (folder / name / name / "train").is_dir()]
        here = super().holds(folder)
        return [name for name in self.official if name in here or name in nested]

    def listing(self, name: str) -> Category:
        folder = self.folder(name)
        train = [sample(folder, path) for path in pictures(folder / self.training)]
        held = [sample(folder, path) for path in pictures(folder / "validation" / "good")]
        test = [replace(s, group=_part(s)) for s in self.tests(folder)]
        paths = [path for part in SECRET for path in pictures(folder / part)]
        secret = [replace(sample(folder, path), defect="unknown") for path in paths]
        return Category(name, train, test, held, secret)


def _part(s: Sample) -> str:
    """Return ``bad/007`` of ``test_public/bad/007_overexposed.png``."""
    path = Path(s.id)
    return f"{path.parent.name}/{path.stem.split('_')[0]}"
