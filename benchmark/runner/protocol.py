"""What every method of a comparison shares: geometry, held-out images, names of result folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from benchmark.data.dataset import Category, Dataset
from benchmark.data.geometry import Geometry
from benchmark.data.stress import Stress
from benchmark.errors import SettingsError
from benchmark.texts import seed_of

STANDARD_HOLDOUT = 0.1


@dataclass(frozen=True)
class Protocol:
    """The rules by which cells are run.

    Attributes:
        name: ``standard``: the whole image at the data set's size for every method, 10 % of the
            normal training images held out. ``paper``: each method's published geometry, nothing
            held out, for published-against-measured comparisons only.
        holdout: fraction of the normal training images held out; None takes the protocol's own.
        image_size: side of the input instead of the data set's or, under ``paper``, the method's:
            its own geometry is scaled to it, crops in proportion. Under ``standard`` it may be a
            text ``HEIGHTxWIDTH`` too. A variant of the protocol with records of its own.
        keep_aspect: ``image_size``, or the data set's size, is that of the shorter side, and the
            other one follows from the image. A variant, of ``standard`` alone.
        stress: what makes the categories harder; each a variant.
    """

    name: Literal["standard", "paper"] = "standard"
    holdout: float | None = None
    image_size: int | str | None = None
    keep_aspect: bool = False
    stress: Stress = field(default_factory=Stress)

    def __post_init__(self) -> None:
        if self.name not in ("standard", "paper"):
            raise SettingsError(f"protocol {self.name!r}: allowed are standard and paper")
        if self.holdout is not None and not 0 <= self.holdout < 1:
            raise SettingsError(f"holdout {self.holdout}: allowed is a fraction from 0 to below 1")
        sides = sides_of(self.image_size)
        if min(sides, default=16) < 16:
            raise SettingsError(f"image size {self.image_size}: allowed are 16 pixels and more")
        if self.name == "paper" and (self.keep_aspect or len(sides) == 2):
            raise SettingsError(
                f"{'keep aspect' if self.keep_aspect else f'image size {self.image_size}'}: goes with "
                "the standard protocol; paper keeps each method's own geometry, scaled by one number"
            )
        if self.keep_aspect and len(sides) == 2:
            raise SettingsError(
                f"image size {self.image_size} with keep aspect: give one number, of the shorter side"
            )

    @property
    def label(self) -> str:
        """Folder name; variants never share one.

        >>> Protocol("paper", holdout=0.1).label, Protocol(image_size=128).label
        ('paper-holdout0.1', 'standard-128px')
        >>> Protocol(image_size="640x256").label, Protocol(keep_aspect=True).label
        ('standard-640x256px', 'standard-aspect')
        """
        size = f"-{self.image_size}px" if self.image_size else ""
        size += "-aspect" if self.keep_aspect else ""
        held = f"-holdout{self.holdout:g}" if self.holdout is not None else ""
        return self.name + size + held + self.stress.label

    def geometry(self, dataset: type[Dataset], paper: Geometry) -> Geometry:
        """Choose the geometry of a method (``paper`` is its published one) on a data set."""
        if self.name == "paper" and not dataset.small:
            return paper.scaled(sides_of(self.image_size)[0]) if self.image_size else paper
        if self.name == "paper" and self.image_size is None:
            return Geometry(resize=None)
        sides = sides_of(self.image_size or dataset.size)
        if not sides or self.keep_aspect:
            return Geometry(resize=sides[0] if sides else None)
        return Geometry(resize=(sides[0], sides[-1]))

    def as_json(self, dataset: type[Dataset]) -> dict[str, Any]:
        """Return its part of a record's key."""
        sides = sides_of(self.image_size)
        size = "x".join(map(str, sides)) if len(sides) == 2 else sides[0] if sides else None
        out = {"name": self.name, "holdout": self.fraction(dataset), "image_size": size}
        aspect = {"keep_aspect": True} if self.keep_aspect else {}
        return {**out, **aspect, **self.stress.as_json()}

    def fraction(self, dataset: type[Dataset]) -> float:
        """Return the fraction of normal training images that is held out."""
        if self.holdout is not None:
            return self.holdout
        return STANDARD_HOLDOUT if self.name == "standard" and dataset.holds_out else 0.0

    def divide(
        self, category: Category, dataset: type[Dataset], *purpose: str
    ) -> tuple[list[int], list[int]]:
        """Divide a category's normal images: positions to train on, and positions held out.

        A validation split is what is held out where there is one; else a random fraction of the
        groups, or of the images where they have none. Shots are chosen from what is left; defective
        images that a contaminated category has among its training images are never held out.

        Raises:
            SettingsError: a fraction is asked for, but there is a validation split.
        """
        count = len(category.train)
        if not category.validation:
            normal = [s for s in category.train if not s.label]  # defective ones stand behind them
            units = [s.group or s.id for s in normal]
            train, held = split(units, self.fraction(dataset), *purpose)
            train = self.stress.chosen(category.train, train, *purpose)
            return [*train, *range(len(normal), count)], held
        if self.holdout:
            raise SettingsError(
                f"category {category.name!r} has a validation split of {len(category.validation)} "
                "normal images, which sets thresholds; leave --holdout out"
            )
        train = self.stress.chosen(category.train, range(count), *purpose)
        return train, list(range(count, len(category.normal)))


def sides_of(size: int | str | None) -> tuple[int, ...]:
    """Split an image size into its sides: one for ``256``, two for ``"640x256"`` (height, then
    width), none for None.

    >>> sides_of(256), sides_of("640x256"), sides_of(None)
    ((256,), (640, 256), ())
    """
    if size is None:
        return ()
    parts = str(size).lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise SettingsError(
            f"image size {size!r}: write one number, or HEIGHTxWIDTH such as 640x256"
        )
    return tuple(int(part) for part in parts)


def split(units: Sequence[str], fraction: float, *purpose: str) -> tuple[list[int], list[int]]:
    """Split positions of images into those to train on and those held out.

    Args:
        units: per image its id, or the name that it shares with those that stay together.
        fraction: of the units.
        purpose: what the draw is seeded by, with the sorted units alone (data set and category):
            the same images for every method and seed.

    >>> split(["a", "b", "c", "d"], 0.25, "toy", "nut")
    ([0, 2, 3], [1])
    >>> split(["a", "a", "b", "b"], 0.25, "toy", "clip")
    ([2, 3], [0, 1])
    """
    names = sorted(set(units))
    count = round(fraction * len(names))
    if fraction > 0 and len(names) > 1:
        count = min(max(count, 1), len(names) - 1)
    chosen = np.random.default_rng(seed_of(*purpose, "holdout")).permutation(len(names))[:count]
    held = {names[i] for i in chosen}
    positions = range(len(units))
    return [i for i in positions if units[i] not in held], [
        i for i in positions if units[i] in held
    ]
