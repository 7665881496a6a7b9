"""Fitted detectors that a run kept, beside their records.

Two files: the state as safetensors, and a JSON with all that is needed to use it (settings, geometry,
weights, thresholds, versions). The record cites both with their SHA-256; the JSON cites the state.
The two may be copied anywhere together, without the record.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.data.geometry import Geometry
from benchmark.detector.state import State
from benchmark.errors import StoreError
from benchmark.places import expanded
from benchmark.records import files, store
from benchmark.records.names import backbone_precision, readable_names

FORMAT = 1
DETECTOR, STATE = store.KEPT
HOW = "detectors are kept by: bench run --keep"


@dataclass(frozen=True)
class Kept:
    """A kept detector: its JSON, read, and where it lies.

    Attributes:
        path: the JSON file; of an exported detector the file that carries it.
        info: what the JSON holds, see :func:`benchmark.runner.keep.information`.
    """

    path: Path
    info: Mapping[str, Any]

    @property
    def key(self) -> Mapping[str, Any]:
        """The key of the record that it was kept with."""
        key: Mapping[str, Any] = self.info["key"]
        return key

    @property
    def geometry(self) -> Geometry:
        return Geometry.from_json(dict(self.key["geometry"]))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its input."""
        height, width = self.info["input"]
        return height, width

    @property
    def threshold(self) -> float | None:
        """Scores above it are defective; None where no normal images were held out."""
        value = self.info["threshold"]["image"]
        return None if value is None else float(value)

    @property
    def pixel_threshold(self) -> float | None:
        """Pixels of a map above it are outlined."""
        value = self.info["threshold"]["pixel"]
        return None if value is None else float(value)

    @property
    def name(self) -> str:
        """Readable: the method and the settings that differ from its defaults."""
        return readable_names([_named(self.info)])[0]

    @property
    def title(self) -> str:
        """Say which one it is, for messages."""
        return f"{self.name}, {self.key['category']}, seed {self.seed}"

    @property
    def record(self) -> Path:
        """Where its record lies, unless it was copied away from there."""
        stem = self.path.name.removesuffix(DETECTOR).rpartition(".")[0]
        return self.path.with_name(f"{stem}.json")

    @property
    def seed(self) -> int:
        """Of its record; a detector that draws nothing was fitted once for several."""
        found = re.search(r"-seed(\d+)$", self.record.stem)
        return int(found[1]) if found else int(self.key["seed"])

    def state(self) -> State:
        """Read what it has learned. Raises StoreError when the file is gone or another."""
        digest = self.info["state"]["sha256"]
        found = sorted(self.path.parent.glob(f"*.{digest[:16]}{STATE}"))
        if not found:
            raise StoreError(
                f"{self.path}: its state (*.{digest[:16]}{STATE}) does not lie beside it; copy the "
                "two files together"
            )
        if file_digest(found[0]) != digest:
            raise StoreError(
                f"{found[0]}: differs from what its detector cites; copy it again, or run again with "
                "--keep --force"
            )
        return State.load(found[0])


def write_state(cell: store.CellPath, state: State) -> dict[str, str]:
    """Write a fitted detector's state; returns its name and digest for the record."""
    temporary = cell.folder / f"{cell.stem}.{secrets.token_hex(4)}.part"
    try:
        state.save(temporary)
        digest = file_digest(temporary)
        name = f"{cell.stem}.{digest[:16]}{STATE}"
        temporary.replace(cell.folder / name)
    finally:
        temporary.unlink(missing_ok=True)
    return {"name": name, "sha256": digest}


def write_info(cell: store.CellPath, info: Mapping[str, Any]) -> dict[str, str]:
    """Write the JSON of a kept detector; returns its name and digest for the record."""
    data = as_bytes({"format": FORMAT, **info})
    digest = hashlib.sha256(data).hexdigest()
    name = f"{cell.stem}.{digest[:16]}{DETECTOR}"
    files.replace(cell.folder / name, data)
    return {"name": name, "sha256": digest}


def as_bytes(info: Mapping[str, Any]) -> bytes:
    """Write JSON as it lies in a file."""
    return (json.dumps(info, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def read(path: Path, digest: str | None = None) -> Kept:
    """Read the JSON of a kept detector.

    Args:
        path: the file.
        digest: its SHA-256 as a record cites it; None does not check.

    Raises:
        StoreError: no such file, another one than cited, or of another format.
    """
    try:
        data = path.read_bytes()
        info = json.loads(data)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read as a kept detector ({error}); {HOW}") from error
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        raise StoreError(
            f"{path}: differs from what its record cites; run again with --keep --force"
        )
    found = info.get("format") if isinstance(info, dict) else type(info).__name__
    if found != FORMAT:
        raise StoreError(f"{path}: is no kept detector of format {FORMAT} (found {found}); {HOW}")
    return Kept(path, info)


def find(
    named: str | Path,
    results: Iterable[str | Path],
    *,
    dataset: str | None = None,
    category: str | None = None,
    seed: int | None = None,
) -> Kept:
    """Find the one kept detector that is meant.

    Args:
        named: a record, the JSON of a kept detector, a folder that holds one somewhere, or a
            method or a readable name such as ``PatchCore (resnet18)``.
        results: folders in which a name is looked for.
        dataset, category, seed: of its record; None for any.

    Raises:
        StoreError: none, or several: lists them.
    """
    path = expanded(named)
    if path.is_file():
        return _of_file(path)
    if path.is_dir():
        where, found = str(path), list_kept([path])
    else:
        folders = [expanded(folder) for folder in results]
        where, found = f"{', '.join(map(str, folders))} of the name {str(named)!r}", []
        every = list_kept(folders)
        names = readable_names([_named(kept.info) for kept in every])
        for kept, name in zip(every, names, strict=True):
            if str(named) in (name, kept.key["method"], kept.info["config"]):
                found.append(kept)
    wanted = {"dataset": dataset, "category": category, "seed": seed}
    left = [
        kept
        for kept in found
        if all(w is None or {**kept.key, "seed": kept.seed}[n] == w for n, w in wanted.items())
    ]
    if len({kept.info["state"]["sha256"] for kept in left}) == 1:  # one fit for several seeds
        return left[0]
    if left:
        lines = "\n  ".join(_line(kept) for kept in left)
        raise StoreError(
            f"{len(left)} kept detectors in {where}; choose one with --category, --seed or "
            f"--dataset, or by its file:\n  {lines}"
        )
    told = "; there are:\n  " + "\n  ".join(map(_line, found)) if found else f"; {HOW}"
    asked = ", ".join(f"{n} {w}" for n, w in wanted.items() if w is not None)
    raise StoreError(f"no kept detector in {where}{f' with {asked}' if asked else ''}{told}")


def list_kept(folders: Sequence[Path]) -> list[Kept]:
    """Read all kept detectors below folders that their records still cite, by path."""
    out = []
    for folder in folders:
        for path in sorted(folder.rglob(f"*{DETECTOR}")):
            kept = read(path)
            try:
                record = store.read(kept.record)
            except StoreError:
                record = None
            cited = ((record or {}).get("files") or {}).get("detector")
            if cited is None or cited["name"] == path.name:  # else left over by a kill
                out.append(kept)
    return out


def file_digest(path: Path) -> str:
    """Hash a file's bytes: SHA-256, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_file(path: Path) -> Kept:
    if path.name.endswith(DETECTOR):
        return read(path)
    record = store.read(path) or {}
    cited = (record.get("files") or {}).get("detector")
    if not cited:
        raise StoreError(f"{path}: this record cites no kept detector; run it again with --keep")
    return read(path.with_name(cited["name"]), cited["sha256"])


def _line(kept: Kept) -> str:
    key = kept.key
    return (
        f"{kept.name}  {key['dataset']} {key['category']} seed {kept.seed} "
        f"({kept.info['protocol']})  {kept.path}"
    )


def _named(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what :func:`readable_names` asks for."""
    key, method = info["key"], info["method"]
    return {
        "method": key["method"],
        "config": info["config"],
        "title": method["title"],
        "defaults": method["defaults"],
        "settings": info["settings"],
        "random_weights": info["random_weights"],
        "precision": key["precision"],
        "backbone_precision": backbone_precision(key["weights"]),
    }
