"""Tiny image trees, and the folder with real data that some tests read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """``tree("train/good/0.png", "masks/bad/0.png")`` writes such files and returns their root.

    Files below a folder of masks, or with a mask's ending, are masks (of good images empty); all others
    are images of 8×6 pixels, each with other pixels.
    """

    def write(*names: str, root: str = "things") -> Path:
        folder = tmp_path / root
        folder.mkdir(exist_ok=True)
        for number, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            is_mask = path.stem.endswith(("_mask", "_gt")) or any(
                part in ("ground_truth", "masks", "mask", "gt") for part in path.parent.parts
            )
            if is_mask:
                pixels = np.zeros((6, 8), dtype=np.uint8)
                pixels[2:4, 3:5] = 0 if "good" in path.parent.parts else 255
            else:
                pixels = np.full((6, 8, 3), 10 + number % 200, dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        return folder

    return write


@pytest.fixture
def real_data() -> Path:
    """The folder with real data sets; the test is skipped without it."""
    folder = os.environ.get("BENCH_TEST_DATA")
    if not folder:
        pytest.skip("set BENCH_TEST_DATA to a folder with mvtec/ and hazelnut_toy/ to run this")
    return Path(folder)
