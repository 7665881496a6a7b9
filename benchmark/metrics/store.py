"""Scores kept for a later ranking: in memory up to a limit, on disk beyond it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import IO, Any

import numpy as np

from benchmark.metrics.inputs import Floats


class ScoreStore:
    """Flat arrays of scores under a key each; those beyond `memory_limit` bytes go to a file.

    The file has no name in the file system, so nothing is left behind when the process is killed.
    """

    def __init__(self, memory_limit: int, spill_dir: Path | str | None = None) -> None:
        self._limit = memory_limit
        self._dir = spill_dir
        self._held: list[tuple[str, Floats]] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._lock = Lock()
        self._spilled: list[tuple[str, ScoresOnDisk]] = []

    def append(self, key: str, scores: Floats) -> None:
        """Keep a copy of flat scores."""
        self._held.append((key, scores.copy()))
        self._bytes += scores.nbytes
        if self._bytes > self._limit:
            self._spill()

    def pieces(self, key: str) -> Iterator[Floats | ScoresOnDisk]:
        """Yield all scores under a key."""
        yield from (scores for owner, scores in self._spilled if owner == key)
        yield from (scores for owner, scores in self._held if owner == key)

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._dir)  # noqa: SIM115 - lives as long as the store
        for key, scores in self._held:
            offset = self._file.seek(0, 2)
            self._file.write(scores.data)
            on_disk = ScoresOnDisk(self._file, self._lock, scores.dtype, offset, len(scores))
            self._spilled.append((key, on_disk))
        self._held.clear()
        self._bytes = 0


class ScoresOnDisk:
    """A part of a file, read when it is asked for as an array, and not kept.

    A memory map would do with less code, but each page of it that was read counts as memory of
    the process, and reading it costs twice the time.
    """

    def __init__(
        self, file: IO[bytes], lock: Lock, dtype: np.dtype[Any], offset: int, count: int
    ) -> None:
        self.dtype = dtype
        self._file = file
        self._lock = lock
        self._offset = offset
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, part: slice) -> ScoresOnDisk:
        begin, end, _ = part.indices(self._count)
        offset = self._offset + begin * self.dtype.itemsize
        return ScoresOnDisk(self._file, self._lock, self.dtype, offset, max(0, end - begin))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Floats:
        with self._lock:
            self._file.seek(self._offset)
            data = self._file.read(self._count * self.dtype.itemsize)
        read: Floats = np.frombuffer(data, dtype=self.dtype)
        return read if dtype is None else read.astype(dtype, copy=False)
