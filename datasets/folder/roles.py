"""One pass over the files below a category's folder: exactly one role for each.

Names decide. What is pictured is looked at only where they settle nothing, at most a few files of a
folder: a two-valued picture there is a mask. A file that has no role, or could have two, is
``unsettled`` and says which line of folder.yaml settles it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from benchmark.data.dataset import Role

from .masks import DERIVED, FEW, IMAGES, LOOKS, Beside, Look, Looks, Pairing, spread_over, unused
from .names import bare, composed, has_word, meaning, stem_of, suffix_of
from .reading import Dirs, Reading, own, read, told
from .rules import Rules, literal

EVERY = 5
"""Without a test split every fifth good image is a test image."""
NORMAL = {"train": "training", "validation": "validation"}
"""The splits of good images only, and what each is for."""


def assign(files: Iterable[str], rules: Rules, look: Look, divide: bool = True) -> dict[str, Role]:
    """Assign a role to every file.

    Args:
        files: paths of the image files below a category, with forward slashes.
        rules: of the user; they come before what names say.
        look: called for a few files of a folder.
        divide: whether good images without a split are divided into train and good.

    Returns:
        A role for each file, in the order (folder, name) of the files.
    """
    paths = sorted(files, key=in_order)
    pairing, looks = Pairing(), Looks(look)
    roles = _stated(paths, rules, pairing)
    stated = set(roles)
    folders: dict[Dirs, list[str]] = defaultdict(list)
    for path in paths:
        name = path.rsplit("/", 1)[-1]
        if path in roles or path in pairing.stated:
            continue
        if name.startswith("."):
            roles[path] = Role("unused", why="hidden")
        else:
            folders[in_order(path)[0]].append(path)
    readings = {dirs: read(dirs) for dirs in folders}
    goods = _settle_folders(folders, readings, looks)
    split = any(r.usable and r.split in ("train", "test") for r in readings.values())
    split = split or any(_splits(path, roles[path]) for path in stated)
    layout = _Layout([r for r in readings.values() if r.usable], split)
    for dirs, here in folders.items():
        reading = readings[dirs]
        if reading.mask_at >= 0 and not reading.system:
            for path in here:
                pairing.add(path, told(reading))
            continue
        roles |= {path: layout.role(reading, path) for path in here}
        if reading.usable and not reading.clash:
            found = Beside([p for p in here if roles[p].kind in IMAGES], looks)
            roles |= found.roles
            for mask, image in found.masks.items():
                del roles[mask]
                pairing.of[mask] = image
    _doubt(roles, looks, goods, stated)
    _check_thumbnails(roles, readings, folders)
    roles |= pairing.settle(roles)
    if divide and not split:
        roles |= _divided(roles)
    return {path: roles[path] for path in paths}


def in_order(path: str) -> tuple[Dirs, str]:
    """Return what files are sorted by: their folder, then their name."""
    *dirs, name = path.split("/")
    return tuple(dirs), name


def _stated(paths: Sequence[str], rules: Rules, pairing: Pairing) -> dict[str, Role]:
    """Assign the roles that the user's rules give."""
    roles: dict[str, Role] = {}
    for path in paths:
        hits = rules.match(path)
        if len(hits) > 1:
            lines = " and ".join(f"{rule.role}: {rule.pattern}" for rule, _ in hits[:2])
            roles[path] = unused(f"{rules.file.name} says {lines}", literal(path))
        elif hits:
            rule, found = hits[0]
            if rule.role == "mask":
                below = told(read(in_order(path)[0]))
                pairing.stated[path] = (found.get("stem"), found.get("type"), below)
                continue
            kind = found.get("type") or rule.folder or "defect"
            why = f"{rules.file.name}: {rule.pattern}"
            roles[path] = Role(rule.role, kind if rule.role == "defect" else "", why)  # type: ignore[arg-type]
    return roles


class _Layout:
    """The meaning of folders beside each other."""

    def __init__(self, readings: Sequence[Reading], split: bool) -> None:
        self.split = split
        tested = [r for r in readings if r.label == "defect" and r.split not in NORMAL]
        self.types = {composed(r.type) for r in tested}
        self.generic = {r.dirs[: r.label_at]: own(r) for r in tested if r.generic}

    def role(self, r: Reading, path: str) -> Role:
        """Return the role of the images in one folder."""
        if r.system or r.thumb_at >= 0:
            return Role("unused", why="thumbnails" if not r.system else "hidden, or of a system")
        if r.clash:
            return self._ask(r, r.culprit, r.clash)
        if r.split in NORMAL:
            return self._normal(r)
        if not r.label:
            where = "/".join(r.dirs) + "/" if r.dirs else "the category's folder"
            why = f"directly in {where}, which says nothing about good or defective"
            return unused(why, literal(path))
        if self.split and not r.split:
            return self._ask(r, max(r.label_at, 0), "below no folder for train or test")
        if r.label == "defect":
            name = own(r)
            if r.doubt_at >= 0 and r.type == r.dirs[r.doubt_at]:
                return self._ask(r, r.doubt_at, f"is {r.type} a kind of defect, or something else?")
            other = self.generic.get(r.dirs[: r.label_at])
            if other and not r.generic:
                why = f"beside {other}: is {name} a kind of defect, or something else?"
                return self._ask(r, r.label_at, why)
            return Role("defect", r.type, self._why(r))
        return Role("good", why=self._why(r))

    def _normal(self, r: Reading) -> Role:
        """Return the role of the images in a split that takes good ones only."""
        if r.label != "defect":
            why = self._why(r)
            return Role("train", why=why) if r.split == "train" else Role("validation", why=why)
        if r.generic or composed(r.type) in self.types:
            return Role("unused", why=f"defective, and {NORMAL[r.split]} takes good images only")
        asked = self._ask(r, r.label_at, f"{own(r)} is not known to hold good images")
        return replace(asked, settle=asked.settle.replace("unused", r.split, 1))

    def _why(self, r: Reading) -> str:
        names = [n for n in r.dirs if meaning(n).one_of("train", "test", "validation")]
        names += [own(r)] if r.label and own(r) not in names else []
        return f"below {' and '.join(dict.fromkeys(names))}"

    def _ask(self, r: Reading, at: int, why: str) -> Role:
        return unused(why, f"{literal('/'.join(r.dirs[: at + 1]))}/**")


def _splits(path: str, role: Role) -> bool:
    """Tell whether a file with a stated role shows that training and test images lie apart."""
    images = role.kind in ("good", "defect")
    return role.kind == "train" or (images and read(in_order(path)[0]).split in ("train", "test"))


def _settle_folders(
    folders: dict[Dirs, list[str]], readings: dict[Dirs, Reading], looks: Looks
) -> bool | None:
    """Find folders of masks among those whose names do not tell, by what is pictured.

    Returns:
        What the good images look like themselves: True two-valued, None unclear, False photographs.
    """
    goods = _goods(folders, readings, looks)
    stems = {d: spread_over(paths) for d, paths in folders.items()}
    prefixes = sorted({d[: at + 1] for d, r in readings.items() if r.usable for at in r.open})
    for prefix in prefixes:
        inside = [d for d in folders if d[: len(prefix)] == prefix and readings[d].usable]
        paths = [path for d in inside for path in folders[d]]
        at = len(prefix) - 1
        labels = any(readings[d].label_at == at or readings[d].type == prefix[at] for d in inside)
        word = bool({"mask", "annotation"} & meaning(prefix[at]).kinds)
        beside = [d for d in folders if d not in inside] if labels else [prefix[:-1]]
        known = set().union(*(stems.get(d, set()) for d in beside))
        if not word and known.isdisjoint(set().union(*(stems[d] for d in inside))):
            continue
        found = looks.at(paths, LOOKS if word else FEW)
        if any(found):
            found = looks.at(paths, LOOKS)
        for d in inside:
            if found and all(found) and goods is not True:
                readings[d].mask_at = at
            elif _unclear(found, goods, word):
                readings[d].blame(f"does {prefix[at]} hold masks, or images?", at)
            elif readings[d].doubt_at == at and readings[d].label_at != at and not labels:
                readings[d].blame(f"{prefix[at]} has the names of the images beside it", at)
    return goods


def _unclear(found: Sequence[bool | None], goods: bool | None, word: bool) -> bool:
    """Tell whether pictures may be masks as well as images, given what the good images look
    like."""
    if goods is False:
        return not any(found) and False not in found
    return word and True in found


def _goods(
    folders: dict[Dirs, list[str]], readings: dict[Dirs, Reading], looks: Looks
) -> bool | None:
    """Look at good images: a few of every file format, since masks may lie among them."""
    formats: dict[str, list[str]] = defaultdict(list)
    for dirs, paths in folders.items():
        r = readings[dirs]
        if r.usable and (r.label == "good" or (r.split == "train" and not r.label)):
            for path in paths:
                if not has_word(stem_of(path), *DERIVED):
                    formats[suffix_of(path)].append(path)
    seen = [what for paths in formats.values() for what in looks.at(paths, FEW)]
    if False in seen:
        return False
    return True if seen and all(seen) else None


def _doubt(roles: dict[str, Role], looks: Looks, goods: bool | None, stated: set[str]) -> None:
    """Make a two-valued picture among photographs unsettled when no name makes it a mask."""
    for path, two_valued in looks.seen.items():
        taken = path in roles and roles[path].kind in IMAGES and path not in stated
        if taken and two_valued and goods is not True:
            why = "two-valued like a mask, but no image's name fits"
            roles[path] = unused(why, literal(path))


def _check_thumbnails(
    roles: dict[str, Role], readings: dict[Dirs, Reading], folders: dict[Dirs, list[str]]
) -> None:
    """Make thumbnails unsettled when they are of no image that is there."""
    images = [p for p, r in roles.items() if r.kind in IMAGES]
    known = spread_over(images)
    for dirs, reading in readings.items():
        if reading.thumb_at >= 0 and not reading.system:
            for path in folders[dirs]:
                if bare(stem_of(path), "thumbnail") not in known:
                    prefix = "/".join(dirs[: reading.thumb_at + 1])
                    why = "no thumbnail of an image that is there"
                    roles[path] = unused(why, f"{literal(prefix)}/**")


def _divided(roles: dict[str, Role]) -> dict[str, Role]:
    """Divide good images without a split: every fifth for testing, the others for training."""
    good = sorted((p for p, r in roles.items() if r.kind == "good"), key=in_order)
    out = {}
    for number, path in enumerate(good, 1):
        kept = number % EVERY == 0
        why = f"{roles[path].why}; {'every' if kept else 'all but every'} {EVERY}th is a test image"
        out[path] = replace(roles[path], kind="good" if kept else "train", why=why)
    return out
