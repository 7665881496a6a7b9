"""Texts as users give them: encodings of a file, words in YAML, names of files that are not UTF-8."""

from __future__ import annotations

import codecs
import hashlib
import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmark.errors import BenchError, SettingsError, StoreError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(file: Path, kind: type[BenchError] = SettingsError, what: str = "") -> str:
    """Read a file's text in UTF-8, or in UTF-16 with its mark, without the mark.

    Args:
        file: which.
        kind: the error to raise.
        what: how the error calls the file; its path when empty.

    Raises:
        BenchError: of ``kind``, when it cannot be read or is in another encoding.
    """
    what = what or str(file)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise kind(f"{what}: cannot be read ({error.strerror})") from error
    encoding = "utf-16" if data.startswith(_UTF16) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise kind(f"{what}: line {line} is not UTF-8; save the file as UTF-8") from None


def read_yaml(file: Path, what: str = "") -> tuple[Any, Any]:
    """Read the values of a YAML file, and the same with every word left as it is written.

    YAML reads ``01`` as the number 1 and ``on`` as true; where a name is meant the second counts.

    Raises:
        SettingsError: not readable, or not YAML.
    """
    import yaml

    what = what or str(file)
    text = read_text(file, what=what)
    try:
        return yaml.safe_load(text), yaml.load(text, yaml.BaseLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2024-13-01
        raise SettingsError(f"{what}: is not YAML ({error})") from error


def shown_name(name: str) -> str:
    r"""Write the name of a file or folder as a text that can be printed, stored and compared.

    Letters with accents are composed (a Mac may store them as letter and accent), and bytes that
    are not UTF-8 are written as ``\xff``.

    >>> shown_name("gru\u0308n"), shown_name("caf\udce9")
    ('grün', 'caf\\xe9')
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", text)


def path_component(name: str, what: str) -> str:
    """Turn a name from data into one safe path component.

    Letters, digits, space, ``-``, ``_`` and ``.`` stay; others are percent-encoded.

    Raises:
        StoreError: nothing that could be a folder (``..``, empty).

    >>> path_component("metal nut", "category"), path_component("a/b", "category")
    ('metal nut', 'a%2Fb')
    """
    if name.strip(". ") == "":
        raise StoreError(f"{what} {name!r} cannot name a folder; rename it")
    safe = "".join(c if c.isalnum() else quote(c, safe=" -_.") for c in name)
    return f"%2E{safe[1:]}" if safe.startswith(".") else safe


def seed_of(*parts: str) -> int:
    """Take 64 bits from the SHA-256 of the parts; adding a purpose never shifts another's
    numbers."""
    text = "\x1f".join(parts).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
