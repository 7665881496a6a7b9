"""What is wrong with a data set on disk: every image decoded once, every mask held against it.

A run stops at the first problem of a category; this looks at all of them, so that they can be put
right in one go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.data.dataset import Category, Dataset, Sample
from benchmark.data.images import EXTENSIONS, FileSource, MaskValuesError, check_mask, in_parallel
from benchmark.errors import DataError

Progress = Callable[[int, int], None]
"""Called with the number of samples looked at and the number of all samples."""

REMEDIES: Mapping[str, str] = {
    "unreadable": "cannot be decoded; copy them again, or remove them",
    "no mask": "defective images without a mask; add the masks, or remove all of the category",
    "mask only": "masks without a defective image; put the image back, or remove the mask",
    "other size": "masks of another size than their image; resize them with nearest neighbour",
    "not binary": "masks with values other than 0 and 255 (or 0 and 1); threshold them, save as PNG",
    "empty mask": "masks without a defective pixel; mark the defect, or move the image to good",
}
"""The kinds of problem a file can have, and what to do about each."""


@dataclass(frozen=True)
class CategoryReport:
    """What was found in one category.

    Attributes:
        name: the category.
        found: number of images: ``train``, ``good`` and ``defective`` (both of the test split);
            empty when the category cannot be listed.
        official: the same numbers as published; empty when there are none.
        error: why a run would refuse the category; None when it would start.
        problems: per kind, a key of REMEDIES, messages that name the file.
        skipped: number of files in the category's folder that belong to no sample, hidden ones
            included, without those counted as ``mask only``.
    """

    name: str
    found: Mapping[str, int] = field(default_factory=dict)
    official: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None
    problems: Mapping[str, Sequence[str]] = field(default_factory=dict)
    skipped: int = 0

    @property
    def complete(self) -> bool:
        """Whether the counts are the official ones, where there are any."""
        return not self.official or dict(self.found) == dict(self.official)

    @property
    def ok(self) -> bool:
        """Whether a run would start and find no bad file."""
        return self.error is None and not any(self.problems.values())


@dataclass(frozen=True)
class Report:
    """What was found in a data set.

    Attributes:
        title: its readable name.
        root: its folder, None when it needs none.
        categories: one report each, in table order.
        absent: official categories that are not there.
    """

    title: str
    root: Path | None
    categories: Sequence[CategoryReport]
    absent: Sequence[str] = ()

    @property
    def ok(self) -> bool:
        """Whether every category that is there can be used. Counts that differ from the official
        ones and absent categories are shown, but are no obstacle."""
        return all(category.ok for category in self.categories)

    def text(self, limit: int = 5) -> str:
        """An aligned table, then every problem with at most ``limit`` files and a remedy."""
        rows = [["category", "train", "good", "defective", "official", *REMEDIES, "skipped"]]
        rows += [_row(category) for category in self.categories]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [f"{self.title} in {self.root}" if self.root else self.title]
        for first, *others in rows:
            cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
            lines.append("  ".join([first.ljust(widths[0]), *cells]))
        if self.absent:
            lines.append(f"not there: {', '.join(self.absent)}")
        for category in self.categories:
            lines += _details(category, limit)
        if self.ok:
            lines += ["", "Every image and every mask can be used."]
        return "\n".join(lines)


def verify(dataset: Dataset, progress: Progress | None = None) -> Report:
    """Reads every image and mask of a data set, in threads, a few at a time.

    Args:
        dataset: any; files that belong to no sample are seen where the samples are files.
        progress: called after every sample.

    Raises:
        DataError: the data set is not there, or has no category at all.
    """
    names = dataset.categories()
    listed: dict[str, Category] = {}
    errors: dict[str, str] = {}
    for name in names:
        try:
            listed[name] = dataset.listing(name)
            dataset.category(name)
        except DataError as error:
            errors[name] = str(error)

    problems: dict[str, dict[str, list[str]]] = {
        name: {kind: [] for kind in REMEDIES} for name in names
    }
    skipped = dict.fromkeys(names, 0)
    for name, category in listed.items():
        problems[name]["no mask"] += _without_mask(category)
        masks, skipped[name] = _left_over(category)
        problems[name]["mask only"] += masks

    todo = [(name, s) for name, c in listed.items() for s in (*c.train, *c.test)]
    looks = in_parallel(lambda item: list(_look(item[1])), todo)
    for done, ((name, _), found) in enumerate(zip(todo, looks, strict=True), 1):
        for kind, message in found:
            problems[name][kind].append(message)
        if progress:
            progress(done, len(todo))

    reports = [
        CategoryReport(
            name,
            _count(listed[name]) if name in listed else {},
            dataset.official.get(name, {}),
            errors.get(name),
            problems[name],
            skipped[name],
        )
        for name in names
    ]
    absent = [name for name in dataset.official if name not in names]
    return Report(dataset.title, dataset.root, reports, absent)


def _count(category: Category) -> dict[str, int]:
    defective = sum(sample.label for sample in category.test)
    good = len(category.test) - defective
    return {"train": len(category.train), "good": good, "defective": defective}


def _look(sample: Sample) -> Iterator[tuple[str, str]]:
    """The problems of one sample's files: kind and message."""
    shape = mask = None
    try:
        shape = sample.image.pixels().shape
    except DataError as error:
        yield "unreadable", str(error)
    if sample.mask is None:
        return
    try:
        mask = sample.mask.mask()
    except MaskValuesError as error:
        yield "not binary", str(error)
    except DataError as error:
        yield "unreadable", str(error)
    if mask is not None and not mask.any():
        yield "empty mask", f"{sample.mask.name()}: no pixel is marked as defective"
    if mask is not None and shape is not None:
        try:
            check_mask(shape, mask.shape, sample.mask.name())
        except DataError as error:
            yield "other size", str(error)


def _without_mask(category: Category) -> list[str]:
    """Defective images without a mask, in a category where others have one."""
    defective = [sample for sample in category.test if sample.label]
    missing = [sample for sample in defective if sample.mask is None]
    return [sample.image.name() for sample in missing] if len(missing) < len(defective) else []


def _left_over(category: Category) -> tuple[list[str], int]:
    """The masks without a defective image, and the number of other files without a sample."""
    samples = (*category.train, *category.test)
    images = {s.image.path for s in samples if isinstance(s.image, FileSource)}
    masks = {s.mask.path for s in samples if isinstance(s.mask, FileSource)}
    if not images:
        return [], 0
    image_folders = {path.parent for path in images}
    mask_folders = {path.parent for path in masks} - image_folders
    top = os.path.commonpath(image_folders)
    # links to folders are not followed by the walk, but those that hold samples are known
    folders = {Path(folder) for folder, _, _ in os.walk(top)} | image_folders | mask_folders
    lonely: list[str] = []
    skipped = 0
    for folder in sorted(folders):
        for path in sorted(folder.iterdir()):
            if path in images or path in masks or path.is_dir():
                continue
            picture = path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
            if picture and folder in mask_folders:
                lonely.append(str(path))
            else:
                skipped += 1
    return lonely, skipped


def _row(category: CategoryReport) -> list[str]:
    counts = [str(category.found.get(key, "-")) for key in ("train", "good", "defective")]
    official = "/".join(map(str, category.official.values())) or "-"
    if category.official and category.complete:
        official = "same"
    problems = [str(len(category.problems.get(kind, ())) or "-") for kind in REMEDIES]
    return [category.name, *counts, official, *problems, str(category.skipped or "-")]


def _details(category: CategoryReport, limit: int) -> list[str]:
    lines: list[str] = []
    if category.error:
        lines += ["", f"{category.name}: a run would stop: {category.error}"]
    if category.found and not category.complete:
        found, official = (
            "/".join(str(counts[key]) for key in ("train", "good", "defective"))
            for counts in (category.found, category.official)
        )
        lines.append(
            f"\n{category.name}: {found} images (train/good/defective), official are {official}; "
            "its numbers do not compare with published ones"
        )
    for kind, messages in category.problems.items():
        # the error above already lists the missing masks, with the paths where they belong
        if not messages or (kind == "no mask" and category.error):
            continue
        lines += ["", f"{category.name}: {len(messages)} {REMEDIES[kind]}:"]
        lines += [f"  {message}" for message in messages[:limit]]
        if len(messages) > limit:
            lines.append(f"  … and {len(messages) - limit} more")
    return lines
