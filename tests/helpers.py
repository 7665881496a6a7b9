"""What several tests build on: small images, a context for them, an interrupted training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import pytest

from benchmark.data.loading import ImageSet
from benchmark.detector import training

T = TypeVar("T")


def noise(count: int, seed: int = 0, side: int = 64) -> ImageSet:
    """Images of independent random pixels; equal seeds give equal images."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (count, side, side, 3), np.uint8)
    return ImageSet(pixels, [f"{seed}-{i}" for i in range(count)])


class KilledAfter:
    """Progress that raises in the middle of a loop, as a kill would.

    Args:
        steps: that are done before.
        title: of the loop that is interrupted; None for any.
    """

    def __init__(self, steps: int, title: str | None = None) -> None:
        self.steps, self.title = steps, title

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        for i, item in enumerate(items):
            if self.title in (None, title) and i == self.steps:
                raise KeyboardInterrupt
            yield item


def save_after_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainings keep a checkpoint after each step, however short."""
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(training, "SAVE_SHARE", float("inf"))


def flat(found: Any) -> dict[str, Any]:
    """All numbers of ImageMetrics or PixelMetrics by name; those of single images numbered."""
    fields = dict(vars(found))
    each = {
        f"{name} of image {i}": None if np.isnan(value) else float(value)
        for name, values in fields.pop("of_images", {}).items()
        for i, value in enumerate(values)
    }
    return {**fields.pop("values"), **fields, **each}
