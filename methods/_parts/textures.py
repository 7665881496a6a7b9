"""Pictures of anything, kept as assets: what synthetic anomalies are filled with, what no network
should know. And textures drawn here, for trying things out without a folder of pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import Asset, Context, Images, State
from benchmark.errors import AssetError

from .anomaly_masks import perlin_noise

DRAWN = "drawn"
"""What :class:`Source` calls textures that are drawn here."""


class Textures(Asset):
    """Textures from any folder, reduced to 256 × 256 pixels of 8 bit.

    The papers take the 5640 images of the Describable Textures Dataset. An asset's identity is that
    of its pixels, and records keep the folder's fingerprint and what ``origin`` says.

    Args:
        origin: what the folder holds, such as DTD; for records.
        most: keeps that many, drawn at random; None keeps all (0.2 MB each).
    """

    name = "textures"

    def __init__(self, *, origin: str = "", most: int | None = None) -> None:
        self.origin = origin
        self.most = most
        if most is not None and most < 1:
            raise AssetError(f"{self.name}: most is {most}; allowed is at least 1, or None for all")

    def build(self, images: Images, context: Context) -> State:
        count = min(self.most or len(images), len(images))
        kept = sorted(context.rng("kept").permutation(len(images))[:count].tolist())
        starts = context.progress.track(range(0, count, 16), self.name, -(-count // 16))
        parts = [images.batch(kept[i : i + 16]).pixels for i in starts]
        pixels = torch.cat([(part * 255).round().byte() for part in parts])
        return State({"pixels": pixels}, {"count": count})


class Photographs(Textures):
    """Natural photographs from any folder, reduced to 256 × 256 pixels of 8 bit.

    Args:
        origin: what the folder holds, such as ImageNet; for records.
        most: keeps that many, drawn at random; None keeps all (0.2 MB each).
    """

    name = "photographs"


class Source:
    """Pictures to draw from, at any size.

    Args:
        kept: the asset's class, or None for textures that are drawn here.
        context: lends the asset.
    """

    def __init__(self, kept: type[Textures] | None, context: Context) -> None:
        self._device = context.device
        self._pixels: Tensor | None = None
        self.facts: dict[str, Any] = {"origin": DRAWN}
        if kept is not None:
            asset = context.asset(kept)
            self._pixels = asset.state.tensors["pixels"]
            origin = str(asset.settings["origin"]) or "a folder"
            self.facts = {"origin": origin, "sha256": asset.sha256, **asset.state.values}
            self.facts["folder"] = asset.info.get("images", {})

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Draw pictures with replacement, (count, 3, H, W) in [0, 1] on the context's device."""
        if self._pixels is None:
            return drawn_textures(count, size, generator, self._device)
        picks = torch.randint(len(self._pixels), (count,), generator=generator)
        pictures = self._pixels[picks].to(self._device).float() / 255
        if tuple(pictures.shape[2:]) == size:
            return pictures
        return F.interpolate(pictures, size, mode="bilinear", antialias=True)


def drawn_textures(
    count: int, size: tuple[int, int], generator: torch.Generator, device: torch.device
) -> Tensor:
    """Draw textures of Perlin noise between two colours each, (count, 3, H, W) in [0, 1]."""
    noise = perlin_noise(count, size, generator, device=device)[:, None]
    first, second = torch.rand(2, count, 3, 1, 1, generator=generator).to(device)
    return torch.lerp(first, second, (noise + 1) / 2).clamp(0, 1)
