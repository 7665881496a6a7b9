"""What all pictures share: where they go, which records they show, how they look."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmark import store
from benchmark.config import data_folder, folder_from
from benchmark.dataset import Category
from benchmark.errors import StoreError
from benchmark.geometry import Geometry
from benchmark.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]
GOOD, DEFECTIVE = "#0072b2", "#d55e00"
"""Blue and vermilion: told apart by colour-blind readers and in grey."""
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STYLES = ("-", "--", "-.", ":")


class Stored:
    """A record with its score files, read when asked for.

    Attributes:
        row: its row of the frame of :func:`benchmark.load_results`.
    """

    def __init__(self, row: pd.Series[Any]) -> None:
        self.row = row
        self.path = Path(row["path"])

    @property
    def title(self) -> str:
        return f"{self.row['name']}, {self.row['category']}"

    @cached_property
    def files(self) -> Mapping[str, Any]:
        record = store.read(self.path) or {}
        return record.get("files") or {}

    @cached_property
    def scores(self) -> store.Scores:
        """Raises StoreError when the score file is gone or was never kept."""
        cited = self.files.get("scores")
        if not cited:
            raise StoreError(f"{self.path}: cites no score file (records can be kept without)")
        return store.Scores.read(self.path.parent, cited)

    @cached_property
    def maps(self) -> Array | None:
        """Anomaly maps (N, H, W), memory-mapped; None when the method has none or none were kept."""
        cited = self.files.get("maps")
        return store.read_maps(self.path.parent, cited) if cited else None

    @property
    def geometry(self) -> Geometry:
        given = dict(self.row["geometry"])
        if isinstance(given["resize"], list):
            given["resize"] = tuple(given["resize"])
        return Geometry(**given)


class Images:
    """The data sets' images, for pictures that show them."""

    def __init__(
        self, data_root: str | Path | None = None, plugins: Iterable[str | Path] = ()
    ) -> None:
        self._root = str(data_root) if data_root else None
        self._registry = Registry([Path(p) for p in plugins])
        self._known: dict[tuple[str, str], Category] = {}

    def category(self, source: str, name: str) -> Category:
        """A category's samples. Raises DataError, saying where they were looked for."""
        if (source, name) not in self._known:
            cls = self._registry.dataset(source)
            folder = None
            if cls.needs_root:
                folder = data_folder(folder_from(self._root, "BENCH_DATA"), [source])
            self._known[source, name] = cls(folder).category(name)
        return self._known[source, name]


def one_seed(frame: pd.DataFrame) -> list[Stored]:
    """The record of the first seed of every configuration and category."""
    first = frame.sort_values("seed").drop_duplicates(["dataset", "protocol", "config", "category"])
    order = first.sort_values(["dataset", "protocol", "name", "category"])
    return [Stored(row) for _, row in order.iterrows()]


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
