"""KolektorSDD2: surfaces of one product with defects from scratches to spots, with masks.

Božič, Tabernik, Skočaj: Mixed supervision for surface-defect detection, from weakly to fully
supervised learning, Computers in Industry 2021. Every image has a mask; a surface is defective where
it marks anything::

    <root>/train/10000.png     <root>/train/10000_GT.png
    <root>/test/20000.png      <root>/test/20000_GT.png

The official training set holds 246 defective surfaces; they are left out, since a detector is trained
on normal images alone. So are the copies ``10301 (copy).png`` and ``10301_GT (copy).png`` that the
archive contains.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmark import Category, Sample
from benchmark.data.images import FileSource, in_parallel
from benchmark.data.masks import PositiveMask
from benchmark.errors import DataError

from ._files import lacking, pictures, require_images
from ._official import Official, defective

ENDING = "_GT"


class KolektorSdd2(Official):
    """One category, ``all``."""

    title = "KolektorSDD2"
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "J. Božič, D. Tabernik, D. Skočaj: Mixed supervision for surface-defect detection: from "
        "weakly to fully supervised learning. Computers in Industry 2021"
    )
    origin = "get it from https://www.vicos.si/resources/kolektorsdd2/ and unpack KolektorSDD2.zip"
    archives = ("KolektorSDD2*",)
    expected = """\
train/10000.png
train/10000_GT.png
test/20000.png
test/20000_GT.png"""
    official: Mapping[str, Mapping[str, int]] = {
        "all": {"train": 2331 - 246, "good": 1004 - 110, "defective": 110}
    }

    def holds(self, folder: Path) -> list[str]:
        masks = (path for path in pictures(folder / "test") if path.stem.endswith(ENDING))
        return ["all"] if any(masks) and (folder / "train").is_dir() else []

    def category(self, name: str) -> Category:
        """List the only category. Raises DataError for an image without its mask."""
        category = self.listing(name)
        root = self.place()
        require_images(name, category, root / "train", root / "test")
        alone = [
            path for split in ("train", "test") for path, mask in self._files(split) if mask is None
        ]
        if alone:
            raise DataError(
                f"{self.title}: {len(alone)} images have no mask:"
                f"{lacking(f'{p}: expected {p.stem}{ENDING}.png' for p in alone)}"
                "\nUnpack the archive again."
            )
        return category

    def listing(self, name: str) -> Category:
        self.known(name)
        train = list(in_parallel(self._sample, self._files("train")))
        test = list(in_parallel(self._sample, self._files("test")))
        return Category(name, [s for s in train if not s.label], test)

    def _files(self, split: str) -> list[tuple[Path, PositiveMask | None]]:
        """List the images of a split with their masks."""
        files = [p for p in pictures(self.place() / split) if "(copy)" not in p.stem]
        masks = {p.stem: PositiveMask(p) for p in files if p.stem.endswith(ENDING)}
        images = [path for path in files if not path.stem.endswith(ENDING)]
        return [(path, masks.get(path.stem + ENDING)) for path in images]

    def _sample(self, pair: tuple[Path, PositiveMask | None]) -> Sample:
        """Make a sample, good where its mask marks nothing; an image without a mask counts as
        defective."""
        path, mask = pair
        if mask is not None and not mask.mask().any():
            return Sample(path.relative_to(self.place()).as_posix(), FileSource(path))
        return defective(self.place(), path, "defect", mask)
