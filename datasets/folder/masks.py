"""Which pictures are masks, and of which image: by name, and by content where names settle nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmark.data.dataset import Role

from .names import bare, composed, has_word, stem_of, suffix_of
from .rules import literal

Look = Callable[[str], bool | None]
"""Whether the picture at a path has two values: True a mask, False a photograph, None unclear."""

LOOKS = 20
"""At most so many files of a folder are looked at."""
FEW = 3
ANNOTATED = ("mask", "annotation")
DERIVED = (*ANNOTATED, "thumbnail", "doubtful")
IMAGES = ("train", "good", "defect", "validation")


class Looks:
    """A memory of looks at a few pictures of each folder.

    Attributes:
        seen: what was found, by path.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._left: dict[str, int] = defaultdict(lambda: LOOKS)
        self.seen: dict[str, bool | None] = {}

    def at(self, paths: Sequence[str], count: int) -> list[bool | None]:
        """Look at ``count`` of these pictures, evenly spread; fewer where a folder's looks are used
        up."""
        step = max(1.0, len(paths) / count)
        chosen = [paths[int(i * step)] for i in range(min(count, len(paths)))]
        for path in chosen:
            folder = path.rpartition("/")[0]
            if path not in self.seen and self._left[folder]:
                self._left[folder] -= 1
                self.seen[path] = self._look(path)
        return [self.seen[path] for path in chosen if path in self.seen]


def unused(why: str, path: str) -> Role:
    """Make the role of an unsettled file that the user can leave out with this pattern."""
    return Role("unsettled", why=why, settle=f"unused:{path}")


class Beside:
    """The masks and other derived pictures among the images of one folder.

    Attributes:
        masks: image by mask.
        roles: of thumbnails, and of pictures that may be either.
    """

    def __init__(self, paths: Sequence[str], looks: Looks) -> None:
        self.masks: dict[str, str] = {}
        self.roles: dict[str, Role] = {}
        self._looks = looks
        self._stems: dict[str, list[str]] = defaultdict(list)
        self._plain: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            stem = stem_of(path)
            self._stems[composed(stem)].append(path)
            if not has_word(stem, *DERIVED):
                self._plain[bare(stem, "image")].append(path)
        groups: dict[str, dict[str, str]] = defaultdict(dict)
        for path in paths:
            self._sort(path, groups)
        for name, partners in groups.items():
            self._settle(partners, max(1, LOOKS // len(groups) - FEW), name == "doubtful")
        self._strays([path for path in paths if path not in self.masks | self.roles])

    def _sort(self, path: str, groups: dict[str, dict[str, str]]) -> None:
        """Finds the image that a picture belongs to by its name, if there is one."""
        stem = stem_of(path)
        if has_word(stem, *DERIVED):
            found = self._stems.get(bare(stem, *DERIVED)) or self._plain.get(
                bare(stem, *DERIVED, "image")
            )
            others = [other for other in found or () if other != path]
            if len(others) > 1:
                others = [o for o in others if o.endswith((".jpg", ".jpeg", ".JPG"))] or others
            if others:
                if has_word(stem, "mask"):
                    self.masks[path] = others[0]
                elif has_word(stem, "thumbnail"):
                    self.roles[path] = Role("unused", why=f"a thumbnail of {_name(others[0])}")
                else:
                    kind = "annotation" if has_word(stem, "annotation") else "doubtful"
                    groups[kind][path] = others[0]
                return
        same = [other for other in self._stems[composed(stem)] if other != path]
        if same:
            groups[suffix_of(path)][path] = same[0]
        elif part := self._part(composed(stem)):
            rest = composed(stem).replace(part, "", 1)
            key = "".join("#" if c.isdigit() else c for c in rest)
            groups[key][path] = self._stems[part][0]

    def _part(self, stem: str) -> str | None:
        """Find the longest other stem that this one begins or ends with, up to a separator."""
        return next((part for part in _parts(stem) if part in self._stems), None)

    def _settle(self, partners: Mapping[str, str], count: int, doubtful: bool) -> None:
        """Looks at pictures that belong to images, all by the same kind of name."""
        paths = list(partners)
        seen = self._looks.at(paths, count)
        images = self._looks.at(list(partners.values()), FEW)
        alike = bool(images) and all(v is True for v in images)
        if seen and all(seen) and not alike:
            self.masks |= partners
            return
        photographs = bool(images) and any(v is False for v in images)
        if not doubtful and not any(seen) and (all(v is False for v in seen) or not photographs):
            return  # two photographs with similar names
        all_seen = len(seen) == len(paths) and not alike and not doubtful
        for path, image in partners.items():
            if all_seen and self._looks.seen[path]:
                self.masks[path] = image
            elif not all_seen or self._looks.seen[path] is None:
                what = "made of it" if doubtful else "its mask"
                why = f"another image, or {what}? It is named like {_name(image)}"
                self.roles[path] = unused(why, _like(path, image))

    def _strays(self, images: Sequence[str]) -> None:
        """Look for two-valued pictures of another file format than the images around them."""
        formats: dict[str, list[str]] = defaultdict(list)
        for path in images:
            formats[suffix_of(path)].append(path)
        named = [p for p in images if has_word(stem_of(p), "mask")]
        if named:
            self._looks.at(named, FEW)
        if len(formats) > 1:
            for paths in formats.values():
                self._looks.at(paths, FEW)


def _parts(stem: str) -> list[str]:
    """List what a name begins or ends with, up to a separator, the longest beginning first."""
    cuts = [i for i, c in enumerate(stem) if i and not c.isalnum()]
    return [stem[:i] for i in reversed(cuts)] + [stem[i + 1 :] for i in cuts]


class Pairing:
    """The masks of a category, wherever they lie, and the image of each.

    Attributes:
        of: image by mask, for masks beside their images.
        stated: masks that a rule names: the image's stem and defect type if the rule has them, and
            the names of folders that tell its image.
    """

    def __init__(self) -> None:
        self.of: dict[str, str] = {}
        self._apart: dict[str, tuple[str, ...]] = {}
        self.stated: dict[str, tuple[str | None, str | None, tuple[str, ...]]] = {}

    def add(self, mask: str, below: tuple[str, ...]) -> None:
        """Add a mask in a folder of masks; ``below``: the names of folders that tell its image."""
        self._apart[mask] = below

    def settle(self, roles: Mapping[str, Role]) -> dict[str, Role]:
        """Settle the role of every mask, given those of the images."""
        self._roles = roles
        self._stems: dict[str, list[str]] = defaultdict(list)
        self._plain: dict[str, list[str]] = defaultdict(list)
        self._there = {name for path in roles for name in _folders(path)}
        for path, role in roles.items():
            if role.kind in (*IMAGES, "unused"):
                self._stems[composed(stem_of(path))].append(path)
                self._plain[bare(stem_of(path), "image")].append(path)
        out = {
            mask: Role("mask", image, f"named like {_name(image)} beside it")
            for mask, image in self.of.items()
            if image in roles and roles[image].kind in IMAGES
        }
        out |= {
            mask: _left_out(image)
            for mask, image in self.of.items()
            if image in roles and roles[image].kind == "unused"
        }
        for mask in self.of.keys() - out.keys():
            out[mask] = unused(f"a mask of {self.of[mask]}, which is no image", literal(mask))
        for mask, below in self._apart.items():
            out[mask] = self._apart_role(mask, below)
        for mask, (stem, kind, below) in self.stated.items():
            images = self._stems.get(composed(stem), []) if stem else self._named(mask)
            if kind:
                images = [i for i in images if composed(roles[i].of) == composed(kind)]
            images = [i for i in images if _within(below, i)] or images
            out[mask] = self._one(mask, images, below)
        return _once(out, roles)

    def _named(self, mask: str) -> list[str]:
        stem = stem_of(mask)
        return (
            self._stems.get(composed(stem))
            or self._stems.get(bare(stem, *ANNOTATED))
            or self._plain.get(bare(stem, *ANNOTATED, "image"))
            or []
        )

    def _apart_role(self, mask: str, below: tuple[str, ...]) -> Role:
        named = self._named(mask)
        fitting = [image for image in named if _within(below, image)]
        if fitting:
            return self._one(mask, fitting, below)
        if below:
            owners = [i for i in self._stems.get(below[-1], ()) if _within(below[:-1], i)]
            if owners:
                folder = mask.rpartition("/")[0]
                return unused(
                    f"{folder}/ holds masks of one image ({owners[0]}); merge them into one file "
                    f"{folder}.png",
                    f"{literal(folder)}/**",
                )
        role = self._one(mask, named, ())
        image = self._roles.get(role.of)
        strange = not self._there.isdisjoint(below) or (image and image.kind != "defect")
        if role.kind == "mask" and below and strange:
            return unused(
                f"a mask of no image below {'/'.join(below)}, though {role.of} has its name",
                literal(mask),
            )
        return role

    def _inside(self, mask: str, below: tuple[str, ...]) -> str:
        """Find the one defective image whose name begins or ends a mask's, or "" if there is none."""
        stem = stem_of(mask)
        for part in _parts(stem):
            images = [i for i in self._stems.get(composed(part), ()) if _within(below, i)]
            images = [i for i in images if self._roles[i].kind == "defect"]
            if len(images) == 1 and stem_of(images[0]) in stem:
                return images[0]
        return ""

    def _one(self, mask: str, images: Sequence[str], below: tuple[str, ...]) -> Role:
        """Choose the one image of a mask; a defective one comes before good ones of the same
        name."""
        images = [i for i in images if self._roles[i].kind == "defect"] or list(images)
        nearest = [i for i in images if _folders(i)[-len(below) :] == below] if below else []
        images = nearest or images
        images = [i for i in images if self._roles[i].kind in IMAGES] or images
        if images and self._roles[images[0]].kind == "unused":
            return _left_out(images[0])
        if images and (len(images) == 1 or self._roles[images[0]].kind != "defect"):
            return Role("mask", images[0], "in a folder of masks")
        if images:
            return unused(
                f"a mask for two images, {images[0]} and {images[1]}; put masks into folders named "
                "like those of the images",
                literal(mask),
            )
        if image := self._inside(mask, below):
            more = f"a mask of {image}? Its name says more than the image's"
            return Role("unsettled", why=more, settle=f"mask:{_named_after(mask, image)}")
        folder = mask.rpartition("/")[0]
        defective = next((p for p, r in self._roles.items() if r.kind == "defect"), "")
        expected = f"{folder}/{stem_of(defective)}.png".lstrip("/")
        hint = f"; for {defective} it would be {expected}" if defective else ""
        return unused(f"a mask that is named after no image{hint}", literal(mask))


def _named_after(mask: str, image: str) -> str:
    """Write a pattern for masks in this folder that are named after their images as this one is."""
    folder, _, name = mask.rpartition("/")
    before, _, after = name.partition(stem_of(image))
    return f"{literal(folder)}/{literal(before)}{{stem}}{literal(after)}".lstrip("/")


def _left_out(image: str) -> Role:
    return Role("unused", why=f"a mask of {image}, which is left out")


def _once(masks: Mapping[str, Role], images: Mapping[str, Role]) -> dict[str, Role]:
    """Make a second mask of the same defective image unsettled."""
    first: dict[str, str] = {}
    out = {}
    for mask, role in masks.items():
        other = first.setdefault(role.of, mask) if role.kind == "mask" else mask
        if other != mask and images[role.of].kind == "defect":
            why = f"a second mask of {role.of}, which has {other}; merge them into one file"
            role = unused(why, literal(mask))
        out[mask] = role
    return out


def _within(below: Sequence[str], image: str) -> bool:
    """Tell whether these folders lie above an image, in this order, perhaps with others between."""
    above = iter(_folders(image))
    return all(name in above for name in below)


def _folders(path: str) -> tuple[str, ...]:
    return tuple(composed(part) for part in path.split("/")[:-1])


def _like(path: str, image: str) -> str:
    """Write a pattern for all pictures that are named after an image as this one is."""
    folder, _, name = path.rpartition("/")
    stem = stem_of(image)
    if name.count(stem) != 1 or stem_of(path) == stem:
        return literal(path)
    before, after = (literal(part) for part in name.split(stem))
    return f"{literal(folder)}/{before}*{after}".lstrip("/")


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def spread_over(paths: Iterable[str]) -> set[str]:
    """Collect the stems of files, as they are compared."""
    return {bare(stem_of(path), *DERIVED) for path in paths}
