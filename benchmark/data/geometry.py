"""How an image becomes a detector's input, and which of its pixels are measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmark.errors import SettingsError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Geometry:
    """Resize, crop, and the evaluation window.

    Attributes:
        resize: an int resizes the shorter side to it and keeps the aspect ratio; ``(height,
            width)`` resizes exactly; ``None`` keeps the image as it is.
        crop: side of the central square that a detector sees; ``None`` for the whole image.
        filter: ``bilinear`` or ``bicubic``, as the papers' pipelines use.
        antialias: whether shrinking averages (Pillow's way) or samples (OpenCV's way).
        eval_crop: side, in input pixels, of the central square whose pixels count in pixel
            metrics; ``None`` for all of the input (DSR: input 256, measured on the central 224).
        eval_size: side to which maps and masks are brought before measuring; ``None`` measures at
            the input's own resolution. With it, masks are resized from their file straight to this
            size, so that fine ground truth survives.
    """

    resize: int | tuple[int, int] | None = 256
    crop: int | None = None
    filter: Literal["bilinear", "bicubic"] = "bilinear"
    antialias: bool = True
    eval_crop: int | None = None
    eval_size: int | None = None

    def __post_init__(self) -> None:
        sides = [self.crop, self.eval_crop, self.eval_size]
        sides += [self.resize] if isinstance(self.resize, int) else list(self.resize or ())
        if any(side is not None and side < 1 for side in sides):
            raise SettingsError(f"geometry {self}: every side must be at least 1 pixel")
        shorter = self.resize if isinstance(self.resize, int) else min(self.resize or (0,))
        if self.crop and shorter and self.crop > shorter:
            raise SettingsError(
                f"geometry {self}: the crop ({self.crop}) is larger than the resized image "
                f"({shorter}); make the crop smaller or the resize larger"
            )

    def scaled(self, side: int) -> Geometry:
        """Return the same geometry for another size of the input.

        Resize, crop and evaluation crop change in proportion, so that the detector sees the same
        part of the image and the same part is measured; filter and ``eval_size`` stay.

        Args:
            side: of the new input in pixels, the shorter one where it is not square.

        Raises:
            SettingsError: crops of an image that keeps its own size have no proportion.

        >>> PADIM, DSR = Geometry(resize=256, crop=224), Geometry(resize=(256, 256), eval_crop=224)
        >>> PADIM.scaled(112) == Geometry(resize=128, crop=112)
        True
        >>> DSR.scaled(128) == Geometry(resize=(128, 128), eval_crop=112)
        True
        """
        if self.resize is None:
            if self.crop or self.eval_crop:
                raise SettingsError(
                    f"geometry {self}: crops of an image that keeps its own size cannot be scaled "
                    f"to an input of {side} pixels; run without --image-size"
                )
            return replace(self, resize=(side, side))
        sides = [self.resize] if isinstance(self.resize, int) else list(self.resize)
        seen = self.crop or min(sides)
        resize = [round(length * side / seen) for length in sides]
        return replace(
            self,
            resize=resize[0] if isinstance(self.resize, int) else (resize[0], resize[1]),
            crop=side if self.crop else None,
            eval_crop=max(1, round(self.eval_crop * side / seen)) if self.eval_crop else None,
        )

    def as_json(self) -> dict[str, Any]:
        """Return plain values for a record."""
        out = asdict(self)
        if isinstance(self.resize, tuple):
            out["resize"] = list(self.resize)
        return out

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Geometry:
        """Build a geometry from the values that :meth:`as_json` returned."""
        resize = values["resize"]
        return cls(**{**values, "resize": tuple(resize) if isinstance(resize, list) else resize})

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the size (height, width) after the resize, before the crop.

        >>> Geometry(resize=256).resized(512, 1024)
        (256, 512)
        """
        if self.resize is None:
            return height, width
        if isinstance(self.resize, tuple):
            return self.resize
        # truncated, not rounded, like torchvision's Resize
        if height <= width:
            return self.resize, int(self.resize * width / height)
        return int(self.resize * height / width), self.resize

    def image(self, pixels: Array) -> Array:
        """Prepare an image as the input of a detector.

        Args:
            pixels: uint8 RGB (H, W, 3).

        Returns:
            uint8 RGB (H', W', 3), contiguous. Rounded to 8 bits after the resize, as in the papers'
            pipelines, which resize 8-bit images.
        """
        size = self.resized(*pixels.shape[:2])
        if size != pixels.shape[:2]:
            pixels = self._shrink(pixels, size)
        return np.ascontiguousarray(_central(pixels, self.crop))

    def mask(self, mask: Array) -> Array:
        """Bring a ground-truth mask to the pixels that count: the same resize with nearest
        neighbour (which keeps it binary), the same crop, then the evaluation crop.

        Args:
            mask: bool (H, W).

        Returns:
            bool (h, w), the shape that :meth:`map_window` gives to maps.
        """
        height, width = self.resized(*mask.shape)
        if self.eval_size:  # the central window, straight from the file's own resolution
            window = self._window_fraction(height, width)
            box_h, box_w = (round(side * f) for side, f in zip(mask.shape, window, strict=True))
            mask = _central_box(mask, box_h, box_w)
            return _nearest(mask, (self.eval_size, self.eval_size))
        mask = _nearest(mask, (height, width))
        return np.ascontiguousarray(_central(_central(mask, self.crop), self.eval_crop))

    def map_window(self, anomaly_map: Array) -> Array:
        """Cut the part that counts out of an anomaly map (H', W') at input resolution."""
        return _central(anomaly_map, self.eval_crop)

    def on_image(self, anomaly_map: Array, height: int, width: int) -> Array:
        """Bring an anomaly map back to the image that its input was made from.

        Args:
            anomaly_map: float (h, w) at input resolution.
            height, width: of the image.

        Returns:
            float32 (H, W), interpolated bilinearly; NaN where a crop hid the image.
        """
        resized = self.resized(height, width)
        places = []
        for whole, grown, seen in zip(resized, (height, width), anomaly_map.shape, strict=True):
            start = round((whole - seen) / 2)  # as the crop was cut
            places.append((round(start * grown / whole), round((start + seen) * grown / whole)))
        (top, bottom), (left, right) = places
        part = np.ascontiguousarray(anomaly_map, np.float32)
        if part.shape != (bottom - top, right - left):
            size = (right - left, bottom - top)
            part = np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BILINEAR))
        out = np.full((height, width), np.nan, np.float32)
        out[top:bottom, left:right] = part
        return out

    def _window_fraction(self, height: int, width: int) -> tuple[float, float]:
        sides = []
        for side in (height, width):
            seen = min(side, self.crop or side)
            sides.append(min(seen, self.eval_crop or seen) / side)
        return sides[0], sides[1]

    def _shrink(self, pixels: Array, size: tuple[int, int]) -> Array:
        height, width = size
        if self.antialias:
            kind = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
            image = Image.fromarray(pixels).resize((width, height), kind[self.filter])
            return np.asarray(image)
        import torch
        from torch.nn import functional as F

        tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
        out = F.interpolate(tensor, size=size, mode=self.filter, align_corners=False)
        return out[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def _central(array: Array, side: int | None) -> Array:
    """Cut the central square of the first two axes; all of them when ``side`` is None or larger."""
    if side is None:
        return array
    return _central_box(array, min(side, array.shape[0]), min(side, array.shape[1]))


def _central_box(array: Array, height: int, width: int) -> Array:
    # the rounding of torchvision's centre crop, so that published pipelines give the same pixels
    top = round((array.shape[0] - height) / 2)
    left = round((array.shape[1] - width) / 2)
    return array[top : top + height, left : left + width]


def _nearest(mask: Array, size: tuple[int, int]) -> Array:
    if mask.shape == size:
        return mask
    image = Image.fromarray(mask.astype(np.uint8))
    out = image.resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.asarray(out).astype(bool)
