"""Scores kept for a later ranking: in memory up to a limit, on disk beyond it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
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
        self._held: list[tuple[bool, Floats]] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._spilled: list[tuple[bool, np.dtype[Any], int, int]] = []

    def append(self, key: bool, scores: Floats) -> None:
        """Keep a copy of flat scores."""
        self._held.append((key, scores.copy()))
        self._bytes += scores.nbytes
        if self._bytes > self._limit:
            self._spill()

    def pieces(self, key: bool) -> Iterator[Floats]:
        """All arrays under a key, those on disk as memory maps."""
        if self._file is not None:
            self._file.flush()
            for owner, dtype, offset, count in self._spilled:
                if owner == key:
                    yield np.memmap(self._file, dtype, "r", offset, (count,))
        yield from (scores for owner, scores in self._held if owner == key)

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._dir)  # noqa: SIM115 - lives as long as the store
        # Arrays of one key and type follow each other, so that they can be read as one.
        self._held.sort(key=lambda item: (item[0], item[1].dtype.itemsize))
        for key, scores in self._held:
            offset = self._file.seek(0, 2)
            self._file.write(scores.data)
            last = self._spilled[-1] if self._spilled else None
            if last and last[:2] == (key, scores.dtype):
                self._spilled[-1] = (key, scores.dtype, last[2], last[3] + len(scores))
            else:
                self._spilled.append((key, scores.dtype, offset, len(scores)))
        self._held.clear()
        self._bytes = 0
