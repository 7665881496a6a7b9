"""Folders that a user names: by an option, by an environment variable, or by default."""

from __future__ import annotations

import os
from pathlib import Path

from benchmark.errors import DataError, SettingsError

DATA, WEIGHTS, ASSETS = "BENCH_DATA", "BENCH_WEIGHTS", "BENCH_ASSETS"
RESULTS = "results/runs"


def expanded(path: str | os.PathLike[str]) -> Path:
    """Replace a leading ``~`` or ``~user`` of a path by the home folder.

    Raises:
        SettingsError: no such user, or no home folder is known.
    """
    text = os.fspath(path)
    out = os.path.expanduser(text)
    if out.startswith("~"):
        first = text.split("/", 1)[0]
        raise SettingsError(
            f"path {text!r}: no home folder is known for {first!r}; write the path in full, or "
            f"./{text} for a folder of that name"
        )
    return Path(out)


def data_root(option: str | Path | None = None) -> Path | None:
    """Return a data set's folder, or the one above it; ``BENCH_DATA`` where no option says it."""
    return _place(option, DATA)


def weights_dir(option: str | Path | None = None) -> Path | None:
    """Return the folder of pre-trained weights; ``BENCH_WEIGHTS`` where no option says it."""
    return _place(option, WEIGHTS)


def assets_dir(option: str | Path | None = None) -> Path | None:
    """Return the folder of what ``bench pretrain`` built; ``BENCH_ASSETS`` where no option says
    it."""
    return _place(option, ASSETS)


def dataset_folder(root: Path | None, name: str) -> Path:
    """Find a data set's own folder: ``root`` itself, or the folder in it with the data set's name.

    Raises:
        DataError: no root given, or it does not exist.
    """
    if root is None:
        raise DataError(
            f"data set {name!r} needs a folder; pass --data-root DIR or set {DATA} "
            f"(its own folder, or one that holds it as {name}/)"
        )
    if not root.is_dir():
        raise DataError(f"data root {root}: no such folder; check --data-root or {DATA}")
    return root / name if (root / name).is_dir() else root


def _place(option: str | Path | None, variable: str) -> Path | None:
    value = option or os.environ.get(variable)
    return expanded(value) if value else None
