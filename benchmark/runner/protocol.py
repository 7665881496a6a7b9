"""What every method of a comparison shares: geometry, held-out images, names of result folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmark.data.dataset import Dataset
from benchmark.data.geometry import Geometry
from benchmark.detector.context import seed_of
from benchmark.errors import SettingsError

STANDARD_HOLDOUT = 0.1


@dataclass(frozen=True)
class Protocol:
    """How cells are run.

    Attributes:
        name: ``standard``: the whole image at the data set's size for every method, 10 % of the
            normal training images held out. ``paper``: each method's published geometry, nothing
            held out, for published-against-measured comparisons only.
        holdout: fraction of the normal training images held out; None takes the protocol's own.
        image_size: side of the input instead of the data set's or, under ``paper``, the method's:
            its own geometry is scaled to it, crops in proportion. A variant of the protocol with
            records of its own.
    """

    name: Literal["standard", "paper"] = "standard"
    holdout: float | None = None
    image_size: int | None = None

    def __post_init__(self) -> None:
        if self.name not in ("standard", "paper"):
            raise SettingsError(f"protocol {self.name!r}: allowed are standard and paper")
        if self.holdout is not None and not 0 <= self.holdout < 1:
            raise SettingsError(f"holdout {self.holdout}: allowed is a fraction from 0 to below 1")
        if self.image_size is not None and self.image_size < 16:
            raise SettingsError(f"image size {self.image_size}: allowed are 16 pixels and more")

    @property
    def label(self) -> str:
        """Folder name; variants never share one.

        >>> Protocol("paper", holdout=0.1).label, Protocol(image_size=128).label
        ('paper-holdout0.1', 'standard-128px')
        """
        size = f"-{self.image_size}px" if self.image_size else ""
        return self.name + size + (f"-holdout{self.holdout:g}" if self.holdout is not None else "")

    def geometry(self, dataset: type[Dataset], paper: Geometry) -> Geometry:
        """The geometry of a method (``paper`` is its published one) on a data set."""
        if self.name == "paper" and not dataset.small:
            return paper if self.image_size is None else paper.scaled(self.image_size)
        if self.name == "paper" and self.image_size is None:
            return Geometry(resize=None)
        side = self.image_size or dataset.size
        return Geometry(resize=(side, side) if side else None)

    def fraction(self, dataset: type[Dataset]) -> float:
        """The fraction of normal training images that is held out."""
        if self.holdout is not None:
            return self.holdout
        return STANDARD_HOLDOUT if self.name == "standard" and dataset.holds_out else 0.0


def split(ids: Sequence[str], fraction: float, *purpose: str) -> tuple[list[int], list[int]]:
    """Positions of the images to train on and of those held out.

    Seeded by ``purpose`` (data set and category) and the sorted ids alone: the same images for
    every method and seed.

    >>> split(["a", "b", "c", "d"], 0.25, "toy", "nut")
    ([0, 2, 3], [1])
    """
    count = round(fraction * len(ids))
    if fraction > 0 and len(ids) > 1:
        count = min(max(count, 1), len(ids) - 1)
    order = sorted(range(len(ids)), key=lambda i: ids[i])
    chosen = np.random.default_rng(seed_of(*purpose, "holdout")).permutation(len(ids))[:count]
    held = {order[i] for i in chosen}
    return [i for i in range(len(ids)) if i not in held], sorted(held)
