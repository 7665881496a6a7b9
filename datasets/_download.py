"""Fetches an archive: resumed where it stopped, checked against its SHA-256, unpacked as a whole."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import urllib.request
import zipfile
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from benchmark.errors import DataError

CHUNK = 1 << 20
TIMEOUT = 60
"""Seconds without a byte after which the connection counts as lost."""


@dataclass(frozen=True)
class Archive:
    """A published archive whose terms allow that a program fetches it.

    Attributes:
        url: its permanent address.
        file: its name on disk; the ending says how it is packed.
        sha256: of its bytes.
    """

    url: str
    file: str
    sha256: str


def fetch(archive: Archive, folder: Path) -> Path:
    """Download into ``FILE.part`` in a folder, from where an earlier try stopped.

    Returns:
        The whole archive, under its name.

    Raises:
        DataError: no connection, or other bytes than the published ones.
    """
    target, part = folder / archive.file, folder / f"{archive.file}.part"
    if not target.is_file():
        print(f"  fetching {archive.url}", flush=True)
        try:
            _receive(archive.url, part)
        except (OSError, HTTPException) as error:
            raise DataError(
                f"{archive.url}: the download stopped ({error}); run the same command again to go "
                f"on from {part.stat().st_size if part.exists() else 0:,} bytes"
            ) from None
        part.rename(target)
    found = _sha256(target)
    if found != archive.sha256:
        target.unlink()
        raise DataError(
            f"{target}: not the published file (SHA-256 {found[:16]}…, published "
            f"{archive.sha256[:16]}…); it was deleted. Try again; if it comes again, the address "
            "holds something else now"
        )
    return target


def unpack(path: Path, target: Path) -> None:
    """Unpack an archive to a folder that appears only when all of it is there.

    Raises:
        DataError: the folder exists, or the archive is damaged or reaches outside of the folder.
    """
    if target.exists():
        raise DataError(f"{target}: already exists; remove it to unpack {path.name} again")
    unfinished = target.with_name(f"{target.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as packed:
                packed.extractall(unfinished)
        else:
            with tarfile.open(path) as tar:
                tar.extractall(unfinished, filter="data")
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); free space, or remove it") from None
    unfinished.rename(target)


def _receive(url: str, part: Path) -> None:
    """Append to a partial file. Raises OSError when the connection breaks or ends early."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and have:  # nothing is left to send
            return
        raise
    with answer:
        resumed = answer.status == 206  # a server may ignore the range and send everything
        length = answer.headers.get("Content-Length")
        wanted = None if length is None else int(length) + (have if resumed else 0)
        with part.open("ab" if resumed else "wb") as file:
            shutil.copyfileobj(answer, file, CHUNK)
    size = part.stat().st_size
    if wanted is not None and size < wanted:
        raise OSError(f"{size:,} of {wanted:,} bytes came")


def _sha256(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            hasher.update(block)
    return hasher.hexdigest()
