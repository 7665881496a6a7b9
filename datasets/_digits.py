"""MNIST's file format, which Fashion-MNIST shares: four idx files, packed or not."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmark.errors import DataError

from ._one_class import KEYS, Array, Arrays, OneClass, sha256

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


class Digits(OneClass):
    """Base of both: 60,000 training and 10,000 test images of 28×28 grey pixels."""

    expected = f"{FILES[0]}(.gz) and its three companions"
    checksums: ClassVar[Mapping[str, str]]
    """SHA-256 of each array's values: whatever file they come from, they must be the official."""

    def original(self, folder: Path) -> Arrays | None:
        paths = [_packed_or_not(folder / name) for name in FILES]
        found = [path for path in paths if path is not None]
        return Arrays(*map(read_idx, found)) if len(found) == len(FILES) else None

    def check(self, arrays: Arrays, place: Path) -> None:
        super().check(arrays, place)
        for key in KEYS:
            if (found := sha256(getattr(arrays, key))) != self.checksums[key]:
                raise DataError(
                    f"{place}: the {key.replace('_', ' ')} are not the official ones (SHA-256 of "
                    f"the values {found[:16]}…, officially {self.checksums[key][:16]}…); "
                    f"{self.origin}"
                )


def read_idx(path: Path) -> Array:
    """Read the uint8 array of an idx file (LeCun's format: magic number, sizes, values), maybe
    packed.

    Raises:
        DataError: unreadable, or not such a file.
    """
    try:
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); get the file again") from None
    axes = raw[3] if len(raw) > 3 and raw[:3] == b"\0\0\x08" else 0
    header = 4 + 4 * axes
    sizes = np.frombuffer(raw[4:header], ">u4").tolist() if len(raw) >= header else []
    if not axes or len(sizes) != axes or len(raw) - header != np.prod(sizes):
        raise DataError(f"{path}: not a whole idx file of bytes; get the file again")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(sizes)


def _packed_or_not(path: Path) -> Path | None:
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    return None
