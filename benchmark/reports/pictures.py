"""The report's pictures, small enough for one file."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.records.stored import Datasets

if TYPE_CHECKING:
    import pandas as pd

WIDTHS = {"Curves": 1200, "Hard images": 1000}
OTHER_WIDTH = 760
QUALITY = 55
GALLERY_ROWS = 2
"""With these, 90 galleries and 15 sets of curves stay below 10 MB."""


@dataclass(frozen=True)
class Picture:
    """A picture: its name and its data address."""

    name: str
    address: str


@dataclass(frozen=True)
class Kind:
    """The pictures of one kind, and why others are missing."""

    title: str
    pictures: Sequence[Picture]
    missing: Sequence[str]


def pictures(frame: pd.DataFrame, datasets: Datasets) -> list[Kind]:
    """Draw every kind of picture.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`.
        datasets: where the data sets are.
    """
    from benchmark.plots.bars import cost, defects
    from benchmark.plots.curves import curves
    from benchmark.plots.gallery import gallery
    from benchmark.plots.hard import hard
    from benchmark.plots.histograms import histograms

    said: list[str] = []
    out = []
    with tempfile.TemporaryDirectory() as folder:
        kinds: tuple[tuple[str, Callable[[Path], list[Path]]], ...] = (
            ("Hard images", lambda d: hard(frame, d, datasets, say=said.append)),
            (
                "Galleries",
                lambda d: gallery(frame, d, datasets, count=GALLERY_ROWS, say=said.append),
            ),
            ("Curves", lambda d: curves(frame, d, datasets, say=said.append)),
            ("Score histograms", lambda d: histograms(frame, d, say=said.append)),
            ("Recall by defect type", lambda d: defects(frame, d, say=said.append)),
            ("Cost against quality", lambda d: cost(frame, d, say=said.append)),
        )
        for title, draw in kinds:
            said.clear()
            width = WIDTHS.get(title, OTHER_WIDTH)
            made = [
                Picture(" / ".join((*path.parts[-3:-1], path.stem)), _address(path, width))
                for path in draw(Path(folder))
            ]
            out.append(Kind(title, made, list(dict.fromkeys(said))))
    return out


def _address(path: Path, width: int) -> str:
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB")
    if small.width > width:
        height = round(small.height * width / small.width)
        small = small.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
