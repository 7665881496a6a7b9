"""Results in one file, to hand on: JSON or parquet, a row per record, nothing lost.

Schema 1. Every row has ``path`` (``<data set>/<protocol>/<method>@<identity>/<category>-seed<k>.json``,
where the record stood among its results), ``sha256`` (of the record's text as a results folder holds
it) and the record. In JSON the file is ``{"schema": 1, "records": [{"path", "sha256", "record"}]}``.
In parquet each row has ``schema``; ``format`` and ``status``; the texts and numbers of the record's
key, metrics and cost under ``key.<name>``, ``metrics.<name>`` and ``cost.<name>``, where null is no
value; and all else as JSON text, ``<part>_json`` per part of a record. Nothing stands in two places.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from benchmark.errors import StoreError
from benchmark.places import RESULTS, expanded
from benchmark.records import files, store
from benchmark.texts import path_component

SCHEMA = 1
FORMS = (".json", ".parquet")
SPREAD = ("key", "metrics", "cost")
"""The parts of a record whose texts and numbers have columns of their own in parquet."""


@dataclass(frozen=True)
class Row:
    """A row of an exported file: the record, and the digest it had when it was exported."""

    record: dict[str, Any]
    sha256: str


def export_results(to: str | Path, results: str | Path = RESULTS) -> int:
    """Write all records of a folder into one file. Returns how many.

    Args:
        to: the file, ``.json`` or ``.parquet``.
        results: a folder of records, or another exported file.

    Raises:
        StoreError: no such folder, another ending, no library for parquet, or no room.
    """
    file = expanded(to)
    _check_form(file)
    rows = {}
    for record in read_results(expanded(results)):
        path = str(relative(record))
        del record["path"]
        rows[path] = Row(record, store.digest(record))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        files.replace(file, _as_json(rows) if file.suffix == ".json" else _as_parquet(rows))
    except OSError as error:
        raise StoreError(f"{file}: cannot be written ({error.strerror})") from error
    return len(rows)


def read_results(results: Path) -> Iterator[dict[str, Any]]:
    """Read the records of a folder or of an exported file; each gets its ``path``.

    That of an exported record is its path below the file, as if the file were a folder.

    Raises:
        StoreError: there is neither, or the file is none of ours.
    """
    if results.is_dir():
        yield from store.read_all(results)
    elif results.is_file():
        for path, row in rows_of(results).items():
            yield {**row.record, "path": str(results / path)}
    else:
        raise StoreError(
            f"results folder {results}: no such folder; run something first (bench run), or name "
            "the folder of its --results"
        )


def rows_of(file: Path) -> Mapping[str, Row]:
    """Read an exported file: its rows by path.

    Raises:
        StoreError: it cannot be read, or is none of ours.
    """
    _check_form(file)
    stat = file.stat()
    return _read(file, stat.st_mtime_ns, stat.st_size)


def is_results(name: str | Path) -> bool:
    """Tell whether a name is that of a folder or of an exported file."""
    path = Path(name)
    return path.is_dir() or (path.suffix in FORMS and path.is_file())


def beside(results: Path) -> Path:
    """Return the folder for what is made from results: themselves, or where their file is."""
    return results.parent if results.is_file() else results


def edited(file: Path, path: str) -> list[str]:
    """Say how an exported record is not what it was: by its own digest, and by the record that
    stands in the file's folder, if it is there."""
    row, beside = rows_of(file)[path], file.parent / path
    out = []
    if store.digest(row.record) != row.sha256:
        out.append("its row was changed after it was exported (its digest is of something else)")
    original = store.read(beside) if beside.is_file() else None
    if original is not None and store.digest(original) != store.digest(row.record):
        parts = "; ".join(store.differing(original, row.record)) or "the format"
        out.append(f"its row is not the record {beside} ({parts})")
    return out


def relative(record: Mapping[str, Any]) -> PurePosixPath:
    """Return the place of a record among results, from its key and its path.

    Raises:
        StoreError: its path is not that of a record.
    """
    dataset = path_component(record["key"]["dataset"], "data set")
    return store.place(dataset, *PurePosixPath(record["path"]).parts[-3:])


def _check_form(file: Path) -> None:
    if file.suffix not in FORMS:
        raise StoreError(f"{file}: results are kept as {' or '.join(FORMS)}; name such a file")
    if file.suffix == ".parquet":
        try:
            importlib.import_module("pyarrow")
        except ImportError as error:
            raise StoreError(
                f"{file}: parquet needs pyarrow; pip install 'iad-bench[parquet]', or use .json"
            ) from error


def _as_json(rows: Mapping[str, Row]) -> bytes:
    records = [{"path": p, "sha256": r.sha256, "record": r.record} for p, r in rows.items()]
    return json.dumps({"schema": SCHEMA, "records": records}, allow_nan=False).encode()


def _as_parquet(rows: Mapping[str, Row]) -> bytes:
    import pandas as pd

    columns: dict[str, dict[int, Any]] = {}
    types: dict[str, type] = {}
    for i, (path, row) in enumerate(rows.items()):
        for name, value in {"schema": SCHEMA, "path": path, "sha256": row.sha256}.items():
            columns.setdefault(name, {})[i] = value
        for part, content in row.record.items():
            if part in ("format", "status"):
                columns.setdefault(part, {})[i] = content
                continue
            rest = dict(content) if part in SPREAD else content
            for name, value in content.items() if part in SPREAD else ():
                column = f"{part}.{name}"
                # the first value settles a column's type; one of another type stays with the rest
                if _plain(value) and types.setdefault(column, type(value)) is type(value):
                    columns.setdefault(column, {})[i] = rest.pop(name)
            columns.setdefault(f"{part}_json", {})[i] = json.dumps(rest, sort_keys=True)
    kinds = {float: "float64", int: "Int64", str: "object"}
    frame = pd.DataFrame(
        {
            name: pd.Series(
                [values.get(i) for i in range(len(rows))],
                dtype=kinds[type(next(iter(values.values())))],
            )
            for name, values in columns.items()
        }
    )
    data: bytes = frame.to_parquet(engine="pyarrow", index=False)
    return data


def _plain(value: Any) -> bool:
    """Tell whether a column can hold a value as it is."""
    if isinstance(value, str):
        return value.isprintable()  # no lone halves of characters, which parquet has no letters for
    return type(value) is float or (type(value) is int and abs(value) < 1 << 63)


@lru_cache(maxsize=8)
def _read(file: Path, *_: int) -> Mapping[str, Row]:
    """Read a file once for each time it was written."""
    try:
        found = _from_json(file) if file.suffix == ".json" else _from_parquet(file)
        out = {}
        for path, sha256, record in found:
            parts = PurePosixPath(path).parts
            if len(parts) != 4 or str(store.place(*parts)) != path:
                raise StoreError(f"{path!r} is no record's path")
            store.check(record)
            out[path] = Row(record, sha256)
        return out
    except Exception as error:  # whatever a foreign file makes a reader say
        raise StoreError(f"{file}: not readable as exported results ({error})") from error


def _from_json(file: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    content = json.loads(file.read_bytes())
    _check_schema({content["schema"]})
    for row in content["records"]:
        yield row["path"], row["sha256"], row["record"]


def _from_parquet(file: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    import pyarrow.parquet

    for row in pyarrow.parquet.read_table(file).to_pylist():
        _check_schema({row.pop("schema")})
        path, sha256 = row.pop("path"), row.pop("sha256")
        record: dict[str, Any] = {}
        spread: dict[str, dict[str, Any]] = {}
        for column, value in row.items():
            part, dot, name = column.partition(".")
            if value is None:
                continue
            if dot:
                spread.setdefault(part, {})[name] = value
            elif column.endswith("_json"):
                record[column.removesuffix("_json")] = json.loads(value)
            else:
                record[column] = value
        for part, values in spread.items():
            record[part] |= values
        yield path, sha256, record


def _check_schema(found: set[Any]) -> None:
    if found != {SCHEMA}:
        raise StoreError(f"its schema is {found}; known here is {SCHEMA}")
