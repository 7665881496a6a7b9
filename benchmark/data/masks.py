"""Ground truth beyond one binary file per image: class ids, and several files whose union counts.

A mask source may also know its defects one by one: then it has ``regions()``, a sequence of
:class:`AnnotatedDefect`, for metrics that saturate; every other metric reads ``mask()``, the union.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from benchmark.data.images import FileSource
from benchmark.errors import DataError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class AnnotatedDefect:
    """One annotated defect.

    Attributes:
        mask: bool (H, W), not empty.
        saturation: overlap in pixels, at least 1, that counts as having found all of it.
        defect: its kind, as the data set calls it.
    """

    mask: Array
    saturation: int
    defect: str

    def seen(self, bring: Callable[[Array], Array]) -> AnnotatedDefect | None:
        """Return the defect on the pixels that are measured; None where nothing of it is left.

        Args:
            bring: brings a mask to those pixels. The saturation keeps its share of the area.
        """
        mask = bring(self.mask)
        left, all_of_it = int(mask.sum()), int(self.mask.sum())
        if not left:
            return None
        return AnnotatedDefect(mask, max(1, self.saturation * left // all_of_it), self.defect)


@dataclass(frozen=True)
class Saturation:
    """The area of a defect of one kind that must be found.

    Attributes:
        defect: the kind.
        threshold: a number of pixels, or a fraction of the defect's area.
        relative: whether it is a fraction.
    """

    defect: str
    threshold: float
    relative: bool

    def area(self, pixels: int) -> int:
        """Return the number of pixels that must be found of a defect with so many.

        >>> Saturation("dent", 0.5, True).area(9), Saturation("missing", 100, False).area(9)
        (4, 9)
        """
        wanted = int(self.threshold * pixels) if self.relative else int(self.threshold)
        return max(1, min(wanted, pixels))


class PositiveMask(FileSource):
    """A mask in a file whose values are 0 and any others, such as ids of defect classes.

    Every value above 0 is defective; of a palette file its indices count, not their colours.
    """

    def mask(self) -> Array:
        """Read the mask, bool (H, W). Raises DataError when it cannot be read."""
        marked: Array = values_of(self.content(), self.name()) > 0
        return marked


class DefectMask(PositiveMask):
    """A defective image's mask in a published data set: one that marks nothing is an error."""

    def mask(self) -> Array:
        """bool (H, W). Raises DataError when it cannot be read or marks nothing."""
        marked = super().mask()
        if not marked.any():
            raise DataError(
                f"{self.path}: no pixel is marked as defective, but its image counts as defective; "
                "get the file again, or remove the image"
            )
        return marked


@dataclass(frozen=True)
class RegionMasks:
    """A mask of several files, one per defect; each holds 0 and the value of its kind.

    Attributes:
        paths: the files, at least one.
        kinds: by value, how defects of a kind saturate.
    """

    paths: Sequence[Path]
    kinds: Mapping[int, Saturation]

    def name(self) -> str:
        """Return the folder, or the only file."""
        return str(self.paths[0] if len(self.paths) == 1 else self.paths[0].parent)

    def content(self) -> bytes:
        """Join all files' bytes and what the values mean. Raises DataError when unreadable."""
        parts = [FileSource(path).content() for path in self.paths]
        meaning = repr(sorted((value, repr(kind)) for value, kind in self.kinds.items())).encode()
        return b"".join(struct.pack("<q", len(part)) + part for part in (*parts, meaning))

    def pixels(self) -> Array:
        """Draw the union of all masks, uint8 (H, W, 3), white where defective."""
        return np.repeat(self.mask()[..., None] * np.uint8(255), 3, axis=2)

    def mask(self) -> Array:
        """Unite what the files mark, bool (H, W). Raises DataError, as :meth:`regions` does."""
        union: Array = np.logical_or.reduce([region.mask for region in self.regions()])
        return union

    def regions(self) -> list[AnnotatedDefect]:
        """Read the defects, in the order of the files.

        Raises:
            DataError: unreadable, of different sizes, or a value that ``kinds`` does not know.
        """
        out: list[AnnotatedDefect] = []
        for path in self.paths:
            values = values_of(FileSource(path).content(), str(path))
            found = [int(value) for value in np.unique(values) if value]
            if not found:
                raise DataError(f"{path}: no pixel is marked as defective; get the file again")
            if len(found) > 1 or found[0] not in self.kinds:
                raise DataError(
                    f"{path}: a mask with the values {', '.join(map(str, found[:6]))}; expected is "
                    f"one of {', '.join(map(str, sorted(self.kinds)))}, the kinds of defects; get "
                    "the file again"
                )
            marked: Array = values > 0
            if out and marked.shape != out[0].mask.shape:
                raise DataError(
                    f"{path}: {marked.shape[1]}×{marked.shape[0]} pixels, {self.paths[0].name} has "
                    f"{out[0].mask.shape[1]}×{out[0].mask.shape[0]}; get the files again"
                )
            kind = self.kinds[found[0]]
            out.append(AnnotatedDefect(marked, kind.area(int(marked.sum())), kind.defect))
        return out


def values_of(data: bytes, name: str) -> Array:
    """Read the values (H, W) in an image file: grey levels, palette indices, or a colour's highest
    channel; an alpha channel is left out.

    Args:
        data: the file's bytes.
        name: what error messages call it.

    Raises:
        DataError: not an image, or damaged.
    """
    try:
        with Image.open(io.BytesIO(data)) as file:
            alpha = file.mode in ("LA", "PA", "RGBA")
            values = np.asarray(file)
    except Exception as error:  # decoders raise nearly anything on damaged data
        found = "not an image" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(f"{name}: cannot be read as a mask ({found}); copy it again") from error
    if alpha:
        values = values[..., :-1]
    return values.max(axis=2) if values.ndim == 3 else values
