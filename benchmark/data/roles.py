"""The roles of a category's files in words: a table for ``bench data``, a line for ``bench run``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tabulate import tabulate

from benchmark.data.dataset import Role


def roles_table(name: str, roles: Mapping[str, Role], limit: int = 40) -> list[str]:
    """Write a table of what each folder's files are, how many, an example and why."""
    groups: dict[tuple[str, str], list[str]] = {}
    for path, role in roles.items():
        groups.setdefault((path.rpartition("/")[0] + "/", title(role)), []).append(path)
    if not groups:
        return []
    rows = []
    for (folder, kind), paths in groups.items():
        first = roles[paths[0]]
        why = f"of {first.of}, {first.why}" if first.kind == "mask" else first.why
        example = paths[0].rpartition("/")[2]
        rows.append([folder if folder != "/" else "(directly)", kind, len(paths), example, why])
    head = ["folder", "role", "files", "for example", "why"]
    more = [f"… and {len(rows) - limit} more folders"] if len(rows) > limit else []
    table = tabulate(rows[:limit], head, "simple", disable_numparse=True)
    return ["", f"{name}: what each image file is", *table.splitlines(), *more]


def title(role: Role) -> str:
    """Describe a role in a word or two: ``train``, ``defect dent``, ``mask``."""
    return f"defect {role.of}" if role.kind == "defect" else role.kind


def roles_line(roles: Mapping[str, Role]) -> str:
    """Write all roles in one line; folders that are left out are named.

    >>> roles_line({"a.png": Role("train"), "b.png": Role("defect", "dent"), "x/b": Role("unused")})
    '1 train, 1 defect (1 dent), 1 unused (x/)'
    """
    parts = []
    for kind in ("train", "good", "defect", "mask", "validation", "unused", "unsettled"):
        here = {path: role for path, role in roles.items() if role.kind == kind}
        named: list[str] = []
        if kind == "defect":
            named = [f"{n} {of}" for of, n in Counter(r.of for r in here.values()).items()]
        elif kind in ("validation", "unused", "unsettled"):
            named = sorted({path.rpartition("/")[0] + "/" for path in here})
        more = [f"{len(named) - 8} more"] if len(named) > 8 else []
        if here:
            inside = f" ({', '.join([*named[:8], *more])})" if named else ""
            parts.append(f"{len(here)} {kind}{inside}")
    return ", ".join(parts)
