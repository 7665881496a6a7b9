"""Counts of the samples that score below, and at, each of a set of values.

Two ways give the same integers: sorting with NumPy and searching, and, where numba is installed
and there is enough to count, the compiled `kernel`, which does without sorting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmark.machine import cores
from benchmark.metrics.inputs import Floats
from benchmark.metrics.store import ScoresOnDisk

Ints = NDArray[np.int64]
Scores = Floats | ScoresOnDisk
Item = TypeVar("Item")
Result = TypeVar("Result")

# Loading numba and the compiled code takes as long as sorting this many scores; once they are
# there, they pay from a small image on.
KERNEL_FROM = 1 << 22
KERNEL_ONCE_LOADED_FROM = 1 << 13

# Scores sorted at once, over all threads: a gigabyte of float32.
SORTED_AT_ONCE = 1 << 28

# Read from disk at once beside the buffer they go to.
READ_AT_ONCE = 1 << 20

# Searching this many neighbouring values at a time stays within a few cached pages.
SEARCHED_AT_ONCE = 1 << 12


def count_below(
    pieces: Iterable[Scores],
    values: Floats,
    *,
    threads: int = 1,
    overwrite: bool = False,
    expected: int = 0,
) -> tuple[Ints, Ints]:
    """Count the scores in all pieces below each value, and at or below it.

    pieces: flat arrays of finite scores; values (U,): distinct, rising, at least one, of a type
    that holds every score. overwrite: the pieces may be sorted in place. expected: the number of
    scores in this and further calls, if known to be larger, for choosing the way. Returns two
    (U,) arrays.

    >>> count_below([np.array([0.1, 0.2, 0.2, 0.5])], np.array([0.2, 0.4]))
    (array([1, 3]), array([3, 3]))
    """
    groups = _split(list(pieces), threads)
    total = sum(len(piece) for group in groups for piece in group)
    if not total:
        return np.zeros(len(values), np.int64), np.zeros(len(values), np.int64)
    kernel = _kernel_for(max(total, expected)) if values.dtype == np.float32 else None
    if kernel is not None:
        cells = kernel.Cells(values)
        # Its counts have 32 bits, half the memory to go through.
        groups = [part for group in groups for part in _split(group, 1 + (total >> 32))]
        counted = each(lambda group: cells.count(packed(group, kernel.CHUNK)), groups, threads)
        through = np.cumsum(np.sum(counted, axis=0, dtype=np.int64))
        return through[: 2 * len(values) : 2], through[1 : 2 * len(values) : 2]

    def count_sorted(group: list[Scores]) -> tuple[Ints, Ints]:
        below, up_to = np.zeros(len(values), np.int64), np.zeros(len(values), np.int64)
        most = SORTED_AT_ONCE // threads
        runs: Iterable[Floats] = packed(group, most, dtype=values.dtype)
        if overwrite and len(group) == 1 and _sortable(group[0], values.dtype):
            runs = [np.asarray(group[0])]
        for run in runs:
            run.sort()
            _search(run, values, below, up_to)
        return below, up_to

    below, up_to = zip(*each(count_sorted, groups, threads), strict=True)
    return np.sum(below, axis=0), np.sum(up_to, axis=0)


def each(call: Callable[[Item], Result], items: Iterable[Item], threads: int) -> list[Result]:
    """Return [call(item) for item in items], computed by at most `threads` threads."""
    items = list(items)
    if min(threads, len(items)) <= 1:
        return [call(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(call, items))


def usable_threads(threads: int | None) -> int:
    """Return `threads`, or for None as many as this process may use cores."""
    if threads is not None:
        return max(1, threads)
    return cores()


def packed(
    pieces: Sequence[Scores], size: int, dtype: np.dtype[Any] | None = None
) -> Iterator[Floats]:
    """Yield the scores of all pieces in arrays of at most `size`.

    Small pieces are gathered in one buffer, which the next array overwrites; large ones are passed
    as views, unless `dtype` asks for copies of that type that may be changed.
    """
    total = sum(len(piece) for piece in pieces)
    buffer = np.empty(0, dtype=np.float32)
    filled = 0
    for piece in pieces:
        begin = 0
        while begin < len(piece):
            rest = len(piece) - begin
            if dtype is None and not filled and rest >= size // 2:
                yield np.asarray(piece[begin : begin + size])
                begin += size
                continue
            if not len(buffer):
                buffer = np.empty(min(size, total), dtype=dtype or piece.dtype)
            take = min(rest, len(buffer) - filled, READ_AT_ONCE)
            buffer[filled : filled + take] = piece[begin : begin + take]
            filled, begin = filled + take, begin + take
            if filled == len(buffer):
                yield buffer
                filled = 0
    if filled:
        yield buffer[:filled]


def _sortable(piece: Scores, dtype: np.dtype[Any]) -> bool:
    return isinstance(piece, np.ndarray) and piece.flags.writeable and piece.dtype == dtype


def _search(run: Floats, values: Floats, below: Ints, up_to: Ints) -> None:
    """Add the counts of one sorted run."""
    for i in range(0, len(values), SEARCHED_AT_ONCE):
        part = slice(i, i + SEARCHED_AT_ONCE)
        wanted = values[part]
        begin = np.searchsorted(run, wanted[0], "left")
        window = run[begin : np.searchsorted(run, wanted[-1], "right")]
        below[part] += begin + np.searchsorted(window, wanted, "left")
        up_to[part] += begin + np.searchsorted(window, wanted, "right")


def _split(pieces: list[Scores], groups: int) -> list[list[Scores]]:
    """Cut the pieces, in order, into groups of about equal size."""
    share = -(-sum(len(piece) for piece in pieces) // groups)
    split: list[list[Scores]] = [[]]
    room = share
    for piece in pieces:
        while len(piece):
            if not room:
                split.append([])
                room = share
            split[-1].append(piece[:room])
            piece, room = piece[room:], max(0, room - len(piece))
    return split


def _kernel_for(scores: int) -> ModuleType | None:
    loaded = _kernel.cache_info().currsize
    return _kernel() if scores >= (KERNEL_ONCE_LOADED_FROM if loaded else KERNEL_FROM) else None


@cache
def _kernel() -> ModuleType | None:
    try:
        from benchmark.metrics import kernel
    except ImportError:
        return None
    return kernel
