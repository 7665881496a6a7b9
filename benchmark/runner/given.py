"""What a cell is given: its category, pixels and split, and the context that its detector is lent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.data.dataset import Category
from benchmark.data.loading import Decoded
from benchmark.detector.context import Context
from benchmark.features.cache import FrozenFeatures


@dataclass(frozen=True)
class Inputs:
    """The inputs of a cell.

    Attributes:
        category, images: the samples, and their pixels in the method's geometry.
        train, held_out: positions in the normal images.
        context: lent to the detector.
        features: the run's, which the context reads.
        keep_maps: whether the maps stay after they were measured.
        threads: for decoding masks and for the metrics.
        official: numbers of images the category should have, if there are any.
        mask_keys: content hashes of the test images' masks.
        found: what the files gave away: warnings, sizes, defects outside of the window.
    """

    category: Category
    images: Decoded
    train: list[int]
    held_out: list[int]
    context: Context
    features: FrozenFeatures
    keep_maps: bool
    threads: int
    official: Mapping[str, int] | None = None
    mask_keys: Sequence[str] | None = None
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, Any]:
        """Images of the category, and what its data set should have."""
        official = dict(self.official) if self.official else None
        return {"found": self.category.counts, "official": official}
