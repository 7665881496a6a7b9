"""Readable names: the method and the settings that differ from its defaults, never a hash.

A record keeps what its method's class said on the day of its run: title, citation and defaults.
Names come from that alone, so that they stay true when a default changes, and neither torch nor a
plugin is needed to read them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PLAIN = ("backbone",)
"""Settings whose value says enough without the setting's name."""
LISTED = 3
"""Configurations that a sentence on what they have in common names one by one."""
LONGEST = 24
"""Letters of a short name: beside five metrics with their deviations a line is 120 wide."""


def told_apart(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Choose what is said of each record besides its method's title, so that two configurations
    never share a name.

    Args:
        rows: with ``method``, ``config``, ``title``, ``defaults``, ``settings``, ``random_weights``
            ``precision`` and ``backbone_precision``.
    """
    configs: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in rows:
        configs.setdefault((row["method"], row["config"]), row)
    said = {key: _said(row, changed_settings(row)) for key, row in configs.items()}
    for same in _sharing(
        configs, said
    ):  # their defaults differ: then so do settings that neither shows
        varying = _varying([configs[key] for key in same])
        for key in same:
            given = configs[key]["settings"]
            told = changed_settings(configs[key]) | {k: given[k] for k in varying if k in given}
            said[key] = _said(configs[key], told)
    for same in _sharing(configs, said):
        for i, key in enumerate(same[1:], 2):
            said[key] = (*said[key], f"configuration {i}")
    return [said[row["method"], row["config"]] for row in rows]


def readable_name(row: Mapping[str, Any] | pd.Series[Any]) -> str:
    """Write the title of a record's method, with what is said of it in brackets.

    >>> readable_name({"title": "PaDiM", "method": "padim", "said": ("resnet18", "sigma=2.0")})
    'PaDiM (resnet18, sigma=2.0)'
    """
    return extended(_title(row), *row["said"])


def readable_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give each record a name; two configurations never share one.

    Args:
        rows: as of :func:`told_apart`.
    """
    both = zip(rows, told_apart(rows), strict=True)
    return [readable_name({**row, "said": said}) for row, said in both]


@dataclass(frozen=True)
class Labels:
    """Short names of the configurations that stand together, and what these leave out.

    Attributes:
        of: readable name -> short one, in the order of the records.
        shared: sentences on what several have in common, for a line above.
        legend: short name -> the rest of what it stands for, where it does not say all.
    """

    of: Mapping[str, str]
    shared: Sequence[str] = ()
    legend: Mapping[str, str] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """Write the legend, one line for all that leave out the same."""
        same: dict[str, list[str]] = defaultdict(list)
        for label, text in self.legend.items():
            same[text].append(label)
        return [f"{', '.join(labels)}: {text}" for text, labels in same.items()]


def short_names(part: pd.DataFrame, longest: int = LONGEST) -> Labels:
    """Shorten the names of the configurations that a table or picture shows together.

    What all of them have in common is said once, and what all of one method have; a name keeps what
    differs. One that is still longer than ``longest`` becomes title and number, such as ``IGD #2``,
    and the legend says what that is.

    Args:
        part: records with ``name``, ``title``, ``method`` and ``said``, as of ``load_results``.
        longest: letters of a short name.
    """
    rows = {str(row["name"]): row for _, row in part.drop_duplicates("name").iterrows()}
    titles = {name: _title(row) for name, row in rows.items()}
    rest: dict[str, tuple[str, ...]] = {name: tuple(row["said"]) for name, row in rows.items()}
    common: list[tuple[list[str], list[str]]] = []
    for title in (None, *dict.fromkeys(titles.values())):
        names = [name for name in rows if title in (None, titles[name])]
        shared = [p for p in rest[names[0]] if all(p in rest[name] for name in names)]
        alone = len(names) == 1 and (len(rows) > 1 or len(names[0]) <= longest)
        if shared and not alone:
            common.append((names, shared))
            rest |= {name: tuple(p for p in rest[name] if p not in shared) for name in names}
    labels = _labels(titles, rest, longest)
    legend = {
        labels[name]: ", ".join(rest[name])
        for name in rows
        if labels[name] != extended(titles[name], *rest[name]) and rest[name]
    }
    sentences = []
    for names, shared in common:
        title = titles[names[0]]
        others = {titles[name] for name in rows} - {title}
        if len(names) == len(rows) > 1:
            whom = "All"
        elif len(names) > LISTED and not any(other.startswith(title) for other in others):
            whom = f"All {title}"
        else:
            whom = ", ".join(labels[name] for name in names)
        sentences.append(f"{whom}: {', '.join(shared)}.")
    return Labels(labels, sentences, legend)


def _labels(
    titles: Mapping[str, str], rest: Mapping[str, Sequence[str]], longest: int
) -> dict[str, str]:
    """Write title and rest where that is short enough; else the title, numbered where several have
    it."""
    labels = {name: extended(titles[name], *rest[name]) for name in titles}
    for name in [name for name, label in labels.items() if len(label) > longest]:
        title = titles[name]
        others = {label for other, label in labels.items() if other != name}
        if list(titles.values()).count(title) == 1 and title not in others:
            labels[name] = title
        else:
            labels[name] = next(n for i in count(1) if (n := f"{title} #{i}") not in others)
    return labels


def backbone_precision(weights: Sequence[Mapping[str, Any]]) -> str:
    """Return the precision in which a record's backbones computed, from its key's ``weights``;
    older records, which do not say, are float32.

    >>> backbone_precision([{"backbone": "resnet18", "precision": "bfloat16"}])
    'bfloat16'
    """
    return next((str(w["precision"]) for w in weights if "precision" in w), "float32")


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


def _title(row: Mapping[str, Any] | pd.Series[Any]) -> str:
    return str(row["title"] or row["method"])


def _said(row: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[str, ...]:
    parts = [setting_text(k, v) for k, v in sorted(told.items(), key=lambda p: _order(p[0]))]
    if row["precision"] != "float32":
        parts.append(row["precision"])
    if row["backbone_precision"] != "float32":
        parts.append(f"{row['backbone_precision']} backbone")
    if row["random_weights"]:
        parts.append("random weights")
    return tuple(parts)


def _order(name: str) -> tuple[bool, str]:
    return name not in PLAIN, name


def _sharing(
    configs: Mapping[tuple[str, str], Mapping[str, Any]],
    said: Mapping[tuple[str, str], tuple[str, ...]],
) -> list[list[tuple[str, str]]]:
    """Group the configurations that would share a name."""
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[str, str]]] = defaultdict(list)
    for key, row in configs.items():
        groups[_title(row), said[key]].append(key)
    return [same for same in groups.values() if len(same) > 1]


def _varying(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """List the settings that are not the same in all of these configurations."""
    seen: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for name in {name for other in rows for name in other["settings"]}:
            seen[name].add(repr(row["settings"].get(name)))
    return sorted(name for name, values in seen.items() if len(values) > 1)
