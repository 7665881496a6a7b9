"""The one interface a data set implements.

A data set is a class in a file of ``datasets/`` (or a plugin) that says what it is and yields, per
category, lists of samples. It reads nothing until a sample is asked for its pixels, so that listing
a data set costs only a directory walk; categories are views and nothing is held twice.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from benchmark.errors import DataError

if TYPE_CHECKING:
    from benchmark.data.masks import AnnotatedDefect

Array = npt.NDArray[Any]


class ImageSource(Protocol):
    """The place an image's or a mask's pixels come from: a file, or a view of an array."""

    def name(self) -> str:
        """Return what an error message calls it: a path, or ``mnist test image 17``."""

    def content(self) -> bytes:
        """Read the bytes whose SHA-256 identifies it. Raises DataError when unreadable."""

    def pixels(self) -> Array:
        """Decode an image: uint8 RGB (H, W, 3). Raises DataError when it cannot be decoded."""

    def mask(self) -> Array:
        """Decode a ground-truth mask: bool (H, W). Raises DataError, also for grey values."""


@runtime_checkable
class AnnotatedSource(ImageSource, Protocol):
    """A mask that also knows its defects one by one."""

    def regions(self) -> Sequence[AnnotatedDefect]:
        """Read the defects, whose union is the mask. Raises DataError when unreadable."""


@dataclass(frozen=True)
class Sample:
    """One image of a category.

    Attributes:
        id: unique within the category and stable, for instance ``test/broken_large/000.png``.
        image: where its pixels come from.
        label: 0 good, 1 defective.
        defect: the defect type; ``good`` for label 0.
        mask: ground truth of a defective image; None when good or when there is none. A source
            with ``may_be_empty = True`` may mark nothing (frames of a video).
        group: what the image shares with others of its split: the clip of a frame, the part of
            several views. Hold-out and bootstrap draw whole groups. Empty where images are
            independent.
    """

    id: str
    image: ImageSource
    label: int = 0
    defect: str = "good"
    mask: ImageSource | None = None
    group: str = ""


@dataclass(frozen=True)
class Role:
    """The use that a data set makes of one image file of a folder.

    Attributes:
        kind: ``train``, ``good`` and ``defect`` are samples, ``mask`` belongs to one; ``validation``
            and ``unused`` files are left out; ``unsettled``: none of these, or two of them.
        of: the defect type of a ``defect``; the path of the image of a ``mask``.
        why: what settled it, or what stands in the way.
        settle: of an ``unsettled`` file: the pattern that the user can give a role.
    """

    kind: Literal["train", "good", "defect", "mask", "validation", "unused", "unsettled"]
    of: str = ""
    why: str = ""
    settle: str = ""


@dataclass(frozen=True)
class Category:
    """The splits of one category.

    Attributes:
        train: normal samples only.
        test: labelled samples, which are measured.
        validation: normal samples that the publisher set apart; where there are any they replace
            the random hold-out.
        unlabelled: test samples whose labels the publisher keeps: scored, never measured.
    """

    name: str
    train: Sequence[Sample]
    test: Sequence[Sample]
    validation: Sequence[Sample] = ()
    unlabelled: Sequence[Sample] = ()

    @property
    def normal(self) -> list[Sample]:
        """``train`` and then ``validation``: what is known to be normal."""
        return [*self.train, *self.validation]

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of images: ``train``, ``good`` and ``defective`` (both of the test split), and,
        where there are any, ``validation``, ``unlabelled``, and ``train_groups``, ``test_groups``."""
        defective = sum(bool(sample.label) for sample in self.test)
        counts = {
            "train": len(self.train),
            "good": len(self.test) - defective,
            "defective": defective,
        }
        further = {
            "validation": len(self.validation),
            "unlabelled": len(self.unlabelled),
            "train_groups": len({s.group for s in self.train if s.group}),
            "test_groups": len({s.group for s in self.test if s.group}),
        }
        return counts | {name: count for name, count in further.items() if count}

    @property
    def has_masks(self) -> bool:
        """Whether pixel metrics can be computed: every defective test image has a mask, and there
        is at least one. (A data set decides what a missing mask means: error or none at all.)"""
        defective = [sample for sample in self.test if sample.label]
        return bool(defective) and all(sample.mask is not None for sample in defective)

    @property
    def has_annotated_defects(self) -> bool:
        """Whether every mask says which defects there are and how much of each must be found."""
        masks = [sample.mask for sample in self.test if sample.label]
        return bool(masks) and all(isinstance(mask, AnnotatedSource) for mask in masks)


class Dataset(ABC):
    """Base of all data sets.

    Class attributes declare what is known without touching the disk. Instances are made by the
    runner with the folder found for ``--data-root`` (None for a data set that needs no folder).
    """

    title: ClassVar[str]
    """Readable name for tables."""
    licence: ClassVar[str]
    citation: ClassVar[str]
    origin: ClassVar[str]
    """How to get it, one sentence with the address; printed when it is not found."""
    size: ClassVar[int | None] = None
    """Side of the standard protocol's square input; None keeps each image at its native size."""
    small: ClassVar[bool] = False
    """Whether its images are so small (28 or 32 pixels) that papers take them as they are: the paper
    protocol then reads them at native size instead of a method's published one."""
    holds_out: ClassVar[bool] = True
    """Whether the standard protocol holds out normal training images (one-class sets and those
    with an official validation split: no)."""
    needs_root: ClassVar[bool] = True
    groups: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Named groups of categories, in table order (MVTec AD: Textures, Objects)."""
    official: Mapping[str, Mapping[str, int]] = {}
    """Per category the official numbers of images as far as they are known, by the names of
    :attr:`Category.counts`. A class attribute; where a setting decides which categories there are,
    ``__init__`` sets it."""

    settings: Mapping[str, Any] = {}
    """Those of its settings, the keyword-only parameters of ``__init__``, that differ from their
    defaults; noted by whoever opens it."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root

    @property
    def layout(self) -> str:
        """Say which files are expected, for messages."""
        return ""

    def place(self) -> Path:
        """Return the root, for a data set that reads from one. Raises DataError when there is none."""
        if self.root is None or not self.root.is_dir():
            where = (
                "no data root was given" if self.root is None else f"{self.root}: no such folder"
            )
            raise DataError(
                f"{self.title}: {where}.\nTo get it, {self.origin}; then pass its folder as "
                f"--data-root, or set BENCH_DATA.\n{self.layout}".rstrip()
            )
        return self.root

    @abstractmethod
    def categories(self) -> list[str]:
        """List the categories that can be run, in table order."""

    @abstractmethod
    def category(self, name: str) -> Category:
        """List the samples of one category. Raises DataError, saying where it looked."""

    def listing(self, name: str) -> Category:
        """List the samples as :meth:`category` does, but accept a category whose masks are
        incomplete: ``bench data`` lists and counts what is wrong instead of stopping at it."""
        return self.category(name)

    def roles(self, name: str) -> Mapping[str, Role]:
        """Return the one role of every image file below a category, by its path there. Empty for a
        data set whose files have fixed places. Raises DataError."""
        return {}

    def unread(self) -> Sequence[str]:
        """List what lies beside the categories and belongs to none: a folder and why, one text
        each."""
        return ()

    def write_roles(self) -> Path:
        """Write a file that says which role every file has, and return it. Raises DataError."""
        raise DataError(f"{self.title}: its files have fixed places; there is nothing to write")

    def download(self) -> None:
        """Fetch the official files into the root, where their terms allow that. Raises DataError."""
        raise DataError(f"{self.title} cannot be fetched by this program; {self.origin}")


@dataclass(frozen=True)
class ArraySource:
    """An image that is a view of an array in memory (one-class sets, tests).

    Attributes:
        array: uint8 (H, W) or (H, W, 3).
        title: what error messages call it.
    """

    array: Array
    title: str

    def name(self) -> str:
        return self.title

    def content(self) -> bytes:
        return repr(self.array.shape).encode() + np.ascontiguousarray(self.array).tobytes()

    def pixels(self) -> Array:
        if self.array.ndim == 2:
            return np.repeat(self.array[..., None], 3, axis=2)
        return self.array

    def mask(self) -> Array:
        return self.array.astype(bool)


def content_key(source: ImageSource) -> str:
    """Hash the content of an image or mask: 32 hexadecimal digits of SHA-256."""
    return hashlib.sha256(source.content()).hexdigest()[:32]
