"""A user's own images, in any of the layouts that people usually have.

Per category, or without the category level, one of::

    train/good/…   test/good/…   test/<defect>/…       (train/… may hold the images directly)
    good/…   bad/…                                     (any other folders: one defect type each)

with masks, if there are any, in ``ground_truth/``, ``masks/``, ``mask/`` or ``gt/`` (below it the
same folders as the images have, or flat), or beside the images. ``good`` may also be called normal,
ok and so on; upper and lower case are the same.

Without a test folder every fifth good image, in the order of the file names, is a test image and
the others are for training. That order is the only rule: no image decides about another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmark import Category, Dataset, Sample
from benchmark.errors import DataError, unknown

from ._files import lacking, pictures, require_images, sample, subfolders, usable_name

GOOD = frozenset(
    ("good", "normal", "ok", "okay", "nominal", "healthy", "pass", "clean", "regular")
    + ("defect_free", "defect-free", "no_defect", "anomaly_free", "anomaly-free")
)
TRAIN = frozenset(("train", "training"))
TEST = frozenset(("test", "testing"))
MASKS = frozenset(("ground_truth", "groundtruth", "ground truth", "masks", "mask", "gt"))
ENDINGS = ("", "_mask", "_gt")
EVERY = 5


class FolderData(Dataset):
    """A folder of images, with or without masks, with or without a category level."""

    title = "Folder"
    licence = "the user's own"
    citation = "the user's own"
    origin = "pass the folder that holds your images as --data-root, or set BENCH_DATA"
    size = 256

    def categories(self) -> list[str]:
        """The folders that hold a category, or the folder itself, under its own name.

        Raises:
            DataError: no folder, or none of the layouts; shows what was found and what fits.
        """
        return list(self._folders())

    def category(self, name: str) -> Category:
        """The samples of one category.

        Without any mask in the category its samples have none, and pixel metrics are undefined.

        Raises:
            DataError: unknown or empty category, no test folder, some masks missing, or masks of
                which none has an image's name.
        """
        category = self.listing(name)
        layout = _Layout(self._folders()[name])
        require_images(name, category, layout.training, layout.testing)
        layout.check_masks(category)
        return category

    def listing(self, name: str) -> Category:
        folders = self._folders()
        if usable_name(name) not in folders:
            raise DataError(unknown("category", name, folders))
        return _Layout(folders[name]).read(name)

    def _folders(self) -> dict[str, Path]:
        """Folder of every category."""
        if self.root is None or not self.root.is_dir():
            where = (
                "no data root was given" if self.root is None else f"{self.root}: no such folder"
            )
            raise DataError(f"folder: {where}; {self.origin}.\n{_ACCEPTED}")
        if _holds_category(self.root):
            plain = self.root.name not in ("", "..")  # a link keeps its own name
            return {usable_name((self.root if plain else self.root.resolve()).name): self.root}
        found = {p.name: p for p in subfolders(self.root) if _holds_category(p)}
        if not found:
            raise DataError(
                f"{self.root}: not a layout that is known. Found:\n{_tree(self.root)}\n{_ACCEPTED}"
            )
        return {usable_name(name): folder for name, folder in found.items()}


class _Layout:
    """What is where in the folder of one category."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        below = subfolders(folder)
        train, test = (_named(below, names) for names in (TRAIN, TEST))
        self.split = bool(train or test)
        """Whether there are folders for training and test; else good images are divided."""
        if self.split and not test:
            raise DataError(
                f"{folder}: there is {train[0].name} but no test folder; put good and defective "
                "test images, or only one kind, into test/good and test/<defect>, or name two "
                "folders good and bad without train and test, then every fifth good image becomes "
                "a test image"
            )
        if self.split and not train:
            raise DataError(
                f"{folder}: there is {test[0].name} but no train folder; put normal images into "
                "train/good"
            )
        self.training = train[0] if train else _named(below, GOOD)[0]
        self.testing = test[0] if test else folder
        self.mask_roots = _named(below, MASKS)
        if self.split:
            self.mask_roots += _named(subfolders(self.testing), MASKS)

    def read(self, name: str) -> Category:
        """All samples; a mask that is missing is None."""
        if self.split:
            return Category(name, self._train(), list(self._test()))
        good: list[Sample] = []
        for place in _named(subfolders(self.folder), GOOD):
            good += [sample(self.folder, path) for path in _images(place)]
        test = [s for number, s in enumerate(good, 1) if number % EVERY == 0]
        train = [s for number, s in enumerate(good, 1) if number % EVERY]
        return Category(name, train, test + [s for s in self._test() if s.label])

    def _train(self) -> list[Sample]:
        folders = subfolders(self.training)
        normal = [self.training, *_named(folders, GOOD)]
        paths = [path for place in normal for path in _images(place)]
        if not paths and any(pictures(place) for place in folders):
            raise DataError(
                f"{self.training}: its folders are {', '.join(p.name for p in folders)}, and none "
                f"is known to hold normal images ({', '.join(sorted(GOOD))}); rename it to good"
            )
        return [sample(self.folder, path) for path in paths]

    def _test(self) -> Iterator[Sample]:
        if self.split and pictures(self.testing):
            raise DataError(
                f"{self.testing}: images directly in it ({pictures(self.testing)[0].name}, …) say "
                "nothing about good or defective; move them to folders test/good and test/<defect>"
            )
        for place in subfolders(self.testing):
            if place.name.lower() in MASKS:
                continue
            for kind in [place, *subfolders(place)]:  # bad/…, or bad/scratch/…
                name = kind.name.lower()
                if name in GOOD:
                    yield from (sample(self.folder, path) for path in _images(kind))
                elif name not in MASKS:
                    index = self._masks(kind)
                    for path in _images(kind):
                        yield sample(self.folder, path, kind.name, _mask(index, path))

    def _mask_folders(self, kind: Path) -> list[Path]:
        """Where masks of a folder of defective images may lie, the closest match first."""
        below = kind.relative_to(self.testing)
        places: list[Path] = []
        for root in self.mask_roots:
            places += [root / below, root / self.testing.name / below, root / kind.name, root]
        return [*places, *_named(subfolders(kind), MASKS)]

    def _masks(self, kind: Path) -> dict[str, Path]:
        """Masks by stem, for one folder of defective images."""
        index: dict[str, Path] = {}
        for place in self._mask_folders(kind):
            for path in pictures(place):
                index.setdefault(path.stem, path)
        for path in pictures(kind):  # beside its image
            if _annotates(path, {p.stem for p in pictures(kind)}):
                index.setdefault(path.stem, path)
        return index

    def check_masks(self, category: Category) -> None:
        """Raises DataError when masks are incomplete, ambiguous or named after nothing."""
        defective = [s for s in category.test if s.label]
        missing = [s for s in defective if s.mask is None]
        owners: dict[str, Sample] = {}
        for s in defective:
            if s.mask is None:
                continue
            other = owners.setdefault(s.mask.name(), s)
            if other is not s:
                raise DataError(
                    f"{s.mask.name()}: a mask for two images, {self.folder / other.id} and "
                    f"{self.folder / s.id}; put masks into folders named like those of the images"
                )
        if not missing:
            return
        if owners:
            stem = Path(next(iter(owners))).stem
            ending = next(e for e in reversed(ENDINGS) if stem.endswith(e))
            lines = [
                f"{self.folder / s.id}\n    expected mask: {self._expected(s, ending)}"
                for s in missing
            ]
            raise DataError(
                f"category {category.name!r}: {len(missing)} of {len(defective)} defective images "
                f"have no mask:{lacking(lines)}\nAdd them, or remove all masks to run without."
            )
        for root in self.mask_roots:
            for place in (root, *subfolders(root)):
                if pictures(place) and place.name.lower() not in GOOD:
                    raise DataError(
                        f"{place}: there are masks ({pictures(place)[0].name}, …), but none is "
                        f"named after a defective image. For {self.folder / missing[0].id} it "
                        f"would be {self._expected(missing[0])}; rename them, or remove the folder"
                        " to run without masks"
                    )

    def _expected(self, s: Sample, ending: str = "") -> Path:
        image = self.folder / s.id
        places = self._mask_folders(image.parent)
        place = next((p for p in places if p.is_dir()), image.parent)
        return place / f"{image.stem}{ending or ('_mask' if place == image.parent else '')}.png"


def _holds_category(folder: Path) -> bool:
    return bool(_named(subfolders(folder), TRAIN | TEST | GOOD))


def _named(folders: list[Path], names: frozenset[str]) -> list[Path]:
    return [path for path in folders if path.name.lower() in names]


def _annotates(path: Path, stems: set[str]) -> bool:
    """Whether a file is the mask of another one beside it: ``3_mask.png`` of ``3.jpg``."""
    return any(e and path.stem.removesuffix(e) in stems - {path.stem} for e in ENDINGS)


def _images(folder: Path) -> list[Path]:
    """The images in a folder, without masks that lie beside them."""
    paths = pictures(folder)
    stems = {path.stem for path in paths}
    return [path for path in paths if not _annotates(path, stems)]


def _mask(index: dict[str, Path], image: Path) -> Path | None:
    return next((index[image.stem + e] for e in ENDINGS if image.stem + e in index), None)


def _tree(folder: Path, limit: int = 12) -> str:
    """The first two levels of a folder, for an error message."""
    lines = []
    for path in subfolders(folder):
        lines.append(f"  {path.name}/ ({len(pictures(path))} images)")
        lines += [f"    {p.name}/ ({len(pictures(p))} images)" for p in subfolders(path)]
    if count := len(pictures(folder)):
        lines.append(f"  {count} images directly in it")
    more = [f"  … and {len(lines) - limit} more"] if len(lines) > limit else []
    return "\n".join([*lines[:limit], *more]) or "  nothing"


_ACCEPTED = """\
Accepted are, with or without a folder per category above:
  train/good/*.png                     good/*.png      (or normal, ok, …)
  test/good/*.png               or     bad/*.png       (or scratch, dent, …)
  test/scratch/*.png
  ground_truth/scratch/*.png           masks/bad/*.png (if there are masks)
Masks are named as their image, or with _mask or _gt after its name; folders masks, mask and gt fit
as well as ground_truth."""
