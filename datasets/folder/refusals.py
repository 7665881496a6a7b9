"""Why a folder cannot be used as a category, in words that end with what settles it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from benchmark import Category, Sample
from benchmark.data.dataset import Role
from benchmark.data.images import EXTENSIONS
from benchmark.errors import DataError

from .._files import image_files, lacking, subfolders
from .names import meaning
from .reading import SAYS_NOTHING, read
from .rules import FILE, Rules, line, literal


def require_whole(root: Path) -> None:
    """Raises DataError for a folder that is one split of a category, with another one beside it."""
    root = root.resolve()
    splits = {path: meaning(path.name) for path in (root, *subfolders(root.parent))}
    named = {
        path: says.one_of("train", "test", "validation")
        for path, says in splits.items()
        if says.only("train", "test", "validation", *SAYS_NOTHING) and image_files(path)
    }
    others = [path.name for path, split in named.items() if split != named.get(root)]
    if root in named and others:
        raise DataError(
            f"{root}: holds one split, and {', '.join(f'{name}/' for name in others)} beside it the "
            f"other images; pass {root.parent} as --data-root. If it is to be read alone, say in "
            f"{root / FILE} which of its images are good, for instance good: good/**"
        )


def require_roles(name: str, roles: Mapping[str, Role], rules: Rules) -> None:
    """Raises DataError for image files without a role, ending with the line that settles it."""
    asked = {path: role for path, role in roles.items() if role.kind == "unsettled"}
    if not asked:
        return
    whys: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, role in asked.items():
        whys[role.why, role.settle if role.settle.endswith("/**") else ""].append(path)
    said = [
        f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {why}"
        for (why, _), paths in whys.items()
    ]
    several = len(asked) > 1
    lines = _settling(roles)
    raise DataError(
        f"category {name!r}: {len(asked)} image {'files have' if several else 'file has'} no role, "
        f"or could have two:{lacking(said, 5)}\nWrite into {rules.file} what they are (train, good, "
        "defect, mask, validation or unused), for instance:\n" + "\n".join(lines)
    )


def _settling(roles: Mapping[str, Role]) -> list[str]:
    """Write the lines that give all unsettled files a role: whole folders where nothing else is in
    them."""
    patterns: dict[str, dict[str, None]] = defaultdict(dict)
    others = [path for path, r in roles.items() if r.kind != "unsettled"]
    settled, beside = {p for path in others for p in _above(path)}, {_folder(p) for p in others}
    alike = Counter(_folder(path) for path, r in roles.items() if r.kind == "unsettled")
    for path, role in roles.items():
        if role.kind != "unsettled":
            continue
        name, _, pattern = role.settle.partition(":")
        alone = [prefix for prefix in _above(path) if prefix not in settled]
        if name == "mask":  # already a pattern for all that are named alike
            patterns[name][pattern] = None
            continue
        if alone:
            pattern = f"{literal(alone[0])}/**"
        elif _folder(path) not in beside and alike[_folder(path)] > 1:
            pattern = f"{literal(_folder(path))}/*".lstrip("/")
        patterns[name][pattern] = None
    return [line(name, listed) for name, listed in patterns.items()]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _above(path: str) -> list[str]:
    """List the folders above a file, the outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _validates(path: str) -> bool:
    """Tell whether a file is a defective image below a folder for validation."""
    reading = read(tuple(path.split("/")[:-1]))
    return reading.split == "validation" and reading.label == "defect"


def require_images(folder: Path, category: Category, roles: Mapping[str, Role]) -> None:
    """Raises DataError when a category has nothing to train on or nothing to test."""
    normal = "put them into train/good"
    test = (
        "put good and defective ones, or only one kind, into test/good and test/<defect>; or name "
        "two folders good and bad without train and test, then every fifth good image becomes a "
        "test image"
    )
    if left := next((p for p, r in roles.items() if r.kind == "unused" and _validates(p)), ""):
        test += f"; {_folder(left)} holds defective images: if it is the test split, call it test"
    for samples, missing, remedy in (
        (category.train, "no normal images to train on", normal),
        (category.test, "no images to test", test),
    ):
        if not samples:
            raise DataError(
                f"category {category.name!r} is empty: {missing} below {folder} (looked for "
                f"{', '.join(sorted(EXTENSIONS))}); {remedy}"
            )


def require_masks(folder: Path, category: Category, roles: Mapping[str, Role]) -> None:
    """Raises DataError when some defective images have a mask and others have none."""
    defective = [s for s in category.test if s.label]
    missing = [s for s in defective if s.mask is None]
    if not missing or len(missing) == len(defective):
        return
    there = next(s for s in defective if s.mask is not None)
    assert there.mask is not None
    mask = Path(there.mask.name()).relative_to(folder)
    lines = [
        f"{folder / s.id}\n    expected mask: {_expected(folder, s, there, mask)}" for s in missing
    ]
    raise DataError(
        f"category {category.name!r}: {len(missing)} of {len(defective)} defective images "
        f"have no mask:{lacking(lines)}\nAdd them, or remove all masks to run without."
    )


def _expected(folder: Path, s: Sample, other: Sample, mask: Path) -> Path:
    """Return the path at which the mask of a sample belongs, as ``mask`` belongs to ``other``."""
    image, like = PurePosixPath(s.id), PurePosixPath(other.id)
    place = mask.as_posix().replace(like.stem, image.stem)
    return folder / place.replace(f"/{like.parent.name}/", f"/{image.parent.name}/")
