"""What was found in a data set, and its text for ``bench data``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.data.dataset import Role
from benchmark.data.roles import roles_table
from benchmark.data.survey import WARNINGS, Survey, sizes_text, squashed

COUNTS = ("train", "good", "defective")

REMEDIES: Mapping[str, str] = {
    "unreadable": "cannot be decoded; copy them again, or remove them",
    "no mask": "defective images without a mask; add the masks, or remove all of the category",
    "mask only": "masks without a defective image; put the image back, or remove the mask",
    "other size": "masks of another size than their image; resize them with nearest neighbour",
    "not binary": "masks with values other than 0 and 255 (or 0 and 1); run with the --mask-threshold "
    "that is named, or save them with two values",
}
"""The kinds of problem that stop a run, and what to do about each."""


@dataclass(frozen=True)
class CategoryReport:
    """The findings in one category.

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
    """The findings in a data set.

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
        """Write an aligned table, the roles of the files, then every problem and warning with at
        most ``limit`` files and a remedy."""
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
            whose = " of these categories" if self.unread else ""
            but = "; a run goes on and repeats the warnings above." if said else "."
            lines += [
                "",
                f"Every image and every mask{whose} can be {'read' if said else 'used'}{but}",
            ]
        return "\n".join(lines)


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
