"""Draws miniatures of the official trees: 12×10 pixels, every image with other pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH = 10, 12


class Draw:
    """Writes files below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def images(self, *names: str) -> None:
        """Images of random greys."""
        for name in names:
            rng = np.random.default_rng(sum(name.encode()))
            pixels = rng.integers(60, 200, (HEIGHT, WIDTH, 3), np.uint8)
            Image.fromarray(pixels).save(self.path(name))

    def mask(self, name: str, *values: int, palette: bool = False) -> None:
        """A mask with one marked pixel per value, none without values."""
        pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
        pixels[3, 4 : 4 + len(values)] = values
        image = Image.fromarray(pixels)
        if palette:
            image.putpalette([0, 0, 0] * 256)  # what a palette shows is nothing to go by
        image.save(self.path(name))


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    return Draw(tmp_path / "data")


@pytest.fixture
def data(bench: Callable[..., tuple[int, str]], draw: Draw) -> Callable[..., tuple[int, str]]:
    """``data("visa")``: status and output of ``bench data visa`` on what was drawn."""

    def call(name: str, *arguments: object) -> tuple[int, str]:
        return bench("data", name, "--data-root", draw.root, *arguments)

    return call
