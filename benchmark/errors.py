"""The errors a user can cause. Each message names the thing, what was found, what is allowed and
the next step; the command line prints the message alone, without a traceback."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class BenchError(Exception):
    """Base of every error with a message meant for the user."""


class DataError(BenchError):
    """A data set, an image or a mask is not what it should be."""


class SettingsError(BenchError):
    """A setting has an unknown name, a wrong type or a value that is not allowed."""


class MissingPackageError(SettingsError):
    """A package that only some runs need is not installed; an extra of this project brings it.

    Args:
        owner: what needs it, for instance ``method anomalib``.
        extra: the name of the extra.
        cause: what its import raised.
    """

    def __init__(self, owner: str, extra: str, cause: BaseException) -> None:
        super().__init__(
            f"{owner} needs the extra {extra!r}, which is not installed ({cause}); install it with "
            f"pip install 'iad-bench[{extra}]', or pip install -e '.[{extra}]' in a checkout"
        )


class WeightsError(BenchError):
    """Pre-trained weights are missing, incomplete or unreadable."""


class AssetError(BenchError):
    """A pre-trained asset that a method declares is missing or unreadable."""


class DetectorError(BenchError):
    """A detector broke its contract (shape, NaN, call before fit)."""


class StoreError(BenchError):
    """A record or a score file cannot be read or written, or belongs to something else."""


class OtherDataError(DataError):
    """Stored scores belong to other images or masks than those the data set has now."""


class RecordWarning(UserWarning):
    """A file among the records is not one of them, and was left out."""


class NotFittedError(DetectorError):
    """A detector was asked to predict before fit."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Word the message for an unknown name, the same everywhere, with the nearest known one.

    >>> unknown("method", "spad", ["padim", "spade"])
    "unknown method 'spad', did you mean 'spade'? known: padim, spade"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f", did you mean {near[0]!r}?" if near else "; "
    return f"unknown {kind} {name!r}{hint}{' ' if near else ''}known: {', '.join(names) or 'none'}"


_NO_MEMORY = (
    "out of memory",
    "outofmemory",
    "not enough memory",
    "allocate memory",
    "unable to allocate",
    "failed to allocate",
    "bad_alloc",
    "alloc_failed",
    "start new thread",  # the stack of a thread does not fit
)
"""How libraries say that memory is short: PyTorch on the processor and on a GPU, NumPy, C++, CUDA's
own libraries, the operating system."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def in_words(error: BaseException) -> BaseException:
    """Want of room on a disk or in memory as an error with the remedy; anything else as it is."""
    if isinstance(error, BenchError):
        if not isinstance(error.__cause__, MemoryError):
            return error
        error = error.__cause__  # not an image that cannot be read, but no memory to read it
    text = str(error)
    if isinstance(error, OSError) and error.errno in _FULL:
        return StoreError(
            f"the disk is full ({error.filename or 'while writing scores'}); free some space or "
            "choose another --results, then run the same command again: finished cells are kept"
        )
    if isinstance(error, FileNotFoundError) and "temporary directory" in text:
        return StoreError(f"{text}; set TMPDIR to a folder that can be written")
    if is_lack_of_memory(error):
        return BenchError(
            f"out of memory ({text.splitlines()[0] if text else 'no detail'}); use a smaller "
            "--image-size or backbone, or fewer channels"
        )
    return error


def is_lack_of_memory(error: BaseException) -> bool:
    """Tell whether an error of any library means that memory could not be had."""
    if isinstance(error, BenchError):
        return isinstance(error.__cause__, MemoryError)
    said = isinstance(error, RuntimeError | OSError) and any(
        words in str(error).lower() for words in _NO_MEMORY
    )
    lacking = isinstance(error, MemoryError) or said
    return lacking or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def sentence(error: BaseException) -> str:
    """Put an error into the one sentence that a user is shown."""
    error = in_words(error)
    if isinstance(error, BenchError):
        return str(error)
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
