"""What is wrong with a data set on disk: every image decoded once, every mask held against it.

A run stops at the first problem of a category; this looks at all of them, so that they can be put
right in one go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.dataset import Category, Dataset, ImageSource, Sample
from benchmark.errors import DataError
from benchmark.images import EXTENSIONS, FileSource, check_mask, in_parallel

Progress = Callable[[int, int], None]
"""Called with the number of samples looked at and the number of all samples."""


@dataclass(frozen=True)
class CategoryReport:
    """What was found in one category. The lists hold messages that name the file.

    Attributes:
        name: the category.
        found: number of images: ``train``, ``good`` and ``defective`` (both of the test split).
        official: the same numbers as published; empty when there are none.
        error: why a run would refuse the category; None when it would start.
        unreadable: images and masks that cannot be decoded.
        without_mask: defective images without a mask, in a category where others have one.
        without_image: masks that belong to no defective image.
        other_size: masks of another size than their image.
        not_binary: masks with values other than 0 and 255, or 0 and 1.
        empty: masks without any defective pixel.
        skipped: number of files that are neither image nor mask of any sample.
    """

    name: str
    found: Mapping[str, int] = field(default_factory=dict)
    official: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None
    unreadable: list[str] = field(default_factory=list)
    without_mask: list[str] = field(default_factory=list)
    without_image: list[str] = field(default_factory=list)
    other_size: list[str] = field(default_factory=list)
    not_binary: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    skipped: int = 0

    @property
    def complete(self) -> bool:
        """Whether the counts are the official ones, where there are any."""
        return not self.official or dict(self.found) == dict(self.official)

    @property
    def ok(self) -> bool:
        """Whether a run can use the category as it is."""
        return self.error is None and not any(messages for _, messages in self.problems())

    def problems(self) -> list[tuple[str, list[str]]]:
        """Each kind of problem with its messages, in the order of the columns of the table."""
        return [
            ("unreadable", self.unreadable),
            ("no mask", self.without_mask),
            ("mask only", self.without_image),
            ("other size", self.other_size),
            ("not binary", self.not_binary),
            ("empty mask", self.empty),
        ]


_REMEDIES = {
    "unreadable": "files that cannot be decoded: copy them again or remove them",
    "no mask": "defective images without a mask: add the masks, or remove all of the category",
    "mask only": "masks without a defective image: remove them, or put the images back",
    "other size": "masks of another size than their image: resize with nearest neighbour",
    "not binary": "masks with grey values: threshold them and save them as PNG",
    "empty mask": "masks without a defective pixel: draw the defect, or move the image to good",
}


@dataclass(frozen=True)
class Report:
    """What was found in a data set."""

    title: str
    root: Path | None
    categories: list[CategoryReport]

    @property
    def ok(self) -> bool:
        """Whether runs can use every category as it is. Other counts than the official ones are
        shown, but no obstacle."""
        return all(category.ok for category in self.categories)

    def text(self, limit: int = 5) -> str:
        """An aligned table, then each problem with at most ``limit`` files and the remedy."""
        kinds = list(_REMEDIES)
        rows = [["category", "train", "good", "defective", "official", *kinds, "skipped"]]
        rows += [_row(category) for category in self.categories]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [f"{self.title} in {self.root}" if self.root else self.title]
        for row in rows:
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells))
        for category in self.categories:
            lines += _details(category, limit)
        if self.ok:
            lines += ["", "Every image and mask can be read, and the masks match."]
        return "\n".join(lines)


def verify(dataset: Dataset, progress: Progress | None = None) -> Report:
    """Reads every image and mask of a data set, in threads, holding a few at a time.

    Args:
        dataset: any; files that belong to no sample are only seen where samples are files.
        progress: called after every sample.

    Raises:
        DataError: the data set is not there, or nothing in it is a category.
    """
    reports: dict[str, CategoryReport] = {}
    todo: list[tuple[CategoryReport, Sample]] = []
    for name in dataset.categories():
        official = dataset.official.get(name, {})
        error = None
        try:
            dataset.category(name)
        except DataError as refused:
            error = str(refused)
        try:
            category = dataset.listing(name)
        except DataError:
            reports[name] = CategoryReport(name, official=official, error=error)
            continue
        report = CategoryReport(name, _count(category), official, error, **_files(category))
        reports[name] = report
        todo += [(report, sample) for sample in (*category.train, *category.test)]

    def look(item: tuple[CategoryReport, Sample]) -> list[tuple[list[str], str]]:
        return _look(*item)

    for done, problems in enumerate(in_parallel(look, todo), 1):
        for messages, message in problems:
            messages.append(message)
        if progress:
            progress(done, len(todo))
    return Report(dataset.title, dataset.root, list(reports.values()))


def _count(category: Category) -> dict[str, int]:
    defective = sum(sample.label for sample in category.test)
    good = len(category.test) - defective
    return {"train": len(category.train), "good": good, "defective": defective}


def _look(report: CategoryReport, sample: Sample) -> list[tuple[list[str], str]]:
    """The problems of one sample, each with the list that it belongs to."""
    problems: list[tuple[list[str], str]] = []
    shape = mask = None
    try:
        shape = sample.image.pixels().shape
    except DataError as error:
        problems.append((report.unreadable, str(error)))
    if sample.mask is None:
        return problems
    try:
        mask = sample.mask.mask()
    except NotBinaryError as error:
        problems.append((report.not_binary, str(error)))
    except DataError as error:
        problems.append((report.unreadable, str(error)))
    if mask is None:
        return problems
    if not mask.any():
        problems.append((report.empty, f"{sample.mask.name()}: no pixel is marked"))
    if shape is not None:
        try:
            check_mask(shape, mask.shape, sample.mask.name())
        except DataError as error:
            problems.append((report.other_size, str(error)))
    return problems
