"""The errors a user can cause. Each message names the thing, what was found, what is allowed and
the next step; the command line prints the message alone, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Base of every error with a message meant for the user."""


class DataError(BenchError):
    """A data set, an image or a mask is not what it should be."""


class SettingsError(BenchError):
    """A setting has an unknown name, a wrong type or a value that is not allowed."""


class WeightsError(BenchError):
    """Pre-trained weights are missing, incomplete or unreadable."""


class AssetError(BenchError):
    """A pre-trained asset that a method declares is missing or unreadable."""


class DetectorError(BenchError):
    """A detector broke its contract (shape, NaN, call before fit)."""


class StoreError(BenchError):
    """A record or a score file cannot be read or written, or belongs to something else."""


class NotFittedError(DetectorError):
    """A detector was asked to predict before fit."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The one wording for an unknown name, with the nearest known one.

    >>> unknown("method", "spad", ["padim", "spade"])
    "unknown method 'spad', did you mean 'spade'? known: padim, spade"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f", did you mean {near[0]!r}?" if near else "; "
    return f"unknown {kind} {name!r}{hint}{' ' if near else ''}known: {', '.join(names) or 'none'}"
