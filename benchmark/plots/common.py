"""What all pictures share: where they go, which records they show, how they look."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmark import store
from benchmark.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]
GOOD, DEFECTIVE = "#0072b2", "#d55e00"
"""Blue and vermilion: told apart by colour-blind readers and in grey."""
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STYLES = ("-", "--", "-.", ":")


def figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that needs no display."""
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


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
    """Texts as a file name.

    >>> slug("PaDiM (resnet18)", "metal_nut")
    'padim-resnet18-metal_nut'
    """
    joined = "-".join(re.sub(r"[^\w.=]+", "-", part.lower()).strip("-.") for part in parts)
    return joined or "picture"


def folder_of(out: Path, row: Mapping[str, Any] | pd.Series[Any]) -> Path:
    """Where the pictures of a data set and protocol go."""
    names = (
        store.path_component(row["dataset"], "data set"),
        store.path_component(row["protocol"], "protocol"),
    )
    return out.joinpath(*names)


def style(index: int) -> dict[str, str]:
    """Colour and line style of the n-th series; both change, so that grey print tells them apart."""
    return {
        "color": SERIES[index % len(SERIES)],
        "linestyle": STYLES[(index // len(SERIES) + index) % len(STYLES)],
    }


def shared_range(maps: Sequence[Array]) -> tuple[float, float]:
    """One colour range for all maps of a method: their 0.1 % and 99.9 % quantiles, so that a few
    outlying pixels do not hide the rest."""
    sample = np.concatenate([np.asarray(m).reshape(-1)[:: max(1, m.size // 200_000)] for m in maps])
    low, high = (float(v) for v in np.quantile(sample, (0.001, 0.999)))
    return low, high if high > low else low + 1.0
