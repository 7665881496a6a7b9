"""The ten changes of colour and place that DRAEM's textures go through, three at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as V

AT_ONCE = 3
"""Different augmenters that a texture goes through, one after the other."""


class Draws:
    """Random numbers of one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def between(self, low: float, high: float, count: int = 1) -> list[float]:
        """Draw uniformly from ``low`` to ``high``."""
        return (low + (high - low) * torch.rand(count, generator=self.generator)).tolist()

    def below(self, count: int) -> int:
        """Draw a whole number from 0 to ``count`` - 1."""
        return int(torch.randint(count, (), generator=self.generator))


def gamma(texture: Tensor, draws: Draws) -> Tensor:
    """Raise each channel to a power of its own, 0.5 to 2."""
    powers = texture.new_tensor(draws.between(0.5, 2, 3))
    return texture ** powers.view(3, 1, 1)


def brightness(texture: Tensor, draws: Draws) -> Tensor:
    """Multiply the brightest channel by 0.8 to 1.2 and add up to 30/255 either way, in either
    order; the other channels keep their ratio to it."""
    factor, shift = draws.between(0.8, 1.2) + draws.between(-30 / 255, 30 / 255)
    value = texture.amax(0)
    wanted = (value + shift) * factor if draws.below(2) else value * factor + shift
    out: Tensor = texture * (wanted.clamp(0, 1) / value.clamp(min=1 / 255))
    return out


def sharpness(texture: Tensor, draws: Draws) -> Tensor:
    """Blend with a smoothed copy, from that copy alone (0) to beyond the texture itself (2)."""
    out: Tensor = V.adjust_sharpness(texture, draws.between(0, 2)[0])
    return out


def hue_and_saturation(texture: Tensor, draws: Draws) -> Tensor:
    """Turn the hue by up to 50/255 of the circle, add up to 50/255 to the saturation."""
    turn, more = draws.between(-50 / 255, 50 / 255, 2)
    turned: Tensor = V.adjust_hue(texture, turn)
    value = turned.amax(0)
    saturation = 1 - turned.amin(0) / value.clamp(min=1e-6)
    # grey has no hue to saturate
    wanted = torch.where(saturation > 0, (saturation + more).clamp(0, 1), 0)
    return value - (value - turned) * (wanted / saturation.clamp(min=1e-6))


def solarise(texture: Tensor, draws: Draws) -> Tensor:
    """Every other time invert what is as bright as a threshold of 32 to 128 of 255, or brighter."""
    threshold, on = draws.between(32 / 255, 128 / 255)[0], draws.below(2)
    return torch.where(texture >= threshold, 1 - texture, texture) if on else texture


def posterise(texture: Tensor, draws: Draws) -> Tensor:
    """Keep the upper 1 to 8 of the 8 bits."""
    out: Tensor = V.posterize(_bytes(texture), 1 + draws.below(8)).float() / 255
    return out


def invert(texture: Tensor, draws: Draws) -> Tensor:
    """Swap dark and bright."""
    return 1 - texture


def autocontrast(texture: Tensor, draws: Draws) -> Tensor:
    """Stretch each channel to the whole range, up to 20 % of its pixels cut off at either end."""
    cut = int(draws.between(0, 0.2)[0] * texture[0].numel())
    ordered = texture.flatten(1).sort(1).values
    low, high = ordered[:, cut].view(3, 1, 1), ordered[:, -1 - cut].view(3, 1, 1)
    stretched = ((texture - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    return torch.where(high > low, stretched, texture)


def equalise(texture: Tensor, draws: Draws) -> Tensor:
    """Make each channel's values equally frequent."""
    out: Tensor = V.equalize(_bytes(texture)).float() / 255
    return out


def rotate(texture: Tensor, draws: Draws) -> Tensor:
    """Turn by up to 45 degrees either way, black outside."""
    angle = draws.between(-45, 45)[0]
    out: Tensor = V.rotate(texture, angle, interpolation=V.InterpolationMode.BILINEAR)
    return out


AUGMENTERS: tuple[Callable[[Tensor, Draws], Tensor], ...] = (
    gamma,
    brightness,
    sharpness,
    hue_and_saturation,
    solarise,
    posterise,
    invert,
    autocontrast,
    equalise,
    rotate,
)


def augmented(textures: Tensor, generator: torch.Generator) -> Tensor:
    """Send every texture (B, 3, H, W) in [0, 1] through three different augmenters."""
    draws = Draws(generator)
    out = []
    for texture in textures:
        for i in torch.randperm(len(AUGMENTERS), generator=generator)[:AT_ONCE].tolist():
            texture = AUGMENTERS[i](texture, draws).clamp(0, 1)
        out.append(texture)
    return torch.stack(out)


def _bytes(texture: Tensor) -> Tensor:
    return (texture * 255).round().byte()
