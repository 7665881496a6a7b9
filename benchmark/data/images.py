"""From the bytes of a file to pixels and masks, with an error that helps when they are not usable.

What every image becomes: uint8 RGB, upright. In words, because other choices give other scores:

* EXIF orientation is applied, to images and to masks; a colour profile (ICC) is not.
* An alpha channel is dropped: the colour beneath it counts, transparent or not.
* 16-bit grey is scaled by 1/257 and rounded (65535 becomes 255). 16-bit colour is reduced by
  Pillow, which keeps the high byte: at most one level away from rounding.
* Floating-point images must lie in [0, 1]. Other integers (signed, 32-bit) have no agreed white and
  are refused.
* Of a file with several frames the first counts.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from benchmark.errors import DataError
from benchmark.machine import cores

Array = npt.NDArray[Any]
T = TypeVar("T")
R = TypeVar("R")

EXTENSIONS = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif")
    + (".pgm", ".ppm", ".pbm", ".pnm", ".jp2")
)
"""Endings, in lower case, of the files that data sets take for images."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class MaskValuesError(DataError):
    """A mask that can be read, but says neither good nor defective for some of its pixels.

    Attributes:
        pixels: how many.
    """

    def __init__(self, message: str, pixels: int = 0) -> None:
        super().__init__(message)
        self.pixels = pixels


@dataclass(frozen=True)
class FileSource:
    """An image or a mask in a file. Every call reads the file once and keeps nothing.

    Attributes:
        path: the file; it need not exist before it is read.
        threshold: of a grey mask: values above it, of 255, are defective. None refuses grey.
    """

    path: Path
    threshold: int | None = None

    def name(self) -> str:
        """Return the path, as error messages show it."""
        return str(self.path)

    def content(self) -> bytes:
        """Read the file's bytes. Raises DataError when there is none or it cannot be read."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            gone = "a link to a file that is gone" if self.path.is_symlink() else "no such file"
            raise DataError(f"{self.path}: {gone}; put it back, or list the data again") from None
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be read ({error.strerror}); check that it is a file and that "
                "you may read it"
            ) from None

    def pixels(self) -> Array:
        """Decode the image: uint8 RGB (H, W, 3). Raises DataError when it cannot be decoded."""
        return decode(self.content(), self.name())

    def mask(self) -> Array:
        """Decode the mask: bool (H, W). Raises DataError when it cannot be decoded or is not
        binary."""
        return decode_mask(self.content(), self.name(), self.threshold)


def decode(data: bytes, name: str) -> Array:
    """Decode the pixels of an image file.

    Args:
        data: the file's bytes.
        name: what error messages call it.

    Returns:
        uint8 RGB (H, W, 3), contiguous, writable and upright.

    Raises:
        DataError: not an image, truncated, or values whose range is unknown.
    """
    raw = raw_pixels(data, name)
    if raw.dtype == np.uint16:
        raw = ((raw.astype(np.uint32) + 128) // 257).astype(np.uint8)  # rounds exactly: 257 is odd
    elif raw.dtype.kind == "f":
        low, high = float(raw.min()), float(raw.max())
        if not (low >= 0 and high <= 1):  # not: NaN must fail too
            raise DataError(
                f"{name}: floating-point values from {low:g} to {high:g}; scale them to 0..1, or "
                "save the image with 8 or 16 bits"
            )
        raw = np.rint(raw.astype(np.float64) * 255).astype(np.uint8)
    if raw.ndim == 2:
        raw = np.repeat(raw[..., None], 3, axis=2)
    return np.array(
        raw, order="C"
    )  # a copy: Pillow's arrays are read-only, which torch warns about


def decode_mask(data: bytes, name: str, threshold: int | None = None) -> Array:
    """Decode a ground-truth mask: background 0, defect 255 or 1 (65535 in a 16-bit file).

    A colour file is accepted when its channels are equal, a palette file by the colours it shows.

    Args:
        data: the file's bytes.
        name: what error messages call it.
        threshold: with it, other values (of colours the brightest channel) count as defective above
            ``threshold`` of 255.

    Returns:
        bool (H, W), True where the image is defective.

    Raises:
        MaskValuesError: values between background and defect (from JPEG or smooth resizing),
            colours, or a transparent part.
        DataError: not an image, or truncated.
    """
    raw = raw_pixels(data, name, alpha=True)
    if raw.ndim == 3 and raw.shape[2] == 4:
        if (raw[..., 3] < 255).any():
            raise MaskValuesError(
                f"{name}: a mask with a transparent part, which may mean either; save it without "
                "alpha channel, 0 for background and 255 for defect"
            )
        raw = raw[..., :3]
    if raw.ndim == 3:
        first = raw[..., 0]
        if all(np.array_equal(first, raw[..., i]) for i in (1, 2)):
            raw = first
        elif threshold is not None:
            raw = raw.max(axis=2)
        else:
            raise MaskValuesError(
                f"{name}: a coloured mask; save it as grey, 0 for background and 255 for defect"
            )
    white = raw.max()
    if white in (0, 1, 255, 65535) and ((raw == 0) | (raw == white)).all():
        return raw > 0
    if threshold is not None:
        scale = {"f": 255.0, "u": 1 / 257 if raw.dtype == np.uint16 else 1.0}[raw.dtype.kind]
        return raw * scale > threshold
    values = np.unique(raw)
    shown = ", ".join(f"{value:g}" for value in values[:6])
    more = ", …" if len(values) > 6 else ""
    between = int(np.count_nonzero((raw != 0) & ~np.isin(raw, (1, 255, 65535))))
    raise MaskValuesError(
        f"{name}: a mask with {len(values)} values ({shown}{more}), allowed are 0 and 255, or 0 and "
        "1; pass --mask-threshold 127 where JPEG or smooth resizing blurred the values, "
        "--mask-threshold 0 where every value but 0 is a defect, or save it as PNG with two values",
        between,
    )


def check_mask(image_shape: tuple[int, ...], mask_shape: tuple[int, ...], name: str) -> None:
    """Check that a mask fits its image.

    Args:
        image_shape: (H, W) or (H, W, 3) of the decoded image.
        mask_shape: (H, W) of the decoded mask.
        name: what error messages call the mask.

    Raises:
        DataError: other height or width.
    """
    height, width = image_shape[:2]
    if tuple(mask_shape[:2]) == (height, width):
        return
    hint = ""
    if tuple(mask_shape[:2]) == (width, height):
        hint = " (turned by 90 degrees: the image's EXIF orientation was applied, rotate the mask)"
    raise DataError(
        f"{name}: the mask has {mask_shape[1]}×{mask_shape[0]} pixels, its image {width}×{height}"
        f"{hint}; resize the mask with nearest neighbour, or put the right file there"
    )


def in_parallel(
    function: Callable[[T], R], items: Iterable[T], workers: int | None = None
) -> Iterator[R]:
    """Map a function over items in threads, in order; at most two results per worker wait for the
    reader.

    Decoding releases Python's lock, so threads use all cores; the bound keeps a data set of any
    size from piling up in memory. An exception of ``function`` is raised at its item's turn.

    Args:
        function: called once per item.
        items: read lazily.
        workers: number of threads; by default one per core, 16 at most.

    Yields:
        ``function(item)`` for each item, in the order of the items.

    >>> list(in_parallel(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    workers = workers or min(cores(), 16)
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # after an error, or when the reader stops early
            for future in waiting:
                future.cancel()


def raw_pixels(data: bytes, name: str, alpha: bool = False) -> Array:
    """Read the values in a file: uint8 (H, W, 3), or (H, W, 4) with ``alpha`` where the file has
    one; uint16 or floating point (H, W) or (H, W, 3) as they stand in the file. Raises DataError.
    """
    if not data:
        raise DataError(f"{name}: an empty file; copy it again")
    if data.startswith(b"version https://git-lfs"):
        raise DataError(f"{name}: a Git LFS pointer instead of an image; run 'git lfs pull'")
    try:
        return _pillow(data, name, alpha)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{name}: {error}; make the image smaller") from None
    except Exception as error:  # decoders raise nearly anything on damaged data
        if data.startswith(_TIFF):
            return _tifffile(data, name)
        if isinstance(error, UnidentifiedImageError):
            found = f"not an image that can be read (it begins with {data[:8]!r})"
        else:
            found = f"truncated or damaged ({error})"
        raise DataError(f"{name}: {found}; copy it again, or remove it") from error


def _pillow(data: bytes, name: str, alpha: bool) -> Array:
    with Image.open(io.BytesIO(data)) as file:
        file.load()
        kind = file.format
        image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        # those two formats have at most 16 bits; some versions of Pillow widen them to "I"
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I":
        raise DataError(f"{name}: 32-bit or signed integers; save it with 8 or 16 bits, unsigned")
    if image.mode == "F":
        return np.asarray(image)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")  # first, or Pillow warns about palettes
        if alpha:
            return np.asarray(image)
    return np.asarray(image.convert("RGB"))


def _tifffile(data: bytes, name: str) -> Array:
    """Read TIFF files beyond Pillow: floating-point colour, half and double precision, BigTIFF."""
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            raw: Array = page.asarray()
            orientation = int(page.tags.valueof(274, default=1))
    except Exception as error:  # as above
        raise DataError(f"{name}: a TIFF file that cannot be read ({error}); save it as PNG") from (
            error
        )
    if raw.ndim == 3 and raw.shape[2] in (2, 4):
        raw = raw[..., : raw.shape[2] - 1]  # alpha
    if raw.ndim == 3 and raw.shape[2] == 1:
        raw = raw[..., 0]
    shaped = raw.ndim == 2 or (raw.ndim == 3 and raw.shape[2] == 3)
    if not shaped or not (raw.dtype in (np.uint8, np.uint16) or raw.dtype.kind == "f"):
        raise DataError(
            f"{name}: a TIFF file of shape {raw.shape} and type {raw.dtype}; save it as grey or "
            "RGB with 8 or 16 bits"
        )
    if orientation != 1:
        raise DataError(f"{name}: a rotated TIFF file of type {raw.dtype}; save it upright")
    return raw
