"""Looks at pictures before they are used: their kind, size, rotation and range."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmark.data.dataset import ArraySource, ImageSource
from benchmark.data.images import FileSource, raw_pixels
from benchmark.errors import DataError

FLAT_COLOURS = 12
"""A picture with at most so many different colours is no photograph."""
ORIENTATION = 274
"""The EXIF tag."""
BITS = 258
"""The TIFF tag: bits of each channel."""


@dataclass(frozen=True)
class Header:
    """The facts that an image file states before its pixels.

    Attributes:
        width, height: as displayed, upright.
        orientation: EXIF, 1 to 8; 1 is upright.
        wide: whether its values have 16 bits.
    """

    width: int
    height: int
    orientation: int = 1
    wide: bool = False


def header(source: ImageSource) -> Header | None:
    """Reads the header of an image; None when it has none that can be read."""
    if isinstance(source, ArraySource):
        return Header(source.array.shape[1], source.array.shape[0])
    if not isinstance(source, FileSource):
        return None
    try:
        with Image.open(source.path) as file:
            turned = file.format != "PNG" or _comments(source.path)
            orientation = int(file.getexif().get(ORIENTATION, 1)) if turned else 1
            width, height = file.size if orientation < 5 else file.size[::-1]
            return Header(width, height, orientation, _wide(file, source.path))
    except Exception:  # decoders raise nearly anything; reading the pixels says what is wrong
        return None


def highest(source: ImageSource) -> int:
    """Find the largest value in a file of 16-bit integers. Raises DataError."""
    raw = raw_pixels(source.content(), source.name())
    # of 16-bit colour only the high byte is read
    return int(raw.max()) if raw.dtype == np.uint16 else int(raw.max()) << 8 | 255


def _wide(file: Image.Image, path: Path) -> bool:
    """Tell whether the values in a file have 16 bits."""
    if file.format == "PNG":
        with path.open("rb") as png:
            return png.read(25)[24] == 16  # the bit depth, in the first chunk
    if file.format == "TIFF":
        return 16 in file.tag_v2.get(BITS, ())  # type: ignore[attr-defined]
    return file.mode.startswith("I;16") or (file.format == "PPM" and file.mode == "I")


def _comments(path: Path) -> bool:
    """Tell whether a PNG holds a chunk that may state an orientation, also behind its pixels.

    Pillow decodes all pixels to look for one, which takes as long as reading the image.
    """
    with path.open("rb") as file:
        file.seek(8)  # the signature
        while len(head := file.read(8)) == 8:
            if head[4:] in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            file.seek(int.from_bytes(head[:4], "big") + 4, 1)  # what it holds, and its checksum
    return False


def annotates(source: Path) -> bool | None:
    """Tell whether a picture has two values, or a few flat colours, as masks have.

    Returns:
        True for a mask, also one that JPEG blurred at its edges; False for a photograph; None when
        it may be either, or cannot be read.
    """
    try:
        raw = raw_pixels(source.read_bytes(), str(source))
    except (OSError, DataError):
        return None
    flat = raw.reshape(-1, raw.shape[2]) if raw.ndim == 3 else raw.reshape(-1, 1)
    counts = np.unique(_whole(flat), return_counts=True)[1]
    if len(counts) <= FLAT_COLOURS:
        return True if len(counts) > 1 or not flat.any() else None if flat.min() == 255 else False
    common = np.sort(counts)[-2:].sum() / len(flat)
    grey = flat.max(axis=1).astype(np.float64)
    extreme = np.mean((grey <= 0.12 * grey.max()) | (grey >= 0.88 * grey.max()))
    if common >= 0.6 and extreme >= 0.95:
        return True
    return None if common >= 0.25 else False


def _whole(colours: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give every different row (N, channels) a number of its own (N,): numbers sort in a tenth of
    the time."""
    if colours.shape[1] == 1:
        return colours[:, 0]
    if colours.dtype.kind != "u":
        return np.unique(colours, axis=0, return_inverse=True)[1].ravel()
    whole = np.zeros(len(colours), np.uint64)
    for channel in colours.T:
        whole = whole << np.uint64(8 * colours.itemsize) | channel
    return whole
