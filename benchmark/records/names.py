"""Readable names: the method and the settings that differ from its defaults, never a hash.

A record keeps what its method's class said on the day of its run: title, citation and defaults.
Names come from that alone, so that they stay true when a default changes, and neither torch nor a
plugin is needed to read them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PLAIN = ("backbone",)
"""Settings whose value says enough without the setting's name."""


def readable_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give each record a name; two configurations never share one.

    Args:
        rows: with ``method``, ``config``, ``title``, ``defaults``, ``settings``, ``random_weights``
            ``precision`` and ``backbone_precision``.
    """
    configs: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in rows:
        configs.setdefault((row["method"], row["config"]), row)
    names = {key: _name(row, changed_settings(row)) for key, row in configs.items()}
    for same in _sharing(names):  # their defaults differ: then so do settings that neither shows
        varying = _varying([configs[key] for key in same])
        for key in same:
            given = configs[key]["settings"]
            told = changed_settings(configs[key]) | {k: given[k] for k in varying if k in given}
            names[key] = _name(configs[key], told)
    for same in _sharing(names):
        for i, key in enumerate(same[1:], 2):
            names[key] = extended(names[key], f"configuration {i}")
    return [names[row["method"], row["config"]] for row in rows]


def changed_settings(row: Mapping[str, Any] | pd.Series[Any]) -> dict[str, Any]:
    """Return the settings that differ from the record's own defaults; all of them where it keeps
    none."""
    defaults = row["defaults"] or {}
    return {k: v for k, v in row["settings"].items() if k not in defaults or defaults[k] != v}


def setting_text(name: str, value: Any) -> str:
    """Write one setting as part of a name.

    >>> setting_text("backbone", "resnet18"), setting_text("k", 5), setting_text("squared", True)
    ('resnet18', 'k=5', 'squared')
    """
    if name in PLAIN:
        return str(value)
    if value is True:
        return name
    if isinstance(value, list):
        return f"{name}={'+'.join(map(str, value))}"
    return f"{name}={'none' if value is None else value}"


def extended(title: str, *parts: str) -> str:
    """Extend a readable name by more in its brackets.

    >>> extended("PaDiM (resnet18)", "configuration 2")
    'PaDiM (resnet18, configuration 2)'
    """
    if not parts:
        return title
    if title.endswith(")"):
        return f"{title[:-1]}, {', '.join(parts)})"
    return f"{title} ({', '.join(parts)})"


def _name(row: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    parts = [setting_text(k, v) for k, v in sorted(told.items(), key=lambda p: _order(p[0]))]
    if row["precision"] != "float32":
        parts.append(row["precision"])
    if row["backbone_precision"] != "float32":
        parts.append(f"{row['backbone_precision']} backbone")
    if row["random_weights"]:
        parts.append("random weights")
    return extended(row["title"] or row["method"], *parts)


def _order(name: str) -> tuple[bool, str]:
    return name not in PLAIN, name


def _sharing(names: Mapping[tuple[str, str], str]) -> list[list[tuple[str, str]]]:
    """Group the configurations that share a name."""
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key, name in names.items():
        groups[name].append(key)
    return [same for same in groups.values() if len(same) > 1]


def _varying(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """List the settings that are not the same in all of these configurations."""
    seen: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for name in {name for other in rows for name in other["settings"]}:
            seen[name].add(repr(row["settings"].get(name)))
    return sorted(name for name, values in seen.items() if len(values) > 1)
