"""A category's pixels: hashed, decoded once, brought to the geometries of a run, kept as bytes.

Decoding runs in threads (Pillow releases the interpreter lock). What is kept is 8-bit pixels at
input size; when they are many they live in an unlinked temporary file behind a memory map, so that
the operating system decides what stays in memory.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmark.data.batch import Batch
from benchmark.data.dataset import AnnotatedSource, Category, Sample, content_key
from benchmark.data.geometry import Geometry
from benchmark.data.images import check_mask, in_parallel
from benchmark.data.masks import AnnotatedDefect
from benchmark.errors import DataError
from benchmark.machine import memory

Array = npt.NDArray[Any]

PREDICT_BATCH = 16
DEVICE_SHARE = 1 / 8
"""Of a GPU's memory, for the pixels of the geometry that is worked on."""
MEMORY_BYTES = 1 << 30
"""Pixels of one category and geometry above this, or above an eighth of the memory that the process
may use, live in a temporary file."""


class ImageSet:
    """Decoded images of one geometry: the Images that detectors are trained on.

    Attributes:
        pixels: uint8 RGB (N, H, W, 3) of a whole split.
        keys: N content hashes.
        indices: the part of the split that this set shows.
        device: that batches are on.
    """

    def __init__(
        self,
        pixels: Array,
        keys: Sequence[str],
        indices: Sequence[int] | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.pixels = pixels
        self.all_keys = keys
        self.indices = list(range(len(keys)) if indices is None else indices)
        self.device = device or torch.device("cpu")
        self._near: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches(PREDICT_BATCH)

    @property
    def keys(self) -> list[str]:
        return [self.all_keys[i] for i in self.indices]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def subset(self, indices: Sequence[int]) -> ImageSet:
        """Return a view of some images; positions count within this set."""
        places = [self.indices[i] for i in indices]
        part = ImageSet(self.pixels, self.all_keys, places, self.device)
        part._near = self._near
        return part

    def on(self, device: torch.device, room: int) -> ImageSet:
        """Return the same images with batches on a device, gathered there if all pixels fit ``room``
        bytes of its memory, else sent there batch by batch, as bytes."""
        moved = ImageSet(self.pixels, self.all_keys, self.indices, device)
        if self.pixels.nbytes <= room:
            moved._near = torch.from_numpy(self.pixels).to(device)
        return moved

    @property
    def near_bytes(self) -> int:
        """Bytes of pixels that are held on the device."""
        return self._near.nbytes if self._near is not None else 0

    def batch(self, indices: Sequence[int]) -> Batch:
        places = [self.indices[i] for i in indices]
        if self._near is not None:
            raw = self._near[torch.tensor(places).to(self.device, non_blocking=True)]
        else:
            raw = torch.from_numpy(self.pixels[places])
            if self.device.type == "cuda":  # page-locked memory is copied from without waiting
                raw = raw.pin_memory().to(self.device, non_blocking=True)
        pixels = raw.permute(0, 3, 1, 2).contiguous().float().div_(255)
        return Batch(pixels, tuple(self.all_keys[i] for i in places))

    def batches(
        self,
        size: int,
        *,
        shuffle: np.random.Generator | None = None,
        drop_last: bool = False,
    ) -> Iterator[Batch]:
        order = list(range(len(self)))
        if shuffle is not None:
            shuffle.shuffle(order)
        for start in range(0, len(order), size):
            part = order[start : start + size]
            if len(part) == size or not drop_last:
                yield self.batch(part)


@dataclass(frozen=True)
class Keys:
    """Content hashes of a category, and their fingerprint.

    Attributes:
        train: one per normal sample, those of the validation split last.
        test, unlabelled: one per sample.
        masks: one per test sample, ``-`` for none.
        fingerprint: 16 hexadecimal digits over ids, labels, defect types, images and masks: equal
            fingerprints mean the same data.
    """

    train: list[str]
    test: list[str]
    fingerprint: str
    masks: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Decoded:
    """A category in one geometry; ``train`` shows all normal samples, validation split last."""

    train: ImageSet
    test: ImageSet
    unlabelled: ImageSet | None = None

    def on(self, device: torch.device, room: int) -> Decoded:
        """Return the same with batches on a device whose memory has ``room`` bytes for pixels."""
        train = self.train.on(device, room)
        room -= train.near_bytes
        test = self.test.on(device, room)
        room -= test.near_bytes
        unlabelled = self.unlabelled.on(device, room) if self.unlabelled else None
        return Decoded(train, test, unlabelled)


def hash_category(category: Category, threads: int) -> Keys:
    """Read every file once and hash it. Raises DataError for an unreadable one."""
    if not category.train:
        raise DataError(
            f"category {category.name!r} has no training images; every category needs good images "
            "in its train split"
        )
    if not category.test:
        raise DataError(f"category {category.name!r} has no test images")
    samples = [*category.normal, *category.test, *category.unlabelled]
    ids = [sample.id for sample in samples]
    if len(set(ids)) != len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise DataError(f"category {category.name!r}: two samples have the id {twice!r}")
    hashes = hash_files(samples, threads)
    images, masks = [image for image, _ in hashes], [mask for _, mask in hashes]
    train = len(category.normal)
    test = train + len(category.test)
    fingerprint = fingerprint_of(samples, hashes)
    return Keys(images[:train], images[train:test], fingerprint, masks[train:test], images[test:])


def check_samples(category: Category) -> None:
    """Raises DataError for samples of a data set that break its contract, before any is read."""
    for sample in (*category.normal, *category.test):
        where = f"category {category.name!r}: the sample {sample.id!r}"
        if not isinstance(sample.id, str):
            raise DataError(f"{where} has a {type(sample.id).__name__} for its id; ids are texts")
        if sample.label not in (0, 1):
            raise DataError(
                f"{where} has label {sample.label!r}; allowed are 0 (good) and 1 (defective)"
            )
    if bad := next((sample for sample in category.normal if sample.label), None):
        raise DataError(
            f"category {category.name!r}: the sample {bad.id!r} is defective and in training or "
            "validation, which take good images only"
        )


def hash_samples(samples: Sequence[Sample], threads: int) -> tuple[list[str], str]:
    """Hash the content of every image, and ids, labels, images and masks as one fingerprint."""
    hashes = hash_files(samples, threads)
    return [image for image, _ in hashes], fingerprint_of(samples, hashes)


def hash_files(samples: Sequence[Sample], threads: int) -> list[tuple[str, str]]:
    """Hash the content of every sample's image and mask, ``-`` for no mask."""

    def one(sample: Sample) -> tuple[str, str]:
        return content_key(sample.image), content_key(sample.mask) if sample.mask else "-"

    return list(in_parallel(one, samples, threads))


def fingerprint_of(samples: Sequence[Sample], hashes: Sequence[tuple[str, str]]) -> str:
    """Hash ids, labels, defect types and the hashes of images and masks: 16 hexadecimal digits."""
    hasher = hashlib.sha256()
    for sample, (image, mask) in sorted(zip(samples, hashes, strict=True), key=lambda p: p[0].id):
        hasher.update(f"{sample.id}\n{sample.label}\n{sample.defect}\n{image}\n{mask}\n".encode())
    return hasher.hexdigest()[:16]


def decode_category(
    category: Category, keys: Keys, geometries: Sequence[Geometry], threads: int
) -> dict[Geometry, Decoded]:
    """Decode every image once and bring it to each geometry."""
    out = {}
    train = decode_samples(category.normal, geometries, threads)
    test = decode_samples(category.test, geometries, threads)
    unlabelled = decode_samples(category.unlabelled, geometries, threads)
    for geometry in geometries:
        if train[geometry].shape[1:] != test[geometry].shape[1:]:
            raise DataError(
                f"category {category.name!r}: train images are {train[geometry].shape[1:3]} and "
                f"test images {test[geometry].shape[1:3]} after {geometry}; pass "
                "--image-size N or HEIGHTxWIDTH, without --keep-aspect, to "
                "bring all to one size"
            )
        out[geometry] = Decoded(
            ImageSet(train[geometry], keys.train),
            ImageSet(test[geometry], keys.test),
            ImageSet(unlabelled[geometry], keys.unlabelled) if unlabelled else None,
        )
    return out


def load_masks(
    category: Category, geometry: Geometry, threads: int
) -> Iterator[tuple[Sample, Array, list[AnnotatedDefect]]]:
    """Test samples with their ground truth on the pixels that count, in order, bounded memory.

    Yields:
        (sample, bool (h, w), annotated defects where the category has them one by one); a good
        image's mask is empty. Raises DataError for a mask that does not fit its image or holds grey
        values.
    """
    annotated = category.has_annotated_defects

    def one(sample: Sample) -> tuple[Sample, Array, list[AnnotatedDefect]]:
        if sample.mask is None:
            return sample, np.zeros((0, 0), bool), []
        if annotated and isinstance(sample.mask, AnnotatedSource):
            seen = [defect.seen(geometry.mask) for defect in sample.mask.regions()]
            defects = [defect for defect in seen if defect is not None]
            union = np.logical_or.reduce([d.mask for d in defects]) if defects else None
            return sample, geometry.mask(sample.mask.mask()) if union is None else union, defects
        return sample, geometry.mask(sample.mask.mask()), []

    yield from in_parallel(one, category.test, threads)


def decode_samples(
    samples: Sequence[Sample], geometries: Sequence[Geometry], threads: int
) -> dict[Geometry, Array]:
    """Decode every image once and bring it to each geometry: uint8 (N, H, W, 3) per geometry."""

    def one(sample: Sample) -> list[Array]:
        pixels = sample.image.pixels()
        if sample.mask is not None:
            check_mask(pixels.shape, sample.mask.mask().shape, sample.mask.name())
        return [geometry.image(pixels) for geometry in geometries]

    out: dict[Geometry, Array] = {}
    for i, views in enumerate(in_parallel(one, samples, threads)):
        for geometry, view in zip(geometries, views, strict=True):
            if i == 0:
                out[geometry] = _buffer((len(samples), *view.shape))
            if view.shape != out[geometry].shape[1:]:
                raise DataError(
                    f"{samples[i].image.name()}: {view.shape[1]}×{view.shape[0]} pixels after "
                    f"resize and crop, the images before it {out[geometry].shape[2]}×"
                    f"{out[geometry].shape[1]}; pass --image-size N or "
                    "HEIGHTxWIDTH, without --keep-aspect, to bring all to one size"
                )
            out[geometry][i] = view
    return out


def _buffer(shape: tuple[int, ...]) -> Array:
    size = int(np.prod(shape))
    if size <= min(MEMORY_BYTES, memory() // 8):
        return np.empty(shape, np.uint8)
    try:
        with tempfile.TemporaryFile(prefix="bench-pixels-") as file:
            _reserve(file.fileno(), size)  # a full disk is said now, not by a bus error
            return np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as error:
        where = tempfile.tempdir or "which Python looks for"
        raise DataError(
            f"the temporary folder ({where}) has no room for {size / 1e6:.0f} MB of pixels "
            f"({error.strerror or error}); set TMPDIR to a folder on a larger disk, or use a "
            "smaller --image-size"
        ) from error


def _reserve(file: int, size: int) -> None:
    """Make an open file as large as this. Raises OSError when the disk has no room for it."""
    try:
        os.posix_fallocate(file, 0, size)
        return
    except AttributeError:  # macOS
        pass
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            raise
    if shutil.disk_usage(file).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.truncate(file, size)
