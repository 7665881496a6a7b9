"""What all pictures share: where they go, which records they show, how they look."""

from __future__ import annotations

import hashlib
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmark.errors import StoreError
from benchmark.texts import path_component

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]
GOOD, DEFECTIVE = "#0072b2", "#d55e00"
"""Blue and vermilion: told apart by colour-blind readers and in grey."""
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
LONGEST = 100
"""Characters of one part of a file's name."""
STYLES = ("-", "--", "-.", ":")


def figure(width: float, height: float) -> Figure:
    """Make an empty figure, in inches, that needs no display."""
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def headline(made: Figure, text: str, size: float = 8.0) -> None:
    """Write a title over a figure, in lines no wider than it.

    Args:
        made: of its final width.
        text: may hold line breaks.
        size: in points.
    """
    width = _letters(made.get_figwidth(), size)
    lines = [textwrap.fill(line, width) for line in text.split("\n")]
    made.suptitle("\n".join(lines), fontsize=size)


def legend_below(
    made: Figure, handles: Sequence[Any], names: Sequence[str], columns: int, size: float = 7.0
) -> None:
    """Draw a legend under the axes; long names are wrapped, and the figure grows by their lines."""
    columns = max(1, min(columns, int(made.get_figwidth() / 2)))
    width = _letters(made.get_figwidth() / columns, size) - 8  # the handle takes some
    wrapped = [textwrap.fill(name, width) for name in names]
    extra = sum(name.count("\n") for name in wrapped) / columns
    made.set_figheight(made.get_figheight() + math.ceil(extra) * 1.3 * size / 72)
    made.legend(
        handles,
        wrapped,
        loc="outside lower center",
        ncols=min(columns, len(wrapped)),
        fontsize=size,
    )


def _letters(inches: float, size: float) -> int:
    """Count the letters of an average width, in ``size`` points, that fit."""
    return max(20, int(inches * 72 / (0.56 * size)))


def save(made: Figure, path: Path) -> Path:
    """Write a figure; the suffix says how. Raises StoreError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # without dates or random names the same picture is the same file
        plain: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {}
        plain |= {"CreationDate": None} if path.suffix == ".pdf" else {}
        made.savefig(path, dpi=110, metadata=plain)
    except OSError as error:
        raise StoreError(
            f"{path}: the picture cannot be written ({error.strerror}); choose another --out"
        ) from error
    return path


def slug(*parts: str) -> str:
    """Turn texts into a file name.

    >>> slug("PaDiM (resnet18)", "metal_nut")
    'padim-resnet18-metal_nut'
    """
    words = [re.sub(r"[^\w.=]+", "-", part.lower()).strip("-.") for part in parts]
    return "-".join(_shortened(word) for word in words) or "picture"


def picture_of(row: Mapping[str, Any] | pd.Series[Any], kind: str = "", category: str = "") -> str:
    """Build the name of a picture of one configuration: readable name, identity, category.

    No two configurations or categories share one: words alone would not tell ``a b`` from ``a-b``.

    >>> picture_of({"name": "PaDiM (k=5)", "config": "padim@0a1b2c3d"}, category="a/b")
    'padim-k=5@0a1b2c3d-a%2Fb'
    """
    words = slug(*filter(None, (kind, row["name"])))
    identity = str(row["config"]).rpartition("@")[2]
    return f"{words}@{identity}" + (f"-{_exact(category)}" if category else "")


def picture_over(row: Mapping[str, Any] | pd.Series[Any], kind: str, category: str = "") -> str:
    """Build the name of a picture of several methods: kind, category, pixels measured."""
    return "-".join(filter(None, (slug(kind), category and _exact(category), slug(row["window"]))))


def _exact(category: str) -> str:
    return _shortened(path_component(category, "category"))


def _shortened(word: str) -> str:
    """Replace the end of a long name by a hash: file systems allow 255 bytes."""
    if len(word) <= LONGEST:
        return word
    return f"{word[: LONGEST - 9]}-{hashlib.sha256(word.encode()).hexdigest()[:8]}"


def folder_of(out: Path, row: Mapping[str, Any] | pd.Series[Any]) -> Path:
    """Return the folder of the pictures of a data set and protocol."""
    names = (
        path_component(row["dataset"], "data set"),
        path_component(row["protocol"], "protocol"),
    )
    return out.joinpath(*names)


def style(index: int) -> dict[str, str]:
    """Choose colour and line style of the n-th series; both change, so that grey print tells them
    apart."""
    return {
        "color": SERIES[index % len(SERIES)],
        "linestyle": STYLES[(index // len(SERIES) + index) % len(STYLES)],
    }


def shared_range(maps: Sequence[Array]) -> tuple[float, float]:
    """Choose one colour range for all maps of a method: their 0.1 % and 99.9 % quantiles, so that a
    few outlying pixels do not hide the rest."""
    sample = np.concatenate([np.asarray(m).reshape(-1)[:: max(1, m.size // 200_000)] for m in maps])
    low, high = (float(v) for v in np.quantile(sample, (0.001, 0.999)))
    return low, high if high > low else low + 1.0
