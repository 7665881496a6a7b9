"""The critical-difference diagram: average ranks, and bars over methods that nothing tells apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.plots.common import figure, folder_of, headline, picture_over, save
from benchmark.records.names import short_names
from benchmark.statistics.ranks import Ranking, needed, rank
from benchmark.tables.ranking import fields, verdict

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LINE = 0.24
"""Inches from one name to the next."""


def ranks(
    frame: pd.DataFrame,
    out: Path,
    *,
    metric: str = "image_auroc",
    common: bool = False,
    form: str = "png",
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Draw the average ranks of methods over categories (Demšar 2006, figure 1).

    One picture per comparable block. Bars join neighbours that the categories cannot tell apart;
    where there are too few categories to tell anything, one bar joins all, and the title says so.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`.
        out: folder of the pictures.
        metric: any.
        common: over the categories that all methods have.
        form: ``png``, ``pdf`` or ``svg``.
        say: told of methods that were left out.
    """
    written = []
    for field in fields(frame, metric, common):
        for note in field.notes:
            say(note)
        found, short = rank(field.names, field.values), short_names(field.part)
        enough = len(field.categories) >= needed(len(found.names))
        bars = list(found.groups()) if enough else [range(len(found.names))]
        bars = [bar for bar in bars if len(bar) > 1]
        made = figure(6.4, 1.1 + LINE * (len(bars) + (len(found.names) + 1) // 2))
        _draw(made.subplots(), replace(found, names=tuple(short.of[n] for n in found.names)), bars)
        lines = [f"Average rank by {metric}: {field.title}", verdict(found, len(field.categories))]
        headline(made, "\n".join([*lines, *short.shared, *short.sentences()]))
        row = field.part.iloc[0]
        name = picture_over(row, f"ranks {metric}")
        written.append(save(made, folder_of(out, row) / f"{name}.{form}"))
    return written


def _draw(axes: Axes, found: Ranking, bars: list[range]) -> None:
    """Draw the axis of ranks, best on the left; names left and right of it, worst innermost."""
    count = len(found.names)
    low, high = 1.0, float(count)
    room = 0.35 * (high - low)  # for the names
    axes.set_xlim(low - room, high + room)
    below = len(bars) + 1.0  # rows taken by the bars
    half = (count + 1) // 2
    axes.set_ylim(-(below + half), 0.9)
    axes.axis("off")
    axes.plot([low, high], [0, 0], color="black", lw=1)
    for tick in range(1, count + 1):
        axes.plot([tick, tick], [0, 0.18], color="black", lw=1)
        axes.text(tick, 0.3, str(tick), ha="center", va="bottom", fontsize=7)
    for i, (name, place) in enumerate(zip(found.names, found.ranks, strict=True)):
        left = i < half
        y = -(below + (i if left else count - 1 - i))
        end = low - 0.03 * room if left else high + 0.03 * room
        axes.plot([place, place, end], [0, y, y], color="0.35", lw=0.8)
        text = f"{name}  {place:.2f}" if left else f"{place:.2f}  {name}"
        axes.text(end, y, text, ha="right" if left else "left", va="center", fontsize=7)
    for row, bar in enumerate(bars, 1):
        first, last = (float(found.ranks[i]) for i in (bar[0], bar[-1]))
        axes.plot([first - 0.04, last + 0.04], [-0.7 * row] * 2, color="black", lw=3)
