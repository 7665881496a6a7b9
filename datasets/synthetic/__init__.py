"""A data set that the program draws itself: three textures and three objects with known defects.

It needs no download, so that a first run, the tests and a demonstration work anywhere. Good images
vary in position, rotation, texture, light and noise; defects range from plain to faint, so that
methods differ. It says how methods behave on easy inspection scenes and replaces no real data. With a
pre-trained backbone no category leaves a method of the demonstration at chance, and none is solved by
all of them (``make demo``).

Every image is drawn from its name alone (category, split, defect, number), so that none depends on
another one or on the order; the pixels are the same on every machine.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmark import Category, Dataset, Sample
from benchmark.data.dataset import ArraySource
from benchmark.errors import DataError, unknown
from benchmark.places import expanded

from .drawing import SIDE, Dice, expose
from .objects import BOARD, TABLET, WASHER, board, tablet, washer
from .textures import FABRIC, PLANK, STONE, fabric, plank, stone

Array = npt.NDArray[Any]
Painter = Callable[[Dice, str], tuple[Array, Array]]

VERSION = 1
"""To be raised with any change of the pixels, or an old cache would be taken for the new ones."""

TRAIN, GOOD, PER_DEFECT = 40, 12, 6

_SCENES: Mapping[str, tuple[Painter, Sequence[str]]] = {
    "fabric": (fabric, FABRIC),
    "plank": (plank, PLANK),
    "stone": (stone, STONE),
    "board": (board, BOARD),
    "tablet": (tablet, TABLET),
    "washer": (washer, WASHER),
}


class Synthetic(Dataset):
    """Drawn here: six categories of 128×128 pixels: 40 good images to train on, 12 good and 24 defective ones
    to test, four kinds of defect each.

    Drawing a category takes a second or two; the result is kept in the user's cache folder
    (``XDG_CACHE_HOME``, else ``~/.cache``) and in memory. A cache that cannot be read or written
    costs time, nothing else.
    """

    title = "Synthetic"
    licence = "as this program"
    citation = "drawn by this program"
    origin = f"drawn by this program (generator {VERSION}); nothing to download"
    size = SIDE
    needs_root = False
    groups: ClassVar[Mapping[str, Sequence[str]]] = {
        "Textures": ("fabric", "plank", "stone"),
        "Objects": ("board", "tablet", "washer"),
    }
    official: Mapping[str, Mapping[str, int]] = {
        name: {"train": TRAIN, "good": GOOD, "defective": PER_DEFECT * len(defects)}
        for name, (_, defects) in _SCENES.items()
    }

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self._drawn: dict[str, Category] = {}

    def categories(self) -> list[str]:
        """Return all six, textures first."""
        return list(_SCENES)

    def category(self, name: str) -> Category:
        """Return the samples of one category, drawn or from the cache.

        Raises:
            DataError: unknown category.
        """
        if name not in _SCENES:
            raise DataError(unknown("category", name, _SCENES))
        if name not in self._drawn:
            images, masks = _cached(name)
            samples = [
                _sample(name, id_, defect, image, mask)
                for (id_, defect), image, mask in zip(_plan(name), images, masks, strict=True)
            ]
            self._drawn[name] = Category(name, samples[:TRAIN], samples[TRAIN:])
        return self._drawn[name]


def draw(category: str, id_: str, defect: str) -> tuple[Array, Array]:
    """Draw one image.

    Args:
        category: one of the six.
        id_: the sample's id, which seeds it.
        defect: ``good`` or a defect of the category.

    Returns:
        uint8 RGB (SIDE, SIDE, 3) and the mask, bool (SIDE, SIDE).
    """
    dice = Dice(f"synthetic {VERSION} {category} {id_}")
    image, mask = _SCENES[category][0](dice, defect)
    return expose(dice, image), mask


def _plan(category: str) -> list[tuple[str, str]]:
    """Id and defect of every image of a category, training images first."""
    plan = [(f"train/good/{i:03}", "good") for i in range(TRAIN)]
    plan += [(f"test/good/{i:03}", "good") for i in range(GOOD)]
    for defect in _SCENES[category][1]:
        plan += [(f"test/{defect}/{i:03}", defect) for i in range(PER_DEFECT)]
    return plan


def _sample(category: str, id_: str, defect: str, image: Array, mask: Array) -> Sample:
    title = f"synthetic {category} {id_}"
    truth = None if defect == "good" else ArraySource(mask, f"{title} mask")
    return Sample(id_, ArraySource(image, title), int(defect != "good"), defect, truth)


def _cached(name: str) -> tuple[Array, Array]:
    """uint8 (N, SIDE, SIDE, 3) images and bool (N, SIDE, SIDE) masks of a category, in the order
    of the plan, from the cache if it has them, else drawn and put there."""
    file = _cache_folder() / f"{name}.npz"
    shape = (len(_plan(name)), SIDE, SIDE)
    held = _load(file)
    if held and held[0].shape == (*shape, 3) and held[1].shape == shape:
        return held
    pairs = [draw(name, id_, defect) for id_, defect in _plan(name)]
    images, masks = np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs])
    _save(file, images, masks)
    return images, masks


def _cache_folder() -> Path:
    return (
        expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
        / "iad-bench"
        / f"synthetic-{VERSION}"
    )


def _load(file: Path) -> tuple[Array, Array] | None:
    """Load the arrays of a cache file; None when there is none or it is damaged in any way."""
    try:
        with np.load(file, allow_pickle=False) as held:
            return held["images"].astype(np.uint8), held["masks"].astype(bool)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _save(file: Path, images: Array, masks: Array) -> None:
    """Written beside and renamed, so that other processes see all of it or nothing. A disk that is
    full or read-only is no error: the arrays are in memory anyway."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as part:
            try:
                np.savez_compressed(part, images=images, masks=masks)
                part.close()
                os.replace(part.name, file)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
