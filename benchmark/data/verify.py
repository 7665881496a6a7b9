"""What is wrong with a data set on disk: every image decoded once, every mask held against it.

A run stops at the first problem of a category; this looks at all of them, so that they can be put
right in one go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.data.dataset import Category, Dataset, ImageSource, Role, Sample, content_key
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
from benchmark.data.report import REMEDIES, CategoryReport, Report
from benchmark.data.survey import survey, with_threshold
from benchmark.errors import DataError

Progress = Callable[[int, int], None]
"""Called with the number of samples looked at and the number of all samples."""


def verify(
    dataset: Dataset,
    progress: Progress | None = None,
    windows: Mapping[str, Geometry] | None = None,
    mask_threshold: int | None = None,
) -> Report:
    """Read every image and mask of a data set, in threads, a few at a time.

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
    """Complete the report of a category whose files have been looked at."""
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
    normal, tested = len(category.normal), len(category.normal) + len(category.test)
    keys = Keys([s.key for s in seen[:normal]], [s.key for s in seen[normal:tested]], "")
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
        key = content_key(sample.image)
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
    """List defective images without a mask, in a category where there are masks."""
    defective = [sample for sample in category.test if sample.label]
    missing = [sample for sample in defective if sample.mask is None]
    masks = len(missing) < len(defective) or any(
        role.kind == "unsettled" and "mask" in role.why for role in roles.values()
    )
    return [sample.image.name() for sample in missing] if masks else []


def _left_over(category: Category) -> tuple[list[str], int]:
    """Find the masks without a defective image, and count other files without a sample."""
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
