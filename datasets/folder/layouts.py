"""Recognition of a category by the folders in it: splits, good images or masks."""

from __future__ import annotations

from pathlib import Path

from .._files import image_files, subfolders
from .names import Meaning, meaning
from .reading import SAYS_NOTHING


def holds_category(folder: Path, depth: int = 2) -> bool:
    """Tell whether the folders in a folder are those of one category.

    Folders of images are looked into where folders of masks stand beside them, or further up.
    """
    below = subfolders(folder)
    if any(_is_part(path, below) for path in below):
        return True
    masks = any("mask" in meaning(path.name).kinds for path in below)
    wrappers = [p for p in below if meaning(p.name) == Meaning(frozenset({"image"}), False)]
    # a folder images/ with train and test in it is a category of that name, unless masks/ or another
    # folder of images is around it
    return depth > 0 and any(
        holds_category(path, depth - 1) and (masks or depth == 1 or not _is_direct(path))
        for path in wrappers
    )


def _is_part(path: Path, siblings: list[Path]) -> bool:
    """Tell whether a folder is a split, or the good images, of the category around it; a category
    that happens to be called regular or test is not."""
    says = meaning(path.name)
    if not (says.only("train", "test", "good", *SAYS_NOTHING) and says.kinds - set(SAYS_NOTHING)):
        return False
    kinds = [meaning(p.name).one_of("train", "test") for p in subfolders(path)]
    if "train" in kinds and "test" in kinds:
        return False
    alike = [p for p in siblings if image_files(p) and not meaning(p.name).kinds & {"mask"}]
    return says.kinds != {"good"} or not all(_is_direct(p) for p in alike)


def _is_direct(folder: Path) -> bool:
    """Tell whether a folder in this folder is called train, test or good."""
    return any(
        meaning(p.name).only("train", "test", "good", *SAYS_NOTHING)
        and meaning(p.name).one_of("train", "test", "good")
        for p in subfolders(folder)
    )
