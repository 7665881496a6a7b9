"""Readable names: the method and the settings that differ from its defaults, never a hash.

Titles, presets and defaults are read from the methods' source text, so that a table needs neither
torch nor a plugin's imports.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLAIN = ("backbone",)
"""Settings whose value says enough without the setting's name."""


@dataclass(frozen=True)
class Method:
    """What a method's source says about it.

    Attributes:
        title: for tables.
        citation: such as ``Cohen and Hoshen 2020``.
        defaults: setting -> default, a preset's values included.
    """

    title: str
    citation: str
    defaults: Mapping[str, Any]


def known_methods(plugins: Iterable[str | Path] = ()) -> dict[str, Method]:
    """The built-in methods and presets, and those in plugin files, by name."""
    import benchmark.methods as package  # noqa: TID251 - its folder is listed, nothing in it imported

    found: dict[str, Method] = {}
    for folder in map(Path, package.__path__):
        for file in [*sorted(folder.glob("[!_]*.py")), *sorted(folder.glob("*/__init__.py"))]:
            found |= _methods_in(file)
    for file in map(Path, plugins):
        found |= _methods_in(file)
    return found


def readable_names(rows: Sequence[Mapping[str, Any]], known: Mapping[str, Method]) -> list[str]:
    """A name for each record; two configurations never share one.

    Args:
        rows: with ``method``, ``config``, ``settings``, ``random_weights``, ``precision``,
            ``version`` and ``weights``.
        known: from :func:`known_methods`.
    """
    configs: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in rows:
        configs.setdefault((row["method"], row["config"]), row)
    varying = _varying(configs.values())
    names = {key: _name(row, known, varying[row["method"]]) for key, row in configs.items()}
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key, name in names.items():
        groups[name].append(key)
    for name, keys in groups.items():
        for i, key in enumerate(keys[1:] if len(keys) > 1 else [], 2):
            names[key] = extended(name, f"configuration {i}")
    return [names[row["method"], row["config"]] for row in rows]


def changed_settings(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from the defaults; those without a known default are left out."""
    return {k: v for k, v in settings.items() if k in defaults and _plain(defaults[k]) != v}


def setting_text(name: str, value: Any) -> str:
    """One setting in a name.

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


def _name(row: Mapping[str, Any], known: Mapping[str, Method], varying: Sequence[str]) -> str:
    method = known.get(row["method"])
    settings = row["settings"]
    if method is None:
        title, changed = row["method"], {k: settings[k] for k in varying if k in settings}
    else:
        title, changed = method.title, changed_settings(settings, method.defaults)
    parts = [setting_text(k, v) for k, v in sorted(changed.items(), key=lambda p: _order(p[0]))]
    if row["precision"] != "float32":
        parts.append(row["precision"])
    if row["random_weights"]:
        parts.append("random weights")
    return extended(title, *parts)


def extended(title: str, *parts: str) -> str:
    """A readable name with more in its brackets.

    >>> extended("PaDiM (resnet18)", "configuration 2")
    'PaDiM (resnet18, configuration 2)'
    """
    if not parts:
        return title
    if title.endswith(")"):
        return f"{title[:-1]}, {', '.join(parts)})"
    return f"{title} ({', '.join(parts)})"


def _order(name: str) -> tuple[bool, str]:
    return name not in PLAIN, name


def _varying(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Per method the settings that are not the same in all its configurations."""
    seen: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        for name, value in row["settings"].items():
            seen[row["method"]][name].add(repr(value))
        seen[row["method"]].setdefault("", set())
    return {m: [k for k, v in s.items() if len(v) > 1] for m, s in seen.items()}


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


def _methods_in(file: Path) -> dict[str, Method]:
    """The public class of a file, under the file's name, and its presets."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return {}  # a name is a nicety: whoever needs the file reports it
    out: dict[str, Method] = {}
    stem = file.parent.name if file.name == "__init__.py" else file.stem
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
            continue
        values = _class_values(node)
        if "title" not in values and "Detector" not in {getattr(b, "id", "") for b in node.bases}:
            continue
        title, citation = str(values.get("title", stem)), str(values.get("citation", ""))
        defaults = _defaults(node)
        out[stem] = Method(title, citation, defaults)
        presets = values.get("presets", {})
        for name, given in presets.items() if isinstance(presets, dict) else ():
            out[name] = Method(f"{title} ({name})", citation, {**defaults, **given})
    return out


def _class_values(node: ast.ClassDef) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for item in node.body:
        if not isinstance(item, ast.Assign | ast.AnnAssign):
            continue
        targets = item.targets if isinstance(item, ast.Assign) else [item.target]
        ok, value = _literal(item.value)
        out.update({t.id: value for t in targets if ok and isinstance(t, ast.Name)})
    return out


def _defaults(node: ast.ClassDef) -> dict[str, Any]:
    out = {}
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            for argument, default in zip(item.args.kwonlyargs, item.args.kw_defaults, strict=True):
                ok, value = _literal(default)
                if ok:
                    out[argument.arg] = value
    return out


def _literal(node: ast.expr | None) -> tuple[bool, Any]:
    if node is None:
        return False, None
    try:
        return True, ast.literal_eval(node)
    except ValueError:
        return False, None
