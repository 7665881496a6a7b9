"""A folder.yaml that says in patterns how a folder is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from benchmark.data.dataset import Role

from .names import composed, is_system
from .rules import line, literal

Said = tuple[str, str]
"""A role and a pattern."""


def proposal(categories: Mapping[str, Mapping[str, Role]]) -> str:
    """Write the text of a folder.yaml.

    Args:
        categories: the roles of each category's files, good images not yet divided.

    Returns:
        One line per role, then what has to be decided, as comments.
    """
    lines: dict[str, dict[str, None]] = defaultdict(dict)
    asked: dict[str, None] = {}
    for roles in categories.values():
        for role, pattern in (*_images(roles), *_masks(roles), *_unused(roles)):
            lines[role][pattern] = None
        for open_ in (r for r in roles.values() if r.kind == "unsettled"):
            role, _, pattern = open_.settle.partition(":")
            asked[f"# {line(role, [pattern])}   # {open_.why}"] = None
    head = [
        "# What the files of these images are. Roles: train, good, defect, validation, mask, unused"
    ]
    if asked:
        asked = {"# to be decided, a role each:": None, **asked}
    return "\n".join([*head, *(line(role, p) for role, p in lines.items()), *asked]) + "\n"


def _images(roles: Mapping[str, Role]) -> Iterator[Said]:
    left_out = ("mask", "unused")  # their patterns come before those of images
    yield from _folder((), {p: r for p, r in roles.items() if r.kind not in left_out})


def _folder(prefix: tuple[str, ...], roles: Mapping[str, Role]) -> Iterator[Said]:
    """Yield patterns for the images below a folder, as few as there can be."""
    said = {(role.kind, role.of) for role in roles.values()}
    below = "".join(f"{literal(part)}/" for part in prefix)
    if len(said) == 1 and prefix and _same(next(iter(said)), prefix):
        if "unsettled" not in next(iter(said)):
            yield next(iter(said))[0], f"{below}**"
        return
    direct = {p: r for p, r in roles.items() if p.count("/") == len(prefix)}
    said = {(role.kind, role.of) for role in direct.values()}
    if len(said) == 1 and prefix and _same(next(iter(said)), prefix):
        if "unsettled" not in next(iter(said)):
            yield next(iter(said))[0], f"{below}*"
    else:
        yield from ((r.kind, literal(p)) for p, r in direct.items() if r.kind != "unsettled")
    children: dict[str, dict[str, Role]] = defaultdict(dict)
    for path, role in roles.items():
        if path not in direct:
            children[path.split("/")[len(prefix)]][path] = role
    for name, inside in children.items():
        yield from _folder((*prefix, name), inside)


def _same(said: Said, prefix: tuple[str, ...]) -> bool:
    """Tell whether a pattern that ends in this folder gives this role; a defect needs a folder
    called after its type."""
    return said[0] != "defect" or said[1] == prefix[-1]


def _masks(roles: Mapping[str, Role]) -> Iterator[Said]:
    for path, role in roles.items():
        if role.kind != "mask":
            continue
        *dirs, name = path.split("/")
        stem = PurePosixPath(role.of).stem
        kind = composed(roles[role.of].of)
        dirs = ["{type}" if kind and composed(d) == kind else literal(d) for d in dirs]
        named = literal(name)
        if name.count(stem) == 1 and literal(stem) == stem:
            named = name.replace(stem, "{stem}")
        if dirs.count("{type}") > 1:
            dirs = [literal(d) for d in path.split("/")[:-1]]
        yield "mask", "/".join([*dirs, named])


def _unused(roles: Mapping[str, Role]) -> Iterator[Said]:
    used = {path.rpartition("/")[0] for path, r in roles.items() if r.kind != "unused"}
    for path, role in roles.items():
        if role.kind == "unused" and not any(is_system(part) for part in path.split("/")):
            folder = path.rpartition("/")[0]
            whole = not any(f"{other}/".startswith(f"{folder}/") for other in used)
            yield "unused", f"{literal(folder)}/**" if folder and whole else literal(path)
