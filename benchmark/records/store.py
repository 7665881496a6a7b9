"""One record per cell, raw scores beside it.

``<results>/<dataset>/<protocol>/<method>@<8 hex>/<category>-seed<k>.json`` is the record. Its score
files are written first, under names that hold their SHA-256, and the record, which cites these,
is renamed into place last: whatever exists is whole, and a kill never pairs an old record with new
scores.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from benchmark.errors import RecordWarning, StoreError
from benchmark.metrics.threshold import Normals
from benchmark.records import files
from benchmark.texts import path_component

Array = npt.NDArray[Any]
FORMAT = 1
KEPT = (".detector.json", ".detector.safetensors")
"""Endings of the files of a kept detector (:mod:`benchmark.records.kept`)."""
_KEY = {
    *("dataset", "source", "category", "method", "seed", "protocol", "geometry", "data"),
    *("settings", "version", "weights", "assets", "precision"),
}
"""Parts of a record's key that every reader wants."""
_NAME = re.compile(r"[^.].*-seed\d+\.json", re.DOTALL)
"""Names of records; a kept detector's JSON has another."""


def identity(parts: Mapping[str, Any]) -> str:
    """First 8 digits of the SHA-256 over settings, version, weights and assets."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class CellPath:
    """Place of one cell's files."""

    results: Path
    dataset: str
    protocol: str
    method: str
    identity: str
    category: str
    seed: int

    @property
    def folder(self) -> Path:
        return (
            self.results
            / path_component(self.dataset, "data set")
            / path_component(self.protocol, "protocol")
            / f"{path_component(self.method, 'method')}@{self.identity}"
        )

    @property
    def stem(self) -> str:
        return f"{path_component(self.category, 'category')}-seed{self.seed}"

    @property
    def record(self) -> Path:
        return self.folder / f"{self.stem}.json"

    def checkpoint(self, data: str | None) -> Path:
        """Unfinished work of this cell on the data with this fingerprint."""
        return self.folder / f"{self.stem}.{data}.checkpoint"

    def sweep(self, keep: Sequence[str] = ()) -> None:
        """Delete files that no record cites: leftovers of kills and of redone cells.

        Call it with the category's claim held.
        """
        stem = _escaped(self.stem)
        for path in [*self.folder.glob(f"{stem}.*"), *self.folder.glob(f".{stem}.*.part")]:
            ours = path.name.endswith((".npz", ".maps.npy", ".part", *KEPT))
            if ours and path.name not in keep:
                path.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any] | None:
    """Read a record; None when there is none.

    Raises:
        StoreError: the file is no record of a format known here.
    """
    try:
        data = path.read_bytes()
        if not data.strip(b"\0 \n"):
            raise ValueError("an empty file, as a power cut may leave")
        record = json.loads(data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: not readable as a record ({error}); move it away") from error
    try:
        check(record)
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from None
    return dict(record)


def check(record: Any) -> None:
    """Check that something read is a record. Raises StoreError when it is not."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise StoreError(
            f"is no record of format {FORMAT} (found "
            f"{record.get('format') if isinstance(record, dict) else type(record).__name__})"
        )
    key = record.get("key")
    if "status" not in record or not isinstance(key, dict) or not key.keys() >= _KEY:
        raise StoreError("is no record of a cell (its status or its key is not whole)")
    if record["status"] == "ok" and not isinstance(record.get("metrics"), dict):
        raise StoreError("is the record of a finished cell without its metrics")


def place(dataset: str, protocol: str, config: str, name: str) -> PurePosixPath:
    """Return the place of a record among results.

    Args:
        dataset, protocol, config, name: folders and file.

    Raises:
        StoreError: these are not the folders and the file of a record.
    """
    parts = (dataset, protocol, config, name)
    # a path of someone else's making must not lead out of the results
    if any("/" in p or p.startswith(".") or not p for p in parts) or not _NAME.fullmatch(name):
        raise StoreError(f"{'/'.join(parts)} is no record's path")
    return PurePosixPath(*parts)


def read_all(results: Path) -> Iterator[dict[str, Any]]:
    """Read every record below a results folder, by path; each gets its ``path``.

    Hidden files and folders are no records. Any other file with a record's name that is none is left
    out, with a :class:`benchmark.errors.RecordWarning` that names it.
    """
    for path in sorted(_below(str(results)), key=lambda path: path.split(os.sep)):
        try:
            record = read(Path(path))
        except StoreError as error:
            warnings.warn(f"left out: {error}", RecordWarning, stacklevel=2)
            continue
        if record is not None:
            record["path"] = path
            yield record


def _below(folder: str) -> Iterator[str]:
    """List the files with a record's name; many of them are listed faster as plain text."""
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if _NAME.fullmatch(name):
                yield os.path.join(top, name)


def read_folder(folder: Path, category: str) -> Iterator[dict[str, Any]]:
    """Read the readable records of one category in a configuration's folder, by path."""
    for path in sorted(folder.glob(f"{_escaped(path_component(category, 'category'))}-seed*.json")):
        try:
            record = read(path)
        except StoreError:  # whoever needs that record says so
            continue
        if record is not None:
            yield record


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write beside and rename: the record is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, _text(record))


def digest(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record's file, as :func:`write` writes it."""
    return hashlib.sha256(_text(record)).hexdigest()


def _text(record: Mapping[str, Any]) -> bytes:
    text = json.dumps({"format": FORMAT, **record}, indent=2, sort_keys=True, allow_nan=False)
    return (text + "\n").encode()


def differing(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Say which parts of two keys differ, in words.

    >>> differing({"data": "a", "k": {"n": 1}}, {"data": "b", "k": {"n": 1}})
    ["data: 'a' there, 'b' now"]
    """
    out = []
    for name in sorted(old.keys() | new.keys()):
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            out += differing(a, b, f"{prefix}{name}.")
        elif a != b:
            out.append(f"{prefix}{name}: {a!r} there, {b!r} now")
    return out


@dataclass(frozen=True)
class Scores:
    """The stored outcome of a cell's prediction.

    Attributes:
        ids, keys, labels, defects: one per test image.
        scores: float64 (N,).
        held_out: float64 (M,) scores of the held-out normal images.
        held_out_keys: their content hashes.
        mask_keys: content hash of every test image's mask, ``-`` where it has none; None in files
            from before they were kept.
        groups: per test image its group (a clip, a part); empty where images are independent.
        unlabelled_ids, unlabelled: ids and float64 (K,) scores of the test images whose labels the
            publisher keeps.
        held_out_pixels: what is kept of the held-out normals' pixel scores (on the pixels that are
            measured): the upper 5 %, count, mean and deviation; None without maps, and in files
            from before they were kept.
        parts, held_out_parts: float64 (N,) and (M,) by name, the further scores of the test and of
            the held-out images that the method gave; empty where it gave none.
    """

    ids: Sequence[str]
    keys: Sequence[str]
    labels: Array
    defects: Sequence[str]
    scores: Array
    held_out: Array
    held_out_keys: Sequence[str]
    mask_keys: Sequence[str] | None = None
    groups: Sequence[str] = ()
    unlabelled_ids: Sequence[str] = ()
    unlabelled: Array = field(default_factory=lambda: np.empty(0))
    parts: Mapping[str, Array] = field(default_factory=dict)
    held_out_parts: Mapping[str, Array] = field(default_factory=dict)
    held_out_pixels: Normals | None = None

    @property
    def units(self) -> list[str]:
        """Per test image what a bootstrap draws: its group, or its id where it has none."""
        groups = self.groups or [""] * len(self.ids)
        return [group or name for group, name in zip(groups, self.ids, strict=True)]

    def write(self, cell: CellPath) -> dict[str, str]:
        """Write the score file; returns its name and SHA-256 for the record."""
        return self.write_beside(cell.record)

    def write_beside(self, record: Path) -> dict[str, str]:
        """As :meth:`write`, beside the record at this path."""
        buffer = io.BytesIO()
        further: dict[str, Any] = {}
        if self.mask_keys is not None:
            further["mask_keys"] = np.array(self.mask_keys, str)
        if self.groups:
            further["groups"] = np.array(self.groups, str)
        if self.unlabelled_ids:
            further["unlabelled_ids"] = np.array(self.unlabelled_ids, str)
            further["unlabelled"] = self.unlabelled.astype(np.float64)
        if (pixels := self.held_out_pixels) is not None:
            further["held_out_pixels_top"] = pixels.top
            kept = [pixels.count, pixels.mean, pixels.sd]
            further["held_out_pixels"] = np.array(kept, np.float64)
        if self.parts:
            further["part_names"] = np.array(list(self.parts), str)
            for name, values in (("parts", self.parts), ("held_out_parts", self.held_out_parts)):
                further[name] = np.array([values[part] for part in self.parts], np.float64)
        np.savez(
            buffer,
            ids=np.array(self.ids, str),
            keys=np.array(self.keys, str),
            labels=self.labels.astype(np.int8),
            defects=np.array(self.defects, str),
            scores=self.scores.astype(np.float64),
            held_out=self.held_out.astype(np.float64),
            held_out_keys=np.array(self.held_out_keys, str),
            **further,
        )
        data = buffer.getvalue()
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"{record.stem}.{sha256[:16]}.npz"
        files.replace(record.with_name(name), data)
        return {"name": name, "sha256": sha256}

    @classmethod
    def read(cls, folder: Path, cited: Mapping[str, str]) -> Self:
        """Read a score file that a record cites; its SHA-256 is checked."""
        path = folder / cited["name"]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path}: the record's scores cannot be read ({error})") from error
        if hashlib.sha256(data).hexdigest() != cited["sha256"]:
            raise StoreError(f"{path}: differs from what its record cites; redo it with --force")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            parts = file["part_names"].tolist() if "part_names" in file.files else []
            return cls(
                file["ids"].tolist(),
                file["keys"].tolist(),
                file["labels"],
                file["defects"].tolist(),
                file["scores"],
                file["held_out"],
                file["held_out_keys"].tolist(),
                file["mask_keys"].tolist() if "mask_keys" in file.files else None,
                file["groups"].tolist() if "groups" in file.files else (),
                file["unlabelled_ids"].tolist() if "unlabelled" in file.files else (),
                file["unlabelled"] if "unlabelled" in file.files else np.empty(0),
                dict(zip(parts, file["parts"], strict=True)) if parts else {},
                dict(zip(parts, file["held_out_parts"], strict=True)) if parts else {},
                _pixels(file) if "held_out_pixels" in file.files else None,
            )


def _pixels(file: Mapping[str, Array]) -> Normals:
    count, mean, sd = file["held_out_pixels"].tolist()
    return Normals(file["held_out_pixels_top"], int(count), mean, sd)


class MapWriter:
    """Writes anomaly maps batch by batch as one ``.npy`` (float32, N × H × W), hashing as it goes.

    Plain appends rather than a memory map: on a full disk an append raises an error, a write into a
    mapped page kills the process.
    """

    def __init__(self, cell: CellPath, shape: tuple[int, int, int]) -> None:
        self._cell = cell
        self._hasher = hashlib.sha256()
        self._path = cell.folder / f"{cell.stem}.{secrets.token_hex(4)}.part"
        self._file = self._path.open("wb")
        header = io.BytesIO()
        description = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, description)
        self._append(header.getvalue())

    def close(self) -> None:
        """Give up the file; after :meth:`finish` there is nothing left to give up."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def add(self, maps: Array) -> None:
        """Append maps (B, H, W)."""
        self._append(np.ascontiguousarray(maps, "<f4").data)

    def finish(self) -> dict[str, str]:
        """Rename to the final name; returns name and SHA-256 for the record."""
        files.sync(self._file)
        sha256 = self._hasher.hexdigest()
        name = f"{self._cell.stem}.{sha256[:16]}.maps.npy"
        self._path.replace(self._cell.folder / name)
        return {"name": name, "sha256": sha256}

    def _append(self, data: bytes | memoryview) -> None:
        self._hasher.update(data)
        self._file.write(data)


def read_maps(folder: Path, cited: Mapping[str, str]) -> Array:
    """Maps float32 (N, H, W), memory-mapped."""
    path = folder / cited["name"]
    try:
        maps: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: the record's maps cannot be read ({error})") from error
    return maps


def _escaped(text: str) -> str:
    import glob

    return glob.escape(text)
