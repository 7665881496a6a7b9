"""The one-class protocol on labelled sets of small images: one class is normal, the others are not.

Per category the training images of one class are trained on, and the whole official test split is
tested with the other classes as anomalies; nothing is held out. Image labels only. The arrays are in
memory once; a category is a list of views of them.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmark import Category, Dataset, Sample
from benchmark.data.dataset import ArraySource
from benchmark.errors import DataError, unknown

Array = npt.NDArray[Any]

KEYS = ("train_images", "train_labels", "test_images", "test_labels")
"""Names of the arrays in an ``.npz``."""


@dataclass(frozen=True)
class Arrays:
    """A whole set, in its official order.

    Attributes:
        train_images, test_images: uint8 (N, H, W) or (N, H, W, 3).
        train_labels, test_labels: integers 0 to 9, (N,).
    """

    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array


class OneClass(Dataset):
    """Base of the three sets: finds the arrays, checks them, lists a class as a category."""

    small = True
    holds_out = False
    classes: ClassVar[Sequence[str]]
    """Names of the labels 0, 1, …"""
    stem: ClassVar[str]
    """An archive of arrays is called this, with the ending ``.npz``."""
    torchvision: ClassVar[str]
    """Name of torchvision's class, which downloads it; also its folder's."""
    expected: ClassVar[str]
    """What is looked for beside the archive, for messages."""
    counts: ClassVar[tuple[Sequence[int], Sequence[int]]]
    """Official numbers of images per class: training, test."""

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self._arrays: Arrays | None = None

    def categories(self) -> list[str]:
        """List all classes, in the order of their labels. Raises DataError when no files are
        there."""
        self.arrays()
        return list(self.classes)

    def category(self, name: str) -> Category:
        """List the samples with one class as the normal one.

        Raises:
            DataError: unknown class; files that are missing, damaged or not the official ones.
        """
        if name not in self.classes:
            raise DataError(unknown("category", name, self.classes))
        arrays, label = self.arrays(), self.classes.index(name)
        chosen = np.flatnonzero(arrays.train_labels == label)
        train = [self._sample("train", arrays.train_images, int(i), label, label) for i in chosen]
        test = [
            self._sample("test", arrays.test_images, i, int(own), label)
            for i, own in enumerate(arrays.test_labels)
        ]
        return Category(name, train, test)

    def arrays(self) -> Arrays:
        """Return the set's arrays, read on first use and checked."""
        if self._arrays is None:
            self._arrays = self._find()
        return self._arrays

    def download(self) -> None:
        """Fetch the official files into the root, with torchvision. Raises DataError."""
        import torchvision

        if self.root is None:
            raise DataError(f"{self.title}: name the folder to download to: --data-root DIR")
        try:
            getattr(torchvision.datasets, self.torchvision)(str(self.root), download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(f"{self.title}: the download failed ({error}); {self.origin}") from None

    @abstractmethod
    def original(self, folder: Path) -> Arrays | None:
        """Read the arrays from the original files in a folder; None when they are not all there."""

    def check(self, arrays: Arrays, place: Path) -> None:
        """Raises DataError when the arrays are not the official ones, as far as can be known."""
        for split, images, labels, counts in (
            ("train", arrays.train_images, arrays.train_labels, self.counts[0]),
            ("test", arrays.test_images, arrays.test_labels, self.counts[1]),
        ):
            if images.dtype != np.uint8 or len(images) != len(labels) or labels.ndim != 1:
                raise DataError(
                    f"{place}: {split} images are {images.dtype} {images.shape} with labels "
                    f"{labels.shape}; allowed are uint8 images with one label each; {self.origin}"
                )
            found = [int((labels == i).sum()) for i in range(len(counts))]
            if found != list(counts):
                raise DataError(
                    f"{place}: {split} images per class are {found}, officially {list(counts)}; "
                    f"the file is incomplete or of another set; {self.origin}"
                )

    def places(self) -> Iterator[Path]:
        """Yield the folders that are looked into, those of torchvision included."""
        root = self.place()
        yield root
        for below in (self.torchvision, "oneclass"):
            yield root / below
        yield root / "raw"
        yield root / self.torchvision / "raw"

    def _find(self) -> Arrays:
        for folder in self.places():
            archive = folder / f"{self.stem}.npz"
            found = _unpacked(archive) if archive.is_file() else self.original(folder)
            if found is not None:
                self.check(found, archive if archive.is_file() else folder)
                return found
        raise DataError(
            f"{self.root}: {self.title} is not here. Looked for {self.stem}.npz with the arrays "
            f"{', '.join(KEYS)}, and for {self.expected}, also in torchvision's folder "
            f"{self.torchvision}/.\nTo get it, {self.origin}; or let this program fetch it: bench "
            f"data {self.stem} --download --data-root DIR"
        )

    def _sample(self, split: str, images: Array, index: int, own: int, normal: int) -> Sample:
        source = ArraySource(images[index], f"{self.title} {split} image {index}")
        defect = "good" if own == normal else self.classes[own]
        return Sample(f"{split}/{index:05}", source, int(own != normal), defect)


def per_class(
    classes: Sequence[str], counts: tuple[Sequence[int], Sequence[int]]
) -> Mapping[str, Mapping[str, int]]:
    """Count the official images of each category.

    >>> per_class(["a", "b"], ([3, 4], [1, 2]))["b"]
    {'train': 4, 'good': 2, 'defective': 1}
    """
    train, test = counts
    return {
        name: {"train": train[i], "good": test[i], "defective": sum(test) - test[i]}
        for i, name in enumerate(classes)
    }


def sha256(array: Array) -> str:
    """Hash an array's values, in order."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _unpacked(archive: Path) -> Arrays:
    try:
        with np.load(archive, allow_pickle=False) as held:
            if missing := [key for key in KEYS if key not in held]:
                raise DataError(
                    f"{archive}: no array {missing[0]!r} (found: {', '.join(held) or 'nothing'}); "
                    f"expected are {', '.join(KEYS)}"
                )
            return Arrays(*(held[key] for key in KEYS))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{archive}: cannot be read ({error}); get the file again") from None
