"""KolektorSDD: surfaces of electrical commutators, with masks.

Tabernik, Šela, Skvarč, Skočaj: Segmentation-based deep-learning approach for surface-defect
detection, Journal of Intelligent Manufacturing 2020. Fifty items of eight surfaces; a surface is
defective where its label marks anything::

    <root>/kos01/Part0.jpg
    <root>/kos01/Part0_label.bmp

There is no official split for training on good images alone. Here every fifth item (kos05, kos10, …)
is tested with all its surfaces, and so is every defective surface of the others; their good surfaces
are trained on. Surfaces of one item are a group. Numbers compare only with the same split.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmark import Category, Sample
from benchmark.data.dataset import ImageSource
from benchmark.data.images import FileSource, in_parallel
from benchmark.data.masks import PositiveMask
from benchmark.errors import DataError

from ._download import Archive
from ._files import lacking, pictures, require_images, subfolders
from ._official import Official

EVERY = 5


class KolektorSdd(Official):
    """One category, ``all``."""

    title = "KolektorSDD"
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "D. Tabernik, S. Šela, J. Skvarč, D. Skočaj: Segmentation-based deep-learning approach for "
        "surface-defect detection. Journal of Intelligent Manufacturing 2020"
    )
    origin = (
        "run bench data kolektor_sdd --download --data-root DIR, or get it from "
        "https://www.vicos.si/resources/kolektorsdd/ and unpack it"
    )
    archives = ("KolektorSDD.*", "kolektorsdd.*")
    archive = Archive(
        "https://go.vicos.si/kolektorsdd",
        "KolektorSDD.zip",
        "65dc621693418585de9c4467d1340ea7958a6181816f0dc2883a1e8b61f9d4dc",
    )
    expected = """\
kos01/Part0.jpg
kos01/Part0_label.bmp"""
    official: Mapping[str, Mapping[str, int]] = {"all": {"defective": 52}}

    def holds(self, folder: Path) -> list[str]:
        return ["all"] if any(_number(path) for path in subfolders(folder)) else []

    def category(self, name: str) -> Category:
        """List the only category. Raises DataError for an image without its label file."""
        category = self.listing(name)
        root = self.place()
        require_images(name, category, root, root)
        alone = [s for s in category.test if s.defect == "unlabelled"]
        if alone:
            raise DataError(
                f"{self.title}: {len(alone)} images have no label file:"
                f"{lacking(f'{root / s.id}: expected {Path(s.id).stem}_label.bmp' for s in alone)}"
                "\nUnpack the archive again."
            )
        return category

    def listing(self, name: str) -> Category:
        self.known(name)
        root = self.place()
        images: list[tuple[Path, Path | None]] = []
        for folder in (path for path in subfolders(root) if _number(path)):
            found = pictures(folder)
            labels = {p.stem.removesuffix("_label"): p for p in found if p.stem.endswith("_label")}
            images += [(p, labels.get(p.stem)) for p in found if not p.stem.endswith("_label")]
        train: list[Sample] = []
        test: list[Sample] = []
        for (path, _), mask in zip(images, in_parallel(_marked, images), strict=True):
            item = path.parent.name
            id_ = path.relative_to(root).as_posix()
            if isinstance(mask, str):
                test.append(Sample(id_, FileSource(path), 1, mask, None, item))
            elif mask is not None:
                test.append(Sample(id_, FileSource(path), 1, "defect", mask, item))
            else:
                side = train if _number(path.parent) % EVERY else test
                side.append(Sample(id_, FileSource(path), group=item))
        return Category(name, train, test)


def _marked(pair: tuple[Path, Path | None]) -> ImageSource | str | None:
    """Return the mask of an image when it marks anything; ``unlabelled`` without a label file."""
    if pair[1] is None:
        return "unlabelled"
    mask = PositiveMask(pair[1])
    try:
        return mask if mask.mask().any() else None
    except DataError:  # damaged: kept as a mask, so that whoever reads it says so
        return mask


def _number(folder: Path) -> int:
    """Read the number of an item's folder, ``kos07``; 0 for other folders."""
    digits = folder.name.removeprefix("kos")
    return int(digits) if folder.name.startswith("kos") and digits.isdecimal() else 0
