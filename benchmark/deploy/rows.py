"""Verdicts on files as they lie in a folder: one JSON line each, and a CSV of them all."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.errors import StoreError
from benchmark.records import claims, files

LINES, TABLE, ABOUT = "verdicts.jsonl", "verdicts.csv", "about.json"
COLUMNS = ("path", "score", "decision", "margin", "milliseconds", "error")


@dataclass
class Rows:
    """The rows of an output folder, appended batch by batch.

    Attributes:
        folder: where they lie.
        done: by path, the size and time of the file that was judged.
    """

    folder: Path
    done: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, about: Mapping[str, Any], force: bool) -> Iterator[Rows]:
        """Open a folder for this process alone, and read what is done in it.

        A line that a kill cut off is dropped, and so are images that failed: they are tried again.

        Args:
            folder: made when it is not there.
            about: what makes verdicts comparable: the detector and how it is run.
            force: whether to begin anew.

        Raises:
            StoreError: another process writes there, or verdicts of something else lie there.
        """
        with ExitStack() as stack:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                claim = stack.enter_context(claims.claimed(path := folder / ".verdicts.claim"))
            except OSError as error:
                raise StoreError(
                    f"{folder}: cannot be written ({error.strerror}); --out DIR"
                ) from error
            if claim is None:
                raise StoreError(
                    f"{folder}: another bench predict writes there ({claims.Owner.read(path)}); "
                    "wait, or --out DIR"
                )
            rows = cls(folder)
            if force:
                (folder / LINES).unlink(missing_ok=True)
            elif (folder / ABOUT).exists():
                _check_same(folder, about)
            files.replace(folder / ABOUT, (json.dumps(about, indent=2) + "\n").encode())
            good = [row for row in rows.read() if "error" not in row]
            rows.done = {row["path"]: row["file"] for row in good}
            files.replace(folder / LINES, b"".join(_line(row) for row in good))
            yield rows

    def has(self, path: Path) -> bool:
        """Tell whether this file, as it is now, was judged."""
        known = self.done.get(str(path))
        return known is not None and known == stamp(path)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows; when this returns they are on the disk."""
        with (self.folder / LINES).open("ab") as file:
            file.write(b"".join(_line(row) for row in rows))
            files.sync(file)

    def read(self) -> list[dict[str, Any]]:
        """Read the rows, the last one of each path, in the order of the lines."""
        try:
            lines = (self.folder / LINES).read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        out: dict[str, dict[str, Any]] = {}
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:  # empty, or cut off by a kill
                continue
            out.pop(row["path"], None)
            out[row["path"]] = row
        return list(out.values())

    def write_table(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the CSV."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            values = (row.get(name) for name in COLUMNS)
            writer.writerow(
                ["" if v is None else repr(v) if isinstance(v, float) else v for v in values]
            )
        files.replace(self.folder / TABLE, text.getvalue().encode("utf-8", "backslashreplace"))


def stamp(path: Path) -> list[int]:
    """Return size and time of a file's last change; zeros where it cannot be looked at."""
    try:
        found = os.stat(path)
    except OSError:
        return [0, 0]
    return [found.st_size, found.st_mtime_ns]


def _line(row: Mapping[str, Any]) -> bytes:
    return (json.dumps(row, allow_nan=False) + "\n").encode()


def _check_same(folder: Path, about: Mapping[str, Any]) -> None:
    try:
        then = json.loads((folder / ABOUT).read_bytes())
    except (OSError, ValueError):
        then = {}
    if other := [name for name in about if then.get(name) != about[name]]:
        raise StoreError(
            f"{folder}: holds verdicts made otherwise ({', '.join(other)}); choose another --out, or "
            "begin anew there with --force"
        )
