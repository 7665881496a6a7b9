"""The report's pictures, small enough for one file."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import StoreError
from benchmark.records.stored import Datasets
from benchmark.reports.leaderboard import anchor

if TYPE_CHECKING:
    import pandas as pd

WIDTHS = {"Curves": 1200, "Hard images": 1000}
OTHER_WIDTH = 760
QUALITY = 55
GALLERY_ROWS = 2
"""With these, 90 galleries and 15 sets of curves stay below 10 MB."""


@dataclass(frozen=True)
class Picture:
    """A picture: its place in the page, its name and its data address."""

    anchor: str
    name: str
    address: str


@dataclass(frozen=True)
class Kind:
    """The pictures of one kind, whether they need the page's whole width, and why others are
    missing."""

    title: str
    pictures: Sequence[Picture]
    broad: bool
    missing: Sequence[str]


def pictures(frame: pd.DataFrame, datasets: Datasets) -> list[Kind]:
    """Draw every kind of picture.

    Args:
        frame: records chosen by :func:`benchmark.records.select.choose`.
        datasets: where the data sets are.
    """
    from benchmark.plots.bars import defects
    from benchmark.plots.curves import curves
    from benchmark.plots.gallery import gallery
    from benchmark.plots.hard import hard
    from benchmark.plots.histograms import histograms
    from benchmark.plots.ranks import ranks
    from benchmark.plots.stress import stress

    def drawn(title: str, draw: Callable[[Path, Callable[[str], None]], list[Path]]) -> Kind:
        said: list[str] = []
        try:
            files = draw(Path(folder), said.append)
        except StoreError as error:  # nothing of this kind in these records
            files, said = [], [str(error)]
        width = WIDTHS.get(title, OTHER_WIDTH)
        made = []
        for file in files:
            name = (*file.parts[-3:-1], file.stem)
            place = anchor("picture", title, *name)
            made.append(Picture(place, " / ".join(name), _address(file, width)))
        return Kind(title, made, width > OTHER_WIDTH, list(dict.fromkeys(said)))

    count = GALLERY_ROWS
    with tempfile.TemporaryDirectory() as folder:
        kinds = [
            drawn("Hard images", lambda d, say: hard(frame, d, datasets, say=say)),
            drawn("Galleries", lambda d, say: gallery(frame, d, datasets, count=count, say=say)),
            drawn("Curves", lambda d, say: curves(frame, d, datasets, say=say)),
            drawn("Score histograms", lambda d, say: histograms(frame, d, say=say)),
            drawn("Recall by defect type", lambda d, say: defects(frame, d, say=say)),
            drawn("Ranks", lambda d, say: ranks(frame, d, say=say)),
        ]
        if any(frame["stress"]):
            kinds.append(drawn("Stress", lambda d, say: stress(frame, d, say=say)))
    return kinds


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
