"""``bench merge``: the records of several machines and people in one folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from benchmark.errors import StoreError
from benchmark.places import expanded
from benchmark.records import claims, files, store
from benchmark.records.exchange import read_results, relative

TOLERANCE = 1e-9
"""Numbers that differ by less are equal."""


@dataclass
class Merged:
    """What a merge did.

    Attributes:
        copied: records that are new in the folder.
        known: records that it had, or had been given, with the same numbers.
        conflicts: a sentence per cell of which the sources hold different results; none of them was
            taken.
    """

    copied: int = 0
    known: int = 0
    conflicts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Version:
    """A record, the path it was read from, and the folder of its files (None: an exported one)."""

    record: dict[str, Any]
    path: Path
    folder: Path | None


def merge(sources: str | Path | Iterable[str | Path], into: str | Path) -> Merged:
    """Copy the records of several results into one folder, with the files they cite.

    Of records of one cell with equal keys and numbers the first is taken, of a failed and a finished
    one the finished. Where keys or numbers differ none is taken, and what the folder holds stays.

    Args:
        sources: folders of records or exported files, one or several.
        into: a folder, new or with records.

    Raises:
        StoreError: no such source, a run works on the same category there, or it cannot be written.
    """
    if isinstance(sources, str | Path):
        sources = [sources]
    target = expanded(into)
    given: dict[PurePosixPath, list[_Version]] = {}
    for source in map(expanded, sources):
        for record in read_results(source):
            place, path = relative(record), Path(record.pop("path"))
            folder = path.parent if source.is_dir() else None
            given.setdefault(place, []).append(_Version(record, path, folder))
    files.check_writable(target)
    merged = Merged()
    for place, versions in given.items():
        path = claims.place(target / place.parts[0] / place.parts[1], _category(versions))
        path.parent.mkdir(parents=True, exist_ok=True)
        with claims.claimed(path) as claim:
            if claim is None:
                raise StoreError(
                    f"{target / place}: {claims.Owner.read(path)} works on this category; merge "
                    "again when that has ended"
                )
            _merge_one(target / place, versions, merged)
    return merged


def _lacks_files(version: _Version) -> bool:
    """Tell whether a version cites a file that is not beside it."""
    cited = [file["name"] for file in (version.record.get("files") or {}).values() if file]
    there = version.folder
    return bool(cited) and (there is None or not all((there / name).is_file() for name in cited))


def _category(versions: Sequence[_Version]) -> str:
    return str(versions[0].record["key"]["category"])


def _merge_one(target: Path, given: Sequence[_Version], merged: Merged) -> None:
    """Put one cell's record into its place, unless its versions differ."""
    existing = store.read(target)
    versions = [_Version(existing, target, target.parent)] if existing else []
    versions += given
    finished = [v for v in versions if v.record["status"] == "ok"]
    finished.sort(key=_lacks_files)  # what one version's folder has not, another's may have
    first, *others = finished or versions
    found = []
    for other in others if finished else ():
        if parts := _unequal(first.record, other.record):
            found.append(f"{first.path} and {other.path} differ ({'; '.join(parts)})")
    if found:
        merged.conflicts += found
        return
    merged.known += len(versions) - 1
    if first.path == target:
        return
    merged.copied += 1
    if first.folder is not None:
        _copy_files(first, first.folder, target.parent)
    store.write(target, first.record)


def _unequal(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Say in which parts of their keys, or in which numbers, two records differ."""
    if parts := store.differing(first["key"], other["key"]):
        return parts
    one, two = first["metrics"], other["metrics"]
    names = [n for n in {**one, **two} if not _same(one.get(n), two.get(n))]
    return store.differing({n: one.get(n) for n in names}, {n: two.get(n) for n in names})


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= TOLERANCE
    return bool(a == b)


def _copy_files(version: _Version, source: Path, target: Path) -> None:
    """Bring the files that a record cites, as far as they were kept."""
    target.mkdir(parents=True, exist_ok=True)
    for file in (version.record.get("files") or {}).values():
        if not file:
            continue
        if Path(file["name"]).name != file["name"]:  # it would lead out of the folder
            raise StoreError(f"{version.path}: cites {file['name']!r}, which is no file's name")
        if (source / file["name"]).is_file():
            files.link(source / file["name"], target / file["name"])
