"""CIFAR-10 under the one-class protocol: one class is normal, the nine others are anomalies."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import zlib
from pathlib import Path

import numpy as np

from benchmark.errors import DataError

from ._one_class import Array, Arrays, OneClass, per_class

# MD5 of the original files, as their authors and torchvision publish them
TRAIN = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
TEST = {"test_batch": "40351d587109b95175f43aff81a1287e"}
FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"

_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_COUNTS = ((5000,) * 10, (1000,) * 10)


class Cifar10(OneClass):
    """CIFAR-10: one class is normal, the nine others are not; 32 × 32 colour images.

    The original batches are pickles: each is held against its published checksum before it is
    opened. Of an ``.npz`` only shapes and the number of images per class can be checked, since no
    checksum of the bare arrays is published.
    """

    title = "CIFAR-10"
    licence = "not stated; for research"
    citation = "A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images. 2009"
    origin = "download the Python version from https://www.cs.toronto.edu/~kriz/cifar.html"
    classes = _CLASSES
    stem = "cifar10"
    torchvision = "CIFAR10"
    expected = f"{FOLDER}/ or {ARCHIVE}"
    counts = _COUNTS
    official = per_class(_CLASSES, _COUNTS)

    def original(self, folder: Path) -> Arrays | None:
        batches = _batches(folder)
        if batches is None:
            return None
        train = [_open(folder, name, batches[name], md5) for name, md5 in TRAIN.items()]
        test = [_open(folder, name, batches[name], md5) for name, md5 in TEST.items()]
        return Arrays(
            np.concatenate([images for images, _ in train]),
            np.concatenate([labels for _, labels in train]),
            *test[0],
        )


def _batches(folder: Path) -> dict[str, bytes] | None:
    """Read the original files' bytes by name, unpacked or from the archive; None when not all
    there."""
    for place in (folder / FOLDER, folder):
        if all((place / name).is_file() for name in (*TRAIN, *TEST)):
            return {name: (place / name).read_bytes() for name in (*TRAIN, *TEST)}
    archive = folder / ARCHIVE
    if not archive.is_file():
        return None
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as packed:
            for member in packed:
                name = Path(member.name).name
                if name in (*TRAIN, *TEST) and (file := packed.extractfile(member)):
                    found[name] = file.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{archive}: cannot be read ({error}); get the file again") from None
    if missing := [name for name in (*TRAIN, *TEST) if name not in found]:
        raise DataError(f"{archive}: {missing[0]} is not in it; get the file again")
    return found


def _open(folder: Path, name: str, raw: bytes, md5: str) -> tuple[Array, Array]:
    """Open a batch that is the official one: uint8 images (N, 32, 32, 3) and labels (N,)."""
    found = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{folder}: {name} is not the official file (MD5 {found}, officially {md5}), and is "
            "not opened; get it again"
        )
    held = pickle.load(io.BytesIO(raw), encoding="latin1")  # known bytes, see above
    pixels = np.asarray(held["data"], np.uint8).reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), np.asarray(held["labels"])
