"""Writing as file systems allow it: network folders refuse some of it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from pathlib import Path
from typing import IO, Any

from benchmark.errors import StoreError

_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def check_writable(results: Path) -> float:
    """Check that records can be written; done at the start of a run.

    Returns:
        The time of now by the clock of the folder's file system.

    Raises:
        StoreError: it cannot be written.
    """
    probe = results / f".{secrets.token_hex(4)}.part"
    try:
        results.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"bench")
        now = probe.stat().st_mtime
        probe.unlink()
    except OSError as error:
        raise StoreError(
            f"results folder {results} cannot be written ({error.strerror}); "
            "choose another with --results DIR"
        ) from error
    return now


def create(path: Path, data: bytes) -> float | None:
    """Create a file that is not there yet, whole, as one step that one process alone succeeds in.

    Returns:
        None when it was created; else, since it is there, the time of now by the clock of its file
        system.

    Raises:
        OSError: the folder cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.write_bytes(data)
        now = temporary.stat().st_mtime
        try:
            os.link(temporary, path)
        except FileExistsError:
            return now
        except FileNotFoundError:  # swept away by the holder
            return now
        except OSError:  # no links here; readers may see it half written
            with path.open("xb") as file:
                file.write(data)
        return None
    except FileExistsError:
        return now
    finally:
        temporary.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Put one file under a second name; copy it where the file system has no links."""
    if source == target:
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def sync(file: IO[Any]) -> None:
    """Have written data reach the disk, where the file system can do that for one file."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def replace(path: Path, data: bytes) -> None:
    """Write beside and rename: the file is whole or not there."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            sync(file)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
