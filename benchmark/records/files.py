"""Writing and locking as file systems allow it: network folders refuse some of it."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import IO, Any, Literal

from benchmark.errors import StoreError

_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def check_writable(results: Path) -> str:
    """Check that records can be written; done at the start of a run.

    Returns:
        What to tell the user when the folder cannot lock, as some network folders; else nothing.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        probe = results / f".{secrets.token_hex(4)}.part"
        with probe.open("wb") as file:
            state = lock(file)
        probe.unlink()
    except OSError as error:
        raise StoreError(
            f"results folder {results} cannot be written ({error.strerror}); "
            "choose another with --results DIR"
        ) from error
    if state != "refused":
        return ""
    return (
        f"results folder {results} is on a file system without locks: it must have one writer, so "
        "do not start a second run on it before this one has ended"
    )


def lock(file: IO[Any]) -> Literal["held", "taken", "refused"]:
    """Lock an open file until it is closed.

    Returns:
        ``held``, ``taken`` by another process, or ``refused`` by the file system.
    """
    import fcntl  # here, so that records can be read where there is none

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "taken"
    except OSError:
        return "refused"
    return "held"


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
