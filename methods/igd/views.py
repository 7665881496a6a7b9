"""What IGD's models are trained on: windows of images, and what their frozen encoder says of them.

A frozen encoder's output never changes, so it is computed once per window and flip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark import Context, FeatureSpec, Images
from benchmark.errors import DetectorError

from .._parts.crops import cut
from .._parts.distillation import ImageNetInput
from .encoder import SIDE, padded
from .networks import GLOBAL_STEP

Array = np.ndarray[Any, Any]
STRIDE = 16
"""Between local patches."""
PIXEL_BYTES = 1 << 30
"""Training images above this are fetched step by step instead of being held on the device."""
FEATURE_BYTES = 1 << 30
"""Features above this are computed in every step instead of being kept."""
CHUNK = 256
"""Windows that pass an encoder or a decoder together when nothing is learned."""


def scales_for(wanted: Sequence[str], size: tuple[int, int]) -> list[str]:
    """Choose those of the wanted models that images of this size (H, W) have.

    Raises:
        DetectorError: the sides are no multiples of what the models need.
    """
    if max(size) <= SIDE:
        return ["local"]
    step = GLOBAL_STEP if "global" in wanted else STRIDE
    if any(side % step or side < SIDE for side in size):
        other = (
            f" (or leave the global model out: --set 'igd.scales=[local]', multiples of {STRIDE})"
            if step == GLOBAL_STEP
            else ""
        )
        raise DetectorError(
            f"igd: images are {size[0]} × {size[1]}; the sides must be multiples of {step}{other}; "
            "pass --image-size 256"
        )
    return list(wanted)


def pooled_features(
    train: Images, spec: FeatureSpec, flips: bool, context: Context
) -> list[Tensor]:
    """Fetch a frozen backbone's features (N, width) of all images, then, if wanted, of all mirrored."""
    return [
        torch.cat([context.features(b.flipped() if side else b, spec)[0] for b in train])
        for side in range(1 + flips)
    ]


class Views:
    """The windows of all training images, as one list.

    Args:
        images: of sides H × W, at least the window's (smaller ones are padded to 32).
        sides: (h, w) of a window.
        stride: between windows; they cover the image when it divides H - h and W - w.
        per_image: so many of an image's windows, drawn once; None for all.
        flips: whether windows come mirrored, too.
        context: its device holds pixels and features.
    """

    def __init__(
        self,
        images: Images,
        sides: tuple[int, int],
        stride: int,
        per_image: int | None,
        flips: bool,
        context: Context,
    ) -> None:
        self.images, self.sides, self.stride, self.context = images, sides, stride, context
        self.flips = flips
        self.normal = ImageNetInput().to(context.device)
        height, width = padded(images.batch([0]).pixels).shape[2:]
        grid = cut(torch.zeros(1, 1, height, width), sides, stride).shape[2:4]
        self.columns, places = grid[1], grid[0] * grid[1]
        self.per_image = min(per_image or places, places)
        order = context.rng("windows").random((len(images), places)).argsort(1)
        self.places = np.sort(order[:, : self.per_image], 1)
        self._pixels = self._held(height, width)
        self._features: list[Tensor] = []

    def __len__(self) -> int:
        return int(self.places.size)

    def pixels(self, items: Array, flip: Array) -> Tensor:
        """Normalised windows (B, 3, h, w), those mirrored where ``flip`` (B,) says so."""
        images, place = items // self.per_image, self.places.ravel()[items]
        device = self.context.device
        if self._pixels is None:
            which, images = np.unique(images, return_inverse=True)
            held = padded(self.images.batch(which.tolist()).pixels).to(device)
        else:
            held = self._pixels
        rows, columns = np.divmod(place, self.columns)
        index = torch.from_numpy(np.stack([images, rows, columns, flip.astype(np.int64)]))
        index = index.to(device, non_blocking=True)
        found = cut(held, self.sides, self.stride)[index[0], :, index[1], index[2]]
        if self._pixels is not None:
            found = found.float() / 255
        found = torch.where(index[3].bool().view(-1, 1, 1, 1), found.flip(3), found)
        out: Tensor = self.normal(found)
        return out.contiguous(memory_format=torch.channels_last)

    def features(self, items: Array, flip: Array) -> Tensor | None:
        """Kept features (B, width), or None when none are kept."""
        if not self._features:
            return None
        index = torch.from_numpy(np.stack([items, flip.astype(np.int64)]))
        index = index.to(self.context.device, non_blocking=True)
        if not self.flips:
            return self._features[0][index[0]]
        return torch.where(
            index[1].bool()[:, None], self._features[1][index[0]], self._features[0][index[0]]
        )

    def chunks(self, size: int = CHUNK) -> Iterator[Array]:
        """Yield all items in order."""
        for start in range(0, len(self), size):
            yield np.arange(start, min(start + size, len(self)))

    def fits(self, width: int) -> bool:
        """Tell whether features of this width may be kept."""
        return len(self) * width * 4 * (1 + self.flips) <= FEATURE_BYTES

    @torch.no_grad()
    def keep(self, encode: Callable[[Tensor], Tensor], width: int) -> None:
        """Keep what an encoder says of every window.

        Args:
            encode: normalised (B, 3, h, w) to (B, width).
            width: of the features.
        """
        device = self.context.device
        jobs = [(side, items) for side in range(1 + self.flips) for items in self.chunks()]
        kept = [torch.zeros(len(self), width, device=device) for _ in range(1 + self.flips)]
        for side, items in self.context.progress.track(jobs, "window features", len(jobs)):
            with self.context.autocast():
                found = encode(self.pixels(items, np.full(len(items), bool(side))))
            kept[side][items[0] : items[-1] + 1] = found.float()
        self._features = kept

    def keep_given(self, features: list[Tensor]) -> None:
        """Keep features that were computed elsewhere: (items, width) as is, then mirrored."""
        self._features = features

    def _held(self, height: int, width: int) -> Tensor | None:
        if len(self.images) * 3 * height * width > PIXEL_BYTES:
            return None
        parts = [
            (padded(batch.pixels) * 255).round().byte() for batch in self.images.batches(CHUNK)
        ]
        return torch.cat(parts).to(self.context.device)
