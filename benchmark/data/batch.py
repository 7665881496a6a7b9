"""Images in memory as a detector gets them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Some images, as a detector gets them.

    Attributes:
        pixels: float32 RGB (B, 3, H, W) in [0, 1].
        keys: B content hashes. They identify an image for caches and say nothing about it.
        flip: whether ``pixels`` are mirrored left to right.
    """

    pixels: Tensor
    keys: tuple[str, ...]
    flip: bool = False

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[2], self.pixels.shape[3]

    def flipped(self) -> Batch:
        """Mirror the batch left to right; FrozenFeatures keeps its features apart."""
        return replace(self, pixels=self.pixels.flip(3), flip=not self.flip)


class Images(Protocol):
    """Images that can be read again and again: the training split of a detector.

    ``for batch in images`` goes through them once, in order, in batches of 16.
    """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...

    def batches(
        self,
        size: int,
        *,
        shuffle: np.random.Generator | None = None,
        drop_last: bool = False,
    ) -> Iterator[Batch]:
        """Yield the images once, in batches of ``size``, in order or shuffled by the generator
        given."""

    def batch(self, indices: Sequence[int]) -> Batch:
        """Load the images at these positions, in this order."""
