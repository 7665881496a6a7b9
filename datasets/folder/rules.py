"""``folder.yaml``: what the user says about the files of a data set, by pattern.

One line gives a role to one pattern, or to a list of them; a role may stand in several lines::

    good: ok/**
    defect: ng/{type}/**
    mask: masks/{stem}_anno.png
    unused: [preview.jpg, old/**]

Patterns are paths below a category's folder. ``*`` is part of a name, ``**`` any number of folders,
``?`` one character (none of them a hidden file or folder), ``{type}`` names the defect type, ``{stem}`` the image that a mask belongs to.
``unused`` counts before ``mask``, and both before the others. What no pattern fits is read by name.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmark.errors import SettingsError, unknown

from .names import is_system

FILE = "folder.yaml"
ROLES = ("train", "good", "defect", "validation", "mask", "unused")


@dataclass(frozen=True)
class Rule:
    """One pattern.

    Attributes:
        role: one of ROLES.
        pattern: as written.
        regex: what it matches.
    """

    role: str
    pattern: str
    regex: re.Pattern[str]

    def fits(self, paths: Iterable[str]) -> bool:
        """Tell whether one of these paths, composed, is meant."""
        return any(self.regex.fullmatch(unicodedata.normalize("NFC", path)) for path in paths)

    def near(self, paths: Sequence[str]) -> str:
        """Find a path that would be meant if letters did not matter so much; "" if none would."""
        loose = re.compile(self.regex.pattern, re.IGNORECASE)
        alike = next((path for path in paths if loose.fullmatch(path)), "")
        return alike or next(iter(difflib.get_close_matches(self.pattern, paths, 1, 0.8)), "")

    @property
    def folder(self) -> str:
        """The last folder before a wildcard: the defect type where none is named."""
        fixed = re.split(r"[*?{]", self.pattern)[0].rsplit("/", 1)[0]
        return fixed.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Rules:
    """The lines of a folder.yaml.

    Attributes:
        file: where they stand or would stand.
        rules: in their order.
    """

    file: Path
    rules: tuple[Rule, ...] = ()

    def match(self, path: str) -> list[tuple[Rule, dict[str, str]]]:
        """Find the rules that count for a path, with what its placeholders stand for: one, none, or
        several that contradict each other."""
        path = unicodedata.normalize("NFC", path)
        hidden = {part for part in path.split("/") if is_system(part)}
        hits = [
            (rule, m.groupdict())
            for rule in self.rules
            if (m := rule.regex.fullmatch(path)) and hidden <= set(rule.pattern.split("/"))
        ]
        for first in ("unused", "mask"):
            if before := [hit for hit in hits if hit[0].role == first]:
                return sorted(before, key=lambda hit: len(hit[1]))[:1]  # fewest placeholders
        distinct = {(rule.role, found.get("type", "")): (rule, found) for rule, found in hits}
        return list(distinct.values())


def read_rules(folder: Path) -> Rules:
    """Read the rules in a folder's folder.yaml; none when there is no such file.

    Raises:
        SettingsError: not YAML, or a role that does not exist.
    """
    file = folder / FILE
    try:
        node = yaml.compose(file.read_text(encoding="utf-8"), yaml.SafeLoader)
    except FileNotFoundError:
        if other := next((p for p in folder.glob("*.y*ml") if _meant(p)), None):
            raise SettingsError(f"{other}: is not read under this name; rename it {FILE}") from None
        return Rules(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{file}: cannot be read as YAML ({error})") from None
    if node is None:
        return Rules(file)
    if not isinstance(node, yaml.MappingNode):
        raise SettingsError(f"{file}: expected lines such as good: ok/**, found something else")
    rules: list[Rule] = []
    for key, value in node.value:
        if key.value not in ROLES:
            raise SettingsError(f"{file}: {unknown('role', str(key.value), ROLES)}")
        items = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for item in items:
            if not isinstance(item, yaml.ScalarNode) or not item.value:
                raise SettingsError(
                    f"{file}: {key.value} needs a pattern or a list of patterns, such as ok/**"
                )
            rules.append(Rule(key.value, item.value, _compile(item.value, file)))
    return Rules(file, tuple(rules))


def _meant(path: Path) -> bool:
    return path.name.lower() in (FILE, "folder.yml") and path.name != FILE


def line(role: str, patterns: Iterable[str]) -> str:
    """Write one line of a folder.yaml.

    >>> line("unused", ["preview.jpg"]), line("good", ["ok/**", "b/**"])
    ('unused: preview.jpg', 'good: [ok/**, b/**]')
    """
    listed = list(patterns)
    value = listed[0] if len(listed) == 1 else listed
    style = len(listed) > 1
    text = yaml.safe_dump(value, default_flow_style=style, allow_unicode=True, width=1 << 20)
    return f"{role}: {text.splitlines()[0]}"  # a scalar alone ends with a line of dots


def literal(path: str) -> str:
    """Write a pattern that fits a path; characters with a meaning of their own become ``?``."""
    return "".join("?" if c in "*?{}" or not c.isprintable() else c for c in path)


_TOKENS = re.compile(r"\*\*/|\*\*|\*|\?|\{type\}|\{stem\}|.", re.DOTALL)
_MEANS = {
    "**/": "(?:.*/)?",
    "**": ".*",
    "*": "[^/]*",
    "?": "[^/]",
    "{type}": "(?P<type>[^/]+)",
    "{stem}": "(?P<stem>[^/]+)",
}


def _compile(pattern: str, file: Path) -> re.Pattern[str]:
    text = unicodedata.normalize("NFC", pattern.removeprefix("./"))
    try:
        return re.compile("".join(_MEANS.get(t, re.escape(t)) for t in _TOKENS.findall(text)))
    except re.error:
        raise SettingsError(
            f"{file}: {pattern}: {{type}} and {{stem}} may stand once in a pattern"
        ) from None
