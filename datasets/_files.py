"""What data sets made of folders share: listing, names that can be trusted, masks by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from benchmark import Category, Sample
from benchmark.data.images import EXTENSIONS, FileSource
from benchmark.errors import DataError
from benchmark.texts import shown_name

PHOTOGRAPHS = frozenset(
    (".heic", ".heif", ".avif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf")
    + (".rw2", ".exr", ".psd", ".dcm")
)
"""Endings, in lower case, of pictures in formats that are not read."""


def subfolders(folder: Path) -> list[Path]:
    """List the folders in a folder, sorted by name, links followed, hidden ones left out."""
    return [path for path in _entries(folder) if path.is_dir()]


def pictures(folder: Path) -> list[Path]:
    """List the image files directly in a folder, sorted by name; hidden and other files left out.

    A link to a file that is gone is listed: reading it then says so.
    """
    return [
        path for path in _entries(folder) if path.suffix.lower() in EXTENSIONS and not path.is_dir()
    ]


def image_files(folder: Path, endings: Collection[str] = EXTENSIONS) -> list[str]:
    """List the paths of all image files below a folder, hidden ones included, links followed; with
    forward slashes, sorted. Raises DataError when a folder cannot be listed.

    Args:
        folder: where to look.
        endings: in lower case, of the files that are listed; of all of them where it is empty.
    """
    found: list[str] = []
    todo = [(folder, "", frozenset([folder.resolve()]))]
    while todo:
        here, prefix, above = todo.pop()
        try:
            entries = list(here.iterdir())
        except OSError as error:
            raise _unlisted(here, error) from None
        for path in entries:
            if path.is_dir():
                real = path.resolve()
                if real not in above:  # a link to a folder around it would never end
                    todo.append((path, f"{prefix}{path.name}/", above | {real}))
            elif not endings or path.suffix.lower() in endings:
                found.append(prefix + path.name)
    return sorted(found)


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise _unlisted(folder, error) from None


def _unlisted(folder: Path, error: OSError) -> DataError:
    return DataError(f"{folder}: cannot be listed ({error.strerror}); check that you may read it")


def usable_name(name: str) -> str:
    """Return the name, when it can serve as a category and so as part of a file's name.

    >>> usable_name("metal nut")
    'metal nut'

    Raises:
        DataError: ``..``, a path, control characters, hidden, or more than 100 bytes.
    """
    bad = not name or name.startswith(".") or "/" in name or "\\" in name
    # isprintable also refuses the surrogates that stand for bytes that are not valid UTF-8
    if bad or not name.isprintable() or len(name.encode()) > 100:
        raise DataError(
            f"category {name!r}: not a usable name; it must be the plain name of a folder, without "
            "slashes, control characters or a leading dot, 100 bytes at most"
        )
    return name


def sample(root: Path, path: Path, defect: str = "good", mask: Path | None = None) -> Sample:
    """Make a sample of one file: its id is the path below ``root``, with forward slashes, as a
    text."""
    return Sample(
        id=shown_name(path.relative_to(root).as_posix()),
        image=FileSource(path),
        label=int(defect != "good"),
        defect=shown_name(defect),
        mask=FileSource(mask) if mask else None,
    )


def require_images(name: str, category: Category, train: Path, test: Path) -> None:
    """Raises DataError when a category has nothing to train on or nothing to test."""
    for samples, folder in ((category.train, train), (category.test, test)):
        if not samples:
            state = "has no images" if folder.is_dir() else "does not exist"
            raise DataError(
                f"category {name!r} is empty: {folder} {state} (looked for "
                f"{', '.join(sorted(EXTENSIONS))}); put the images there, or remove the category"
            )


def lacking(lines: Iterable[str], limit: int = 3) -> str:
    """Write the first few lines, and how many more there are."""
    lines = list(lines)
    more = f"\n  … and {len(lines) - limit} more" if len(lines) > limit else ""
    return "".join(f"\n  {line}" for line in lines[:limit]) + more
