"""Claims: who works on a category, so that several processes and machines can share a folder.

A claim is a hidden file in the folder of the data set and protocol, created exclusively and whole,
that names its owner: machine, process, the process's start, and a token of its own. The file's time
is the sign of life. The claim of a dead owner is replaced under a claim of its own, on the file named
after the dead one's token: however many find it at once, one gets it.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from benchmark import machine
from benchmark.errors import StoreError
from benchmark.records import files
from benchmark.texts import path_component

REFRESH_SECONDS = 20.0
"""How often an owner gives a sign of life."""
SILENT_SECONDS = 120.0
"""Without a sign for this long, an owner on another machine counts as dead."""


class ClaimLostError(StoreError):
    """A claim was taken over while its owner gave no sign of life: the work is another's now."""


@dataclass(frozen=True)
class Owner:
    """A process that holds a claim.

    Attributes:
        host: the machine's name, for people.
        place: what tells whether process numbers can be looked up from here; a boot of a machine,
            and the numbering within it (containers have their own).
        process, start: its number, and its start, since numbers are used again.
        token: of this one claim.
    """

    host: str = field(default_factory=platform.node)
    place: str = field(default_factory=machine.process_space)
    process: int = field(default_factory=os.getpid)
    start: str = field(default_factory=lambda: machine.process_start(os.getpid()) or "")
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read who holds a claim; None when nobody does."""
        try:
            data = path.read_bytes()
        except OSError:  # nobody's; or given up while it was being read
            return None
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError):  # on a file system without links, not written to its end
            with suppress(OSError):
                return cls("an unknown machine", "", 0, "", str(path.stat().st_mtime_ns))
            return None

    def lives(self, path: Path, now: float) -> bool:
        """Tell whether this owner is at work.

        Args:
            path: of its claim.
            now: the time by the clock of the claim's file system.
        """
        if self.place == machine.process_space():
            return machine.process_start(self.process) in ("", self.start)
        try:
            return now - path.stat().st_mtime < SILENT_SECONDS
        except FileNotFoundError:
            return False


class Claim:
    """A claim that is held, and kept fresh by a thread.

    Attributes:
        path: its file.
        owner: this process, under the claim's own token.
    """

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path, self.owner = path, owner
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._refresh, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise ClaimLostError when another has taken it over; called before a record is written."""
        if Owner.read(self.path) != self.owner:
            raise ClaimLostError(
                f"{self.path}: taken over by another process while this one gave no sign of life"
            )

    def release(self) -> None:
        """Give it up."""
        self._ended.set()
        self._thread.join()
        with suppress(OSError):  # a server away: the claim dies with this process
            self._remove()

    def _remove(self) -> None:
        if Owner.read(self.path) == self.owner:
            # what is left of takeovers goes first: nobody else has a use for it while this is held
            for path in self.path.parent.glob(f"{self.path.name}.*"):
                path.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)

    def _refresh(self) -> None:
        while not self._ended.wait(REFRESH_SECONDS):
            with suppress(OSError):  # a server away for a moment; the next round tries again
                if Owner.read(self.path) == self.owner:
                    os.utime(self.path)


def place(folder: Path, category: str) -> Path:
    """Return the claim's file of a category.

    Args:
        folder: of the data set and protocol among the results.
    """
    return folder / f".{path_component(category, 'category')}.claim"


@contextmanager
def claimed(path: Path) -> Iterator[Claim | None]:
    """Hold a claim for a while; yields None when another process has it.

    Raises:
        OSError: the folder cannot be written.
    """
    owner = Owner()
    claim = Claim(path, owner) if _acquire(path, owner) else None
    try:
        yield claim
    finally:
        if claim is not None:
            claim.release()


def _acquire(path: Path, owner: Owner) -> bool:
    """Try to become the owner of a claim. Returns whether that is so."""
    text = json.dumps(asdict(owner)).encode()
    if (now := files.create(path, text)) is None:
        return True
    other = Owner.read(path)
    if other is None or other.lives(path, now):  # given up this moment: the next look takes it
        return False
    # Of all who find it dead, the one that holds the claim on this takeover may replace it. It looks
    # again, since an earlier one may be done with it; a token never comes back.
    guard = path.with_name(f"{path.name}.{other.token}")
    if not _acquire(guard, owner):
        return False
    try:
        if Owner.read(path) != other or other.lives(path, now):
            return False
        files.replace(path, text)
        return True
    except FileNotFoundError:  # an owner thought dead has come back and tidied up
        return False
    finally:
        guard.unlink(missing_ok=True)
