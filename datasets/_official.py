"""Base of the published data sets: finds the official tree, and says where it is when it is not
where it should be (a level deeper, under its archive's name, still packed)."""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import ClassVar

from benchmark import Category, Dataset, Sample
from benchmark.data.dataset import ImageSource
from benchmark.data.images import FileSource
from benchmark.data.masks import DefectMask
from benchmark.errors import DataError, unknown

from ._download import Archive, fetch, unpack
from ._files import lacking, pictures, require_images, sample, subfolders, usable_name


class Official(Dataset):
    """A data set with an official layout on disk."""

    size = 256
    expected: ClassVar[str]
    """The layout, one path a line, for messages."""
    archives: ClassVar[Sequence[str]] = ()
    """Patterns of the names of its archives."""
    archive: ClassVar[Archive | None] = None
    """What ``bench data NAME --download`` fetches; None where terms or addresses forbid that."""

    @abstractmethod
    def holds(self, folder: Path) -> list[str]:
        """List the categories that a folder holds in the official layout, in table order."""

    @property
    def name(self) -> str:
        """Return its name on the command line, which is that of its file."""
        return type(self).__module__.rpartition(".")[2]

    def categories(self) -> list[str]:
        """List the official categories found on disk, in table order.

        Raises:
            DataError: no folder, or none of the categories in it; says where they seem to be.
        """
        root = self.place()
        if present := self.holds(root):
            return present
        found = ", ".join(path.name for path in subfolders(root)[:8]) or "no folders"
        what = f"{self.title} is not here"
        if len(self.official) > 1:
            what = f"none of the {len(self.official)} categories of {self.title} is here"
        raise DataError(
            f"{root}: {what} (found: {found}).{self._elsewhere(root)}\n{self.layout}\n"
            f"To get it, {self.origin}; then pass its folder as --data-root. A data set of your "
            "own runs as 'folder'."
        )

    @property
    def layout(self) -> str:
        """The expected layout, for messages."""
        lines = "\n".join(f"  {line}" for line in self.expected.strip().splitlines())
        return f"Expected are folders of this form:\n{lines}"

    def known(self, name: str) -> str:
        """Return the name of a category that is here. Raises DataError."""
        if usable_name(name) not in self.categories():
            if name in self.official:
                raise DataError(f"{self.place() / name}: no such folder; {self.origin}")
            raise DataError(unknown("category", name, self.official))
        return name

    def download(self) -> None:
        """Fetch and unpack it into ``<root>/<name>``; where that is not allowed, say how to get it.

        Raises:
            DataError: not allowed, no connection, or other bytes than the published ones.
        """
        if self.archive is not None:
            if self.root is None:
                raise DataError(f"{self.title}: name the folder to download to: --data-root DIR")
            target = self.root / self.name
            if target.exists():
                raise DataError(
                    f"{target}: already there; bench data {self.name} without --download says what "
                    "is wrong with it, and once it is removed it can be fetched again"
                )
            path = fetch(self.archive, self.root)
            unpack(path, target)
            path.unlink()
            return
        raise DataError(
            f"{self.title} cannot be fetched by this program (its terms or a changing address); "
            f"{self.origin}.\n{self.layout}"
        )

    def _elsewhere(self, root: Path) -> str:
        """Say what the folder seems to be instead, with the command to go on."""
        above = root.resolve().parent
        if root.resolve().name in self.holds(above):
            return f"\nThis is one category: name the folder above it, {above}."
        for below in subfolders(root):
            for folder in (below, *subfolders(below)):
                if self.holds(folder):
                    place = shlex.quote(str(folder))
                    return (
                        f"\nIt lies deeper, in {folder}; name that folder:\n"
                        f"  bench data {self.name} --data-root {place}"
                    )
        for path in sorted(p for p in root.iterdir() if p.is_file()):
            if any(fnmatch(path.name.lower(), pattern.lower()) for pattern in self.archives):
                return f"\n{path.name} is still packed; unpack it:\n  {unpack_command(path)}"
        return ""


class Tree(Official):
    """A data set laid out as MVTec AD: per category good images to train on, test images by kind,
    masks in folders of the same names.

    Subclasses name the folders; masks are found by the image's stem, with any ending.
    """

    training: ClassVar[str] = "train/good"
    testing: ClassVar[str] = "test"
    truth: ClassVar[str] = "ground_truth"
    good: ClassVar[str] = "good"
    """Name of the folder of good test images."""
    ending: ClassVar[str] = ""
    """What a mask's name has after the image's stem."""
    mask_source: ClassVar[type[FileSource]] = DefectMask

    def holds(self, folder: Path) -> list[str]:
        parts = (self.training.split("/")[0], self.testing)
        return [name for name in self.official if any((folder / name / p).is_dir() for p in parts)]

    def category(self, name: str) -> Category:
        """List the samples of one category.

        Raises:
            DataError: unknown or empty category; a defective image without its mask.
        """
        category = self.listing(name)
        folder = self.folder(name)
        require_images(name, category, folder / self.training, folder / self.testing)
        require_masks(category, folder, lambda image: self.mask_path(folder, image))
        return category

    def listing(self, name: str) -> Category:
        folder = self.folder(name)
        train = [sample(folder, path) for path in pictures(folder / self.training)]
        return Category(name, train, self.tests(folder))

    def tests(self, folder: Path) -> list[Sample]:
        """List the labelled test images of a category's folder, by kind."""
        out: list[Sample] = []
        for kind in subfolders(folder / self.testing):
            if kind == folder / self.truth:
                continue
            if kind.name == self.good:
                out += [sample(folder, path) for path in pictures(kind)]
                continue
            masks = self.masks(folder, kind)
            for stem, path in by_stem(kind).items():
                out.append(defective(folder, path, kind.name, masks.get(stem)))
        return out

    def folder(self, name: str) -> Path:
        """Return the folder of a category. Raises DataError for an unknown or absent one."""
        if usable_name(name) not in self.official:
            raise DataError(unknown("category", name, self.official))
        folder = self.place() / name
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; {self.origin}")
        return folder

    def masks(self, folder: Path, kind: Path) -> dict[str, ImageSource]:
        """Find the masks of a folder of defective images, by the image's stem."""
        found = by_stem(folder / self.truth / kind.name)
        return {
            stem.removesuffix(self.ending): self.mask_source(path)
            for stem, path in found.items()
            if stem.endswith(self.ending)
        }

    def mask_path(self, folder: Path, image: Path) -> Path:
        """Return the path at which an image's mask is expected."""
        return folder / self.truth / image.parent.name / f"{image.stem}{self.ending}.png"


def defective(root: Path, path: Path, defect: str, mask: ImageSource | None) -> Sample:
    """Make a sample of a defective image: its id is the path below ``root``, with forward
    slashes."""
    return Sample(path.relative_to(root).as_posix(), FileSource(path), 1, defect, mask)


def by_stem(folder: Path) -> dict[str, Path]:
    """Map the images in a folder by their names without ending. Raises DataError when two share
    one."""
    out: dict[str, Path] = {}
    for path in pictures(folder):
        other = out.setdefault(path.stem, path)
        if other is not path:
            raise DataError(
                f"{other} and {path.name}: two files of one name, and masks belong to images by "
                "their names; remove the one that does not belong there"
            )
    return out


def require_masks(category: Category, folder: Path, expected: Callable[[Path], Path]) -> None:
    """Raises DataError, with paths, when a defective test image has no mask."""
    missing = [s for s in category.test if s.label and s.mask is None]
    if missing:
        images = [folder / s.id for s in missing]
        pairs = (f"{path}\n    expected mask: {expected(path)}" for path in images)
        raise DataError(
            f"category {category.name!r}: {len(missing)} defective images have no mask:"
            f"{lacking(pairs)}\nUnpack the archive again; without masks the images run as data set "
            "'folder'."
        )


def unpack_command(path: Path) -> str:
    """Write the command that unpacks an archive where it lies.

    >>> unpack_command(Path("/data/a b.zip"))
    "python -m zipfile -e '/data/a b.zip' /data"
    """
    file, folder = shlex.quote(str(path)), shlex.quote(str(path.parent))
    if path.suffix.lower() == ".zip":
        return f"python -m zipfile -e {file} {folder}"
    return f"tar -xf {file} -C {folder}"
