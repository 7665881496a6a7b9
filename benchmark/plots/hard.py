"""Hard images: defects that every method misses, and those that only one finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.errors import DataError, StoreError
from benchmark.plots.bars import limit
from benchmark.plots.common import figure, folder_of, headline, picture_over, save
from benchmark.plots.gallery import outline
from benchmark.records.names import short_names
from benchmark.records.select import blocks
from benchmark.records.stored import Datasets, Stored, one_seed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import SubFigure

COLUMNS = 6
ROWS = 2
"""Of each of the two groups; how many there are in all is said beside them."""
SIDE = 1.6
"""Inches of one image."""


@dataclass(frozen=True)
class Case:
    """A defective image and the methods that find it.

    Attributes:
        image: its id.
        category, defect: of the data set.
        found: readable names of the methods whose score is above their threshold.
        asked: how many methods scored it.
        stored: a record that scored it.
    """

    image: str
    category: str
    defect: str
    found: tuple[str, ...]
    asked: int
    stored: Stored


def cases(part: pd.DataFrame, say: Callable[[str], None] = print) -> Iterator[Case]:
    """Yield the defective images that at least two methods scored and at most one found.

    The threshold is as in :func:`benchmark.plots.bars.limit`.

    Args:
        part: a block's records; the first seed counts.
        say: told of records whose scores are gone.
    """
    for category, same in part.groupby("category", sort=True):
        verdicts: dict[str, dict[str, bool]] = {}
        defects: dict[str, str] = {}
        last: Stored | None = None
        for stored in one_seed(same):
            try:
                scores = stored.scores
            except StoreError as error:
                say(f"left out {stored.title}: {error}")
                continue
            last = stored
            above = np.asarray(scores.scores) > limit(stored)[0]
            for name, label, kind, yes in zip(
                scores.ids, scores.labels, scores.defects, above, strict=True
            ):
                if label:
                    verdicts.setdefault(name, {})[str(stored.row["name"])] = bool(yes)
                    defects[name] = kind
        for name, said in verdicts.items():
            found = tuple(method for method, yes in said.items() if yes)
            if last is not None and len(said) > 1 and len(found) < 2:
                yield Case(name, str(category), defects[name], found, len(said), last)


def hard(
    frame: pd.DataFrame,
    out: Path,
    datasets: Datasets,
    *,
    form: str = "png",
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Draw one picture per comparable block: images that all methods miss, and that only one finds.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`; the first seed counts.
        out: folder of the pictures.
        datasets: where the data sets are.
        form: ``png``, ``pdf`` or ``svg``.
        say: told of blocks without such images, and of what cannot be shown.
    """
    written = []
    for title, part in blocks(frame):
        labels = short_names(part)
        every = list(cases(part, say))
        groups = [
            ("missed by all methods: {}", [c for c in every if not c.found]),
            ("found by one method alone: {}", [c for c in every if c.found]),
        ]
        groups = [(text.format(_count(found)), found) for text, found in groups if found]
        if not groups:
            say(f"{title}: no image that all methods miss or that only one finds")
            continue
        rows = [min(ROWS, -(-len(found) // COLUMNS)) for _, found in groups]
        made = figure(COLUMNS * SIDE, sum(rows) * (SIDE + 0.45) + 0.35 * len(groups) + 0.4)
        parts = made.subfigures(len(groups), 1, height_ratios=rows, squeeze=False)[:, 0]
        drawn = False
        for place, (text, found), lines in zip(parts, groups, rows, strict=True):
            drawn = _group(place, text, found, lines, labels.of, datasets, say) or drawn
        if not drawn:
            continue
        oracle = any(limit(case.stored)[1] for case in every)
        rule = (
            "threshold: at most 1 % false alarms among the good test images (an oracle)"
            if oracle
            else "threshold set on held-out good images"
        )
        headline(made, f"{title}; first seed; {rule}", 8.5)
        row = part.iloc[0]
        written.append(save(made, folder_of(out, row) / f"{picture_over(row, 'hard')}.{form}"))
    return written


def _group(
    place: SubFigure,
    text: str,
    found: Sequence[Case],
    rows: int,
    labels: Mapping[str, str],
    datasets: Datasets,
    say: Callable[[str], None],
) -> bool:
    """Draw the first images of a group, one category after the other; False when none can be."""
    grid = place.subplots(rows, COLUMNS, squeeze=False)
    place.suptitle(text, fontsize=8, x=0.01, ha="left", weight="bold")
    for axes in grid.flat:
        axes.set_axis_off()
    drawn = False
    for axes, case in zip(grid.flat, _mixed(found), strict=False):
        try:
            category = datasets.scored(case.stored)
        except (StoreError, DataError) as error:
            say(f"left out {case.category}: {error}")
            continue
        sample = next(s for s in category.test if s.id == case.image)
        axes.imshow(sample.image.pixels())
        if sample.mask is not None:
            outline(axes, sample.mask.mask())
        name = "/".join(case.image.rsplit("/", 2)[-2:])
        who = f"\n{labels[case.found[0]]}" if case.found else ""
        axes.set_title(f"{case.category}: {name}{who}", loc="left", fontsize=6)
        drawn = True
    return drawn


def _count(found: Sequence[Case]) -> str:
    shown = min(len(found), ROWS * COLUMNS)
    text = f"{len(found)} image{'s' if len(found) > 1 else ''}"
    return text if shown == len(found) else f"{text}, {shown} of them here"


def _mixed(found: Sequence[Case]) -> list[Case]:
    """Take one image of each category and defect in turn, so that none fills the picture."""
    seen: dict[tuple[str, str], int] = {}
    order = []
    for case in found:
        kind = (case.category, case.defect)
        seen[kind] = seen.get(kind, 0) + 1
        order.append(seen[kind])
    return [found[i] for i in np.argsort(order, kind="stable")]
