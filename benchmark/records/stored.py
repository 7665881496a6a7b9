"""What lies behind a record: its score files, and the images that were scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from benchmark.data.dataset import Category
from benchmark.data.geometry import Geometry
from benchmark.errors import StoreError
from benchmark.plugins.registry import Registry
from benchmark.records import store

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]


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
    def record(self) -> Mapping[str, Any]:
        """The whole record."""
        return store.read(self.path) or {}

    @property
    def files(self) -> Mapping[str, Any]:
        """What score files it cites."""
        return self.record.get("files") or {}

    @property
    def threshold(self) -> float | None:
        """Set on the held-out normal images; None where the protocol holds out none."""
        value = self.record.get("metrics", {}).get("threshold")
        return None if value is None else float(value)

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
        return Geometry.from_json(self.row["geometry"])


class Images:
    """The data sets' images, for pictures that show them."""

    def __init__(
        self, data_root: str | Path | None = None, plugins: Iterable[str | Path] = ()
    ) -> None:
        self._root = str(data_root) if data_root else None
        self._registry = Registry([Path(p) for p in plugins])
        self._known: dict[tuple[str, str, str], Category] = {}

    def of(self, row: Mapping[str, Any] | pd.Series[Any]) -> Category:
        """The category of a record, from its row or its key. Raises DataError."""
        return self.category(row["source"], row["category"], row.get("source_settings"))

    def category(
        self, source: str, name: str, settings: Mapping[str, Any] | None = None
    ) -> Category:
        """A category's samples. Raises DataError, saying where they were looked for."""
        place = (source, repr(sorted((settings or {}).items())), name)
        if place not in self._known:
            dataset = self._registry.open_dataset(source, self._root, settings)
            self._known[place] = dataset.category(name)
        return self._known[place]


def one_seed(frame: pd.DataFrame) -> list[Stored]:
    """The record of the first seed of every configuration and category."""
    first = frame.sort_values("seed").drop_duplicates(["dataset", "protocol", "config", "category"])
    order = first.sort_values(["dataset", "protocol", "name", "category"])
    return [Stored(row) for _, row in order.iterrows()]
