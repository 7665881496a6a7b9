"""Harder versions of a category: fewer training images, some of them defective, altered test images.

What is drawn depends on data set, category and image alone, so that all methods and seeds get the
same. A longer choice holds the shorter ones: curves over it nest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from benchmark.data.corruptions import CORRUPTIONS, MOVING, STRENGTHS, corrupted, moved_mask
from benchmark.data.dataset import Category, ImageSource, Sample
from benchmark.errors import DataError, SettingsError, unknown
from benchmark.texts import seed_of

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Stress:
    """One way in which a category is made harder; by default none.

    Attributes:
        shots: so many training images are left; None for all.
        contaminate: share of the defective test images that moves into the training images, and out
            of the test.
        corrupt: kind and strength of what happens to every test image, ``noise:3``; empty for
            nothing.
    """

    shots: int | None = None
    contaminate: float = 0.0
    corrupt: str = ""

    def __post_init__(self) -> None:
        if self.shots is not None and self.shots < 1:
            raise SettingsError(f"shots {self.shots}: allowed are 1 training image and more")
        if not 0 <= self.contaminate < 1:
            raise SettingsError(
                f"contaminate {self.contaminate}: allowed is a share of the defective test images "
                "from 0 to below 1"
            )
        if self.corrupt:
            corruption(self.corrupt)

    @property
    def label(self) -> str:
        """Name the variant, behind the protocol's name in a results folder.

        >>> Stress(shots=4).label, Stress(contaminate=0.05).label, Stress(corrupt="noise:3").label
        ('-shots4', '-contaminated0.05', '-noise3')
        """
        shots = f"-shots{self.shots}" if self.shots is not None else ""
        dirty = f"-contaminated{self.contaminate:g}" if self.contaminate else ""
        return shots + dirty + (f"-{self.corrupt.replace(':', '')}" if self.corrupt else "")

    def as_json(self) -> dict[str, Any]:
        """Return its part of a record's key: only what is asked for."""
        values = {"shots": self.shots, "contaminate": self.contaminate, "corrupt": self.corrupt}
        return {name: value for name, value in values.items() if value}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read it from a record's key; other names there are ignored."""
        names = ("shots", "contaminate", "corrupt")
        return cls(**{name: values[name] for name in names if name in values})

    def altered(self, category: Category, source: str) -> Category:
        """Move and corrupt samples; ``shots`` are chosen by :meth:`chosen`, after the hold-out.

        Args:
            category: as the data set lists it.
            source: name of the data set, which the draws depend on.

        Raises:
            DataError: nothing defective is there to move, or would be left to test on.
        """
        if self.contaminate:
            category = _contaminated(category, self.contaminate, source)
        if self.corrupt:
            kind, strength = corruption(self.corrupt)
            samples = [_altered(s, kind, strength, source, category.name) for s in category.test]
            category = replace(category, test=samples)
        return category

    def chosen(
        self, samples: Sequence[Sample], positions: Sequence[int], *purpose: str
    ) -> list[int]:
        """Choose the shots among positions of training samples, in their order; all without them.

        Raises:
            SettingsError: more shots than there are images.
        """
        if self.shots is None:
            return list(positions)
        if self.shots > len(positions):
            raise SettingsError(
                f"shots {self.shots}: {' '.join(purpose)} has {len(positions)} training images; "
                "leave --shots out for all of them"
            )
        order = _order([samples[i].id for i in positions], *purpose, "shots")
        return sorted(positions[i] for i in order[: self.shots])


def corruption(text: str) -> tuple[str, int]:
    """Read ``KIND:STRENGTH``. Raises SettingsError, saying what is allowed.

    >>> corruption("noise:3")
    ('noise', 3)
    """
    kind, _, strength = text.partition(":")
    if kind not in CORRUPTIONS:
        raise SettingsError(unknown("corruption", kind, CORRUPTIONS))
    if strength not in map(str, STRENGTHS):
        raise SettingsError(
            f"corruption {text!r}: give a strength from {STRENGTHS[0]} to {STRENGTHS[-1]}, such as "
            f"{kind}:3 or {kind}:1-5"
        )
    return kind, int(strength)


def corruptions(texts: Sequence[str]) -> list[str]:
    """Spell out strengths: ``noise:1-3`` becomes three, ``noise`` all five.

    >>> corruptions(["noise:1-2", "blur:4"])
    ['noise:1', 'noise:2', 'blur:4']
    """
    out = []
    for text in texts:
        kind, _, strengths = text.partition(":")
        low, dash, high = (strengths or f"{STRENGTHS[0]}-{STRENGTHS[-1]}").partition("-")
        for end in (low, high) if dash else (low,):
            corruption(f"{kind}:{end}")
        out += [f"{kind}:{i}" for i in range(int(low), int(high if dash else low) + 1)]
    return list(dict.fromkeys(out))


@dataclass(frozen=True)
class CorruptedSource:
    """An image or a mask as a corruption makes it.

    Attributes:
        source: the image or mask.
        kind, strength: of the corruption.
        seed: of its draws; the same for an image and its mask.
    """

    source: ImageSource
    kind: str
    strength: int
    seed: int
    may_be_empty: ClassVar[bool] = True
    """A defect at the edge may be moved out of the image."""

    def name(self) -> str:
        return f"{self.source.name()} ({self.kind} {self.strength})"

    def content(self) -> bytes:
        return self.source.content() + f"\x1f{self.kind}:{self.strength}:{self.seed}".encode()

    def pixels(self) -> Array:
        draws = np.random.default_rng(self.seed)
        return corrupted(self.source.pixels(), self.kind, self.strength, draws)

    def mask(self) -> Array:
        draws = np.random.default_rng(self.seed)
        return moved_mask(self.source.mask(), self.kind, self.strength, draws)


def _altered(sample: Sample, kind: str, strength: int, source: str, category: str) -> Sample:
    seed = seed_of(source, category, sample.id, kind)
    image = CorruptedSource(sample.image, kind, strength, seed)
    if sample.mask is None or kind not in MOVING:
        return replace(sample, image=image)
    return replace(sample, image=image, mask=CorruptedSource(sample.mask, kind, strength, seed))


def _contaminated(category: Category, share: float, source: str) -> Category:
    """Move a share of the defective test images behind the training images."""
    bad = [i for i, sample in enumerate(category.test) if sample.label]
    count = max(1, round(share * len(bad)))
    if count >= len(bad):
        raise DataError(
            f"category {category.name!r} has {len(bad)} defective test images: {count} cannot move "
            "into the training images and leave some to test on"
        )
    order = _order([category.test[i].id for i in bad], source, category.name, "contaminate")
    moved = {bad[i] for i in order[:count]}
    rest = [sample for i, sample in enumerate(category.test) if i not in moved]
    return replace(
        category, train=[*category.train, *(category.test[i] for i in sorted(moved))], test=rest
    )


def _order(ids: Sequence[str], *purpose: str) -> list[int]:
    """Put positions into an order that depends on the ids and the purpose alone."""
    ranked = sorted(range(len(ids)), key=lambda i: ids[i])
    drawn = np.random.default_rng(seed_of(*purpose)).permutation(len(ids))
    return [ranked[i] for i in drawn]
