"""A user's own images, in any of the layouts that people usually have.

Per category, or without the category level, one of::

    train/good/…   test/good/…   test/<defect>/…       (train/… may hold the images directly)
    good/…   bad/…                                     (any other folders: one defect type each)

with masks, if there are any, in ``ground_truth/``, ``masks/``, ``mask/`` or ``gt/`` (below it the
same folders as the images have, or flat), or beside the images. ``good`` may also be called normal,
ok and so on; upper and lower case are the same. Whatever lies below a good folder is good, however
deep, and whatever lies below a defect folder is that defect.

Every image file gets exactly one role (see ``roles.py``). One that has none, or could have two, is
named and stops a run; a line in ``folder.yaml`` beside the categories settles it (``rules.py``).

Without a test folder every fifth good image, in the order of the file names, is a test image and
the others are for training. That order is the only rule: no image decides about another one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from benchmark import Category, Dataset, Sample
from benchmark.data.dataset import Role
from benchmark.data.images import decode_mask, in_parallel
from benchmark.data.looks import annotates
from benchmark.errors import DataError, SettingsError, unknown

from .._files import PHOTOGRAPHS, image_files, pictures, sample, subfolders, usable_name
from .layouts import holds_category
from .masks import unused
from .names import is_system
from .propose import proposal
from .refusals import require_images, require_masks, require_roles, require_whole
from .roles import assign, in_order
from .rules import FILE, Rules, literal, read_rules

BRIGHT = 127
"""Values above this, of 255, mark a defect in a mask that is looked at for whether it has any."""


class FolderData(Dataset):
    """A folder of images, with or without masks, with or without a category level."""

    title = "Folder"
    licence = "the user's own"
    citation = "the user's own"
    origin = "put your own images into one folder"
    size = 256

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(root)
        self._checked: set[Path] = set()  # files of rules that all fit something

    @property
    def layout(self) -> str:
        return _ACCEPTED

    def categories(self) -> list[str]:
        """List the folders that hold a category, or the folder itself, under its own name.

        A name that no category can have is listed too, so that it is named and the others run.

        Raises:
            DataError: no folder, or none of the layouts; shows what was found and what fits.
        """
        return list(self._folders())

    def category(self, name: str) -> Category:
        """List the samples of one category.

        Without any mask in the category its samples have none, and pixel metrics are undefined.

        Raises:
            DataError: unknown or empty category, an image file without a role, or some masks missing.
        """
        roles = self.roles(name)
        folder = self._folders()[_composed(name)]
        self._require_hits(folder)
        require_roles(name, roles, self._rules(folder))
        category = _category(name, folder, roles)
        require_images(folder, category, roles)
        require_masks(folder, category, roles)
        return category

    def listing(self, name: str) -> Category:
        roles = self.roles(name)
        return _category(name, self._folders()[_composed(name)], roles)

    def roles(self, name: str) -> Mapping[str, Role]:
        """Return the role of every image file below a category, by its path there."""
        return self._roles(name)

    def unread(self) -> list[str]:
        if self.root is None or self.root in self._folders().values():
            return []
        known = self._folders().values()
        others = [path for path in subfolders(self.root) if path not in known]
        counts = {path.name: len(image_files(path)) for path in others}
        direct = [f"{path.name}: an image beside the categories" for path in pictures(self.root)]
        return direct + [
            f"{name}/: {count} images, and no folder for train, test or good images"
            for name, count in counts.items()
            if count
        ]

    def write_roles(self) -> Path:
        """Write a folder.yaml that says how the files are read, for the user to change.

        Raises:
            DataError: there is one already, or it cannot be written.
        """
        folders = self._folders()
        file = self.place() / FILE
        text = proposal({name: self._roles(name, divide=False) for name in folders})
        try:
            with file.open("x", encoding="utf-8") as out:
                out.write(text)
        except FileExistsError:
            raise DataError(
                f"{file}: is there already; change it by hand, or move it away. It would be:\n{text}"
            ) from None
        except OSError as error:
            raise DataError(f"{file}: cannot be written ({error.strerror})") from None
        return file

    def _roles(self, name: str, divide: bool = True) -> Mapping[str, Role]:
        folders = self._folders()
        name = usable_name(_composed(name))
        if name not in folders:
            raise DataError(unknown("category", name, folders))
        folder = folders[name]
        files = image_files(folder)
        roles = assign(
            files, self._rules(folder), lambda path: _asked(_seen, folder / path), divide
        )
        return roles | _contradicted(folder, roles) | self._unreadable(folder)

    def _unreadable(self, folder: Path) -> dict[str, Role]:
        """Give a role to photographs in formats that are not read."""
        rules = self._rules(folder)
        roles = {}
        for path in image_files(folder, PHOTOGRAPHS):
            stated = [rule for rule, _ in rules.match(path) if rule.role == "unused"]
            if stated:
                roles[path] = Role("unused", why=f"{FILE}: {stated[0].pattern}")
            elif not any(is_system(part) for part in path.split("/")):
                ending = Path(path).suffix
                why = f"{ending} is not read; convert it to PNG, or leave it out"
                roles[path] = unused(why, f"**/*{ending}")
        return roles

    def _require_hits(self, folder: Path) -> None:
        """Raises SettingsError for a line of folder.yaml that fits no file."""
        shared = (read_rules(self.place()), self._folders().values())
        for rules, folders in ((read_rules(folder), [folder]), shared):
            if not rules.rules or rules.file in self._checked:
                continue
            files = [path for each in folders for path in image_files(each, frozenset())]
            for rule in rules.rules:
                if not rule.fits(files):
                    near = rule.near(files)
                    raise SettingsError(
                        f"{rules.file}: {rule.role}: {rule.pattern} fits no file"
                        + (f", but nearly {near}" if near else "")
                        + "; correct the line, or remove it"
                    )
            self._checked.add(rules.file)

    def _rules(self, folder: Path) -> Rules:
        """Read the lines of a category's own folder.yaml and of the one beside all categories."""
        own, shared = read_rules(folder), read_rules(self.place())
        if own.file == shared.file:
            return own
        return Rules(own.file if own.rules else shared.file, own.rules + shared.rules)

    def _folders(self) -> dict[str, Path]:
        """Find the folder of every category."""
        root = self.place()
        rules = read_rules(root)
        if (stated := _stated(root, rules)) or holds_category(root):
            if not stated:
                require_whole(root)
            plain = root.name not in ("", "..")  # a link keeps its own name
            return {_composed((root if plain else root.resolve()).name): root}
        found: dict[str, Path] = {}
        for path in subfolders(root):
            if holds_category(path) or _stated(path, rules):
                other = found.setdefault(_composed(path.name), path)
                if other is not path:
                    raise DataError(f"{other} and {path}: the same name; rename one of them")
        if not found:
            none = f" {rules.file} names no good images that are there." if rules.rules else ""
            raise DataError(
                f"{root}: not a layout that is known.{none} Found:\n{_tree(root)}\n{_ACCEPTED}"
            )
        return found


def _asked(question: Callable[[Path, int, int], bool | None], file: Path) -> bool | None:
    """Ask something of a file once for all that a run asks of a folder, until the file changes."""
    try:
        state = file.stat()
    except OSError:
        return None
    return question(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=10_000)
def _seen(file: Path, changed: int, size: int) -> bool | None:
    return annotates(file)


@lru_cache(maxsize=100_000)
def _marks(file: Path, changed: int, size: int) -> bool:
    """Tell whether a mask marks anything; one that cannot be read does not."""
    try:
        return bool(decode_mask(file.read_bytes(), file.name, BRIGHT).any())
    except (OSError, DataError):
        return False


def _contradicted(folder: Path, roles: Mapping[str, Role]) -> dict[str, Role]:
    """Make images unsettled that are taken for good while their masks mark a defect."""
    masks = {
        path: role.of
        for path, role in roles.items()
        if role.kind == "mask" and roles[role.of].kind in ("train", "good", "validation")
    }
    marked = in_parallel(lambda path: _asked(_marks, folder / path), masks)
    return {
        image: unused(f"taken for good, and {mask} marks a defect in it", literal(image))
        for (mask, image), marks in zip(masks.items(), marked, strict=True)
        if marks
    }


def _category(name: str, folder: Path, roles: Mapping[str, Role]) -> Category:
    """Sort files with roles into the samples of a category; a mask that is missing is None."""
    masks = {role.of: path for path, role in roles.items() if role.kind == "mask"}
    train: list[Sample] = []
    test: list[Sample] = []
    validation: list[Sample] = []
    for path in sorted(roles, key=in_order):
        role = roles[path]
        if role.kind == "train":
            train.append(sample(folder, folder / path))
        elif role.kind == "validation":
            validation.append(sample(folder, folder / path))
        elif role.kind == "good":
            test.append(sample(folder, folder / path))
        elif role.kind == "defect":
            mask = folder / masks[path] if path in masks else None
            test.append(sample(folder, folder / path, role.of, mask))
    return Category(name, train, test, validation)


def _stated(folder: Path, rules: Rules) -> bool:
    """Tell whether a rule says that a folder holds good images."""
    roles = {"train", "good"}
    rules = Rules(rules.file, tuple(r for r in rules.rules if r.role in roles))
    return bool(rules.rules) and any(rules.match(path) for path in image_files(folder))


def _composed(name: str) -> str:
    """Turn a folder's name into a category's: composed Unicode; what cannot be shown is escaped,
    which no usable name is."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return unicodedata.normalize("NFC", text)


def _tree(folder: Path, limit: int = 12) -> str:
    """Draw the first two levels of a folder, for an error message."""
    lines = []
    for path in subfolders(folder):
        lines.append(f"  {path.name}/ ({_contents(path)})")
        lines += [f"    {p.name}/ ({_contents(p)})" for p in subfolders(path)]
    if count := len(pictures(folder)):
        lines.append(f"  {count} images directly in it")
    more = [f"  … and {len(lines) - limit} more"] if len(lines) > limit else []
    return "\n".join([*lines[:limit], *more]) or "  nothing"


def _contents(folder: Path) -> str:
    """Count the images directly in a folder, and the photographs in formats that are not read."""
    others = [p for p in image_files(folder, PHOTOGRAPHS) if "/" not in p]
    strange = f", {len(others)} {Path(others[0]).suffix} that are not read" if others else ""
    return f"{len(pictures(folder))} images{strange}"


_ACCEPTED = """\
Accepted are, with or without a folder per category above:
  train/good/*.png                     good/*.png      (or normal, ok, …)
  test/good/*.png               or     bad/*.png       (or scratch, dent, …)
  test/scratch/*.png
  ground_truth/scratch/*.png           masks/bad/*.png (if there are masks)
Masks are named as their image, or with _mask or _gt after its name; folders masks, mask and gt fit
as well as ground_truth. Anything else can be said in folder.yaml, such as good: ok/**"""
