"""What is wrong with a data set on disk: every image decoded once, every mask held against it.

A run stops at the first problem of a category; this looks at all of them, so that they can be put
right in one go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmark.data.dataset import Category, Dataset, ImageSource, Role, Sample, digest
from benchmark.data.geometry import Geometry
from benchmark.data.images import (
    EXTENSIONS,
    FileSource,
    MaskValuesError,
    check_mask,
    in_parallel,
)
from benchmark.data.loading import Keys
from benchmark.data.masks import RegionMasks
from benchmark.data.roles import roles_table
from benchmark.data.survey import (
    WARNINGS,
    Survey,
    sizes_text,
    squashed,
    survey,
    with_threshold,
)
from benchmark.errors import DataError

COUNTS = ("train", "good", "defective")

Progress = Callable[[int, int], None]
"""Called with the number of samples looked at and the number of all samples."""

REMEDIES: Mapping[str, str] = {
    "unreadable": "cannot be decoded; copy them again, or remove them",
    "no mask": "defective images without a mask; add the masks, or remove all of the category",
    "mask only": "masks without a defective image; put the image back, or remove the mask",
    "other size": "masks of another size than their image; resize them with nearest neighbour",
    "not binary": "masks with values other than 0 and 255 (or 0 and 1); run with --mask-threshold "
    "127, or threshold them and save as PNG",
}
"""The kinds of problem that stop a run, and what to do about each."""


@dataclass(frozen=True)
class CategoryReport:
    """What was found in one category.

    Attributes:
        name: the category.
        found: numbers of images, as :attr:`Category.counts`; empty when the category cannot be
            listed.
        official: those of the same numbers that are published; empty when there are none.
        error: why a run would refuse the category; None when it would start.
        problems: per kind, a key of REMEDIES, messages that name the file.
        survey: what a run would go on with and say; None when the category cannot be listed.
        outside: names of methods, and how many defects lie outside of what their paper measures.
        roles: the role of every image file, where the data set gives roles.
        skipped: number of files in the category's folder that belong to no sample, hidden ones
            included, without those counted as ``mask only``; where there are roles, of image files
            that are unused or for validation.
    """

    name: str
    found: Mapping[str, int] = field(default_factory=dict)
    official: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None
    problems: Mapping[str, Sequence[str]] = field(default_factory=dict)
    survey: Survey | None = None
    outside: Mapping[str, int] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    skipped: int = 0

    @property
    def found_kinds(self) -> Mapping[str, Sequence[str]]:
        """Problems and warnings by kind, those that there are."""
        warnings = self.survey.warnings if self.survey else {}
        both = {**self.problems, **{k: [f.text for f in found] for k, found in warnings.items()}}
        return {kind: messages for kind, messages in both.items() if messages}

    @property
    def complete(self) -> bool:
        """Whether the counts are the official ones, where there are any."""
        return all(self.found.get(name, 0) == count for name, count in self.official.items())

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
        unread: what lies beside the categories and belongs to none.
    """

    title: str
    root: Path | None
    categories: Sequence[CategoryReport]
    absent: Sequence[str] = ()
    unread: Sequence[str] = ()

    @property
    def ok(self) -> bool:
        """Whether every category that is there can be used. Counts that differ from the official
        ones and absent categories are shown, but are no obstacle."""
        return all(category.ok for category in self.categories)

    def text(self, limit: int = 5) -> str:
        """An aligned table, the roles of the files, then every problem and warning with at most
        ``limit`` files and a remedy."""
        kinds = [
            k for k in (*REMEDIES, *WARNINGS) if any(k in c.found_kinds for c in self.categories)
        ]
        counts = list(dict.fromkeys(name for c in self.categories for name in c.found)) or COUNTS
        titles = (name.replace("_", " ") for name in counts)
        rows = [["category", *titles, "official", *kinds, "skipped", "size"]]
        rows += [_row(category, counts, kinds) for category in self.categories]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [f"{self.title} in {self.root}" if self.root else self.title]
        for first, *others in rows:
            cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
            lines.append("  ".join([first.ljust(widths[0]), *cells]))
        if self.absent:
            lines.append(f"not there: {', '.join(self.absent)}")
        lines += [f"no category: {text}" for text in self.unread]
        for category in self.categories:
            lines += roles_table(category.name, category.roles)
        for category in self.categories:
            lines += _details(category, limit)
        if self.ok:
            said = any(c.found_kinds or c.outside for c in self.categories)
            but = "; a run goes on and repeats the warnings above." if said else "."
            lines += ["", f"Every image and every mask can be {'read' if said else 'used'}{but}"]
        return "\n".join(lines)


def verify(
    dataset: Dataset,
    progress: Progress | None = None,
    windows: Mapping[str, Geometry] | None = None,
    mask_threshold: int | None = None,
) -> Report:
    """Reads every image and mask of a data set, in threads, a few at a time.

    Args:
        dataset: any; files that belong to no sample are seen where the samples are files.
        progress: called after every sample.
        windows: names of methods and the geometries of their papers; defects that lie outside of
            what these measure are counted.
        mask_threshold: for grey masks, of 255; without it they are a problem.

    Raises:
        DataError: the data set is not there, or has no category at all.
    """
    names = dataset.categories()
    listed: dict[str, Category] = {}
    errors: dict[str, str] = {}
    roles: dict[str, Mapping[str, Role]] = {}
    for name in names:
        try:
            roles[name] = dataset.roles(name)
            listed[name] = with_threshold(dataset.listing(name), mask_threshold)
            dataset.category(name)
        except DataError as error:
            errors[name] = str(error)

    todo = [(name, s) for name, c in listed.items() for s in (*c.normal, *c.test, *c.unlabelled)]
    looks = in_parallel(lambda item: _look(item[1]), todo)
    seen: dict[str, list[_Look]] = {name: [] for name in names}
    for done, ((name, _), look) in enumerate(zip(todo, looks, strict=True), 1):
        seen[name].append(look)
        if progress:
            progress(done, len(todo))

    reports = []
    for name in names:
        report = CategoryReport(
            name,
            official=dataset.official.get(name, {}),
            error=errors.get(name),
            roles=roles.get(name, {}),
        )
        if name in listed:
            report = _report(report, listed[name], seen[name], windows or {})
        reports.append(report)
    absent = [name for name in dataset.official if name not in names]
    return Report(dataset.title, dataset.root, reports, absent, dataset.unread())


def _report(
    report: CategoryReport, category: Category, seen: list[_Look], windows: Mapping[str, Geometry]
) -> CategoryReport:
    """The report of a category whose files have been looked at."""
    problems: dict[str, list[str]] = {kind: [] for kind in REMEDIES}
    for look in seen:
        for kind, message in look.problems:
            problems[kind].append(message)
    problems["no mask"] += _without_mask(category, report.roles)
    masks, skipped = _left_over(category)
    if report.roles:  # they know of every image file, and whether it is left out
        skipped = sum(role.kind in ("unused", "validation") for role in report.roles.values())
    else:
        problems["mask only"] += masks
    train = len(category.normal)
    test = train + len(category.test)
    keys = Keys([s.key for s in seen[:train]], [s.key for s in seen[train:test]], "")
    found, _ = survey(category, keys, list(windows.values()))
    lost = {name: found.outside[g] for name, g in windows.items() if found.outside[g]}
    return replace(
        report,
        found=category.counts,
        problems=problems,
        survey=found,
        outside=lost,
        skipped=skipped,
    )


@dataclass(frozen=True)
class _Look:
    """One sample: the hash of its image, and kind and message of each problem."""

    key: str
    problems: list[tuple[str, str]]


def _look(sample: Sample) -> _Look:
    shape = mask = None
    problems: list[tuple[str, str]] = []
    key = sample.id
    try:
        key = digest(sample.image)
        shape = sample.image.pixels().shape
    except DataError as error:
        problems.append(("unreadable", str(error)))
    if sample.mask is None:
        return _Look(key, problems)
    try:
        mask = sample.mask.mask()
        if shape is not None:
            check_mask(shape, mask.shape, sample.mask.name())
    except MaskValuesError as error:
        problems.append(("not binary", str(error)))
    except DataError as error:
        problems.append(("unreadable" if mask is None else "other size", str(error)))
    return _Look(key, problems)


def _without_mask(category: Category, roles: Mapping[str, Role]) -> list[str]:
    """Defective images without a mask, in a category where there are masks."""
    defective = [sample for sample in category.test if sample.label]
    missing = [sample for sample in defective if sample.mask is None]
    masks = len(missing) < len(defective) or any(
        role.kind == "unsettled" and "mask" in role.why for role in roles.values()
    )
    return [sample.image.name() for sample in missing] if masks else []


def _left_over(category: Category) -> tuple[list[str], int]:
    """The masks without a defective image, and the number of other files without a sample."""
    samples = (*category.normal, *category.test, *category.unlabelled)
    images = {s.image.path for s in samples if isinstance(s.image, FileSource)}
    masks = {path for s in samples for path in _mask_files(s.mask)}
    if not images:
        return [], 0
    image_folders = {path.parent for path in images}
    # where normal frames of a clip have masks too, they lie among those of the abnormal ones
    strict = (s.mask for s in samples if not getattr(s.mask, "may_be_empty", False))
    mask_folders = {path.parent for m in strict for path in _mask_files(m)} - image_folders
    top = os.path.commonpath(image_folders)
    # links to folders are not followed by the walk, but those that hold samples are known
    folders = {Path(folder) for folder, _, _ in os.walk(top)} | image_folders | mask_folders
    lonely: list[str] = []
    skipped = 0
    for folder in sorted(folders):
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path in images or path in masks or path.is_dir():
                continue
            picture = path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
            if picture and folder in mask_folders:
                lonely.append(str(path))
            else:
                skipped += 1
    return lonely, skipped


def _mask_files(mask: ImageSource | None) -> Sequence[Path]:
    if isinstance(mask, RegionMasks):
        return mask.paths
    return [mask.path] if isinstance(mask, FileSource) else []


def _row(category: CategoryReport, names: Sequence[str], kinds: Sequence[str]) -> list[str]:
    counts = [str(category.found.get(key, "-")) for key in names]
    official = "/".join(map(str, category.official.values())) or "-"
    if category.official and category.complete:
        official = "same"
    numbers = [str(len(category.found_kinds.get(kind, ())) or "-") for kind in kinds]
    size = sizes_text(category.survey.sizes) if category.survey else "-"
    return [category.name, *counts, official, *numbers, str(category.skipped or "-"), size]


def _details(category: CategoryReport, limit: int) -> list[str]:
    lines: list[str] = []
    if category.error:
        lines += ["", f"{category.name}: a run would stop: {category.error}"]
    if category.found and not category.complete:
        found, official = (
            "/".join(str(counts.get(key, 0)) for key in category.official)
            for counts in (category.found, category.official)
        )
        lines.append(
            f"\n{category.name}: {found} images ({'/'.join(category.official)}), official are "
            f"{official}; its numbers do not compare with published ones"
        )
    for kind, messages in category.found_kinds.items():
        # the error above already lists the missing masks, with the paths where they belong
        if kind == "no mask" and category.error:
            continue
        remedy = REMEDIES.get(kind) or WARNINGS[kind]
        lines += ["", f"{category.name}: {kind}: {len(messages)} {remedy}:"]
        lines += [f"  {message}" for message in messages[:limit]]
        if len(messages) > limit:
            lines.append(f"  … and {len(messages) - limit} more")
    for name, count in category.outside.items():
        assert category.survey is not None
        lines.append(
            f"\n{category.name}: {count} of {category.survey.defects} defects have no pixel in what "
            f"--protocol paper measures with {name}"
        )
    if category.survey and (size := squashed(category.survey.sizes)):
        lines.append(
            f"\n{category.name}: {sizes_text(category.survey.sizes)} pixels (width × height): a "
            f"square input squashes them; run with --keep-aspect or --image-size {size[0]}x{size[1]}"
            " (height × width)"
        )
    return lines
