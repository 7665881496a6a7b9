"""One run with kept detectors, shared by the tests of this room."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import benchmark as ib
from benchmark.records.kept import Kept, list_kept

from ..conftest import write_category

PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "mean_colour.py"


@dataclass(frozen=True)
class Run:
    """Folders of a run of mean_colour on two categories, and of padim on one."""

    data: Path
    results: Path

    def kept(self, method: str, category: str = "nut") -> Kept:
        found = [k for k in list_kept([self.results]) if k.key["method"] == method]
        return next(k for k in found if k.key["category"] == category)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("deploy")
    for name in ("nut", "pin"):
        write_category(root / "toy", name, train=12, good=9, bad=8)
    given: dict[str, Any] = {
        "data_root": str(root / "toy"),
        "results": str(root / "runs"),
        "keep": True,
    }
    ib.run("mean_colour", "folder", plugin=[str(PLUGIN)], **given)
    small = {"padim": {"backbone": "resnet18", "channels": 20, "layers": [1]}}
    options: dict[str, Any] = {
        "weights": "random",
        "image_size": 32,
        "categories": ["nut"],
        "set": small,
    }
    ib.run("padim", "folder", **given, **options)
    return Run(root / "toy", root / "runs")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with twenty images of several sizes, two levels deep, and one that is none."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for i in range(20):
        size = (40 + 4 * (i % 3), 48, 3)
        place = folder / ("deep" if i % 2 else ".") / f"{i:02}.png"
        Image.fromarray(rng.integers(90, 160, size, np.uint8)).save(place)
    (folder / "05-broken.png").write_bytes(b"no image")
    return folder
