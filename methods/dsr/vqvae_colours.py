"""A VQ-VAE made by hand whose codes are colours: for trying DSR out without an asset."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .vqvae import ResidualStack, VqVae


@torch.no_grad()
def set_to_colours(model: VqVae, pixels: Tensor, generator: torch.Generator) -> None:
    """Make features the mean colours of patches, and decoded images these colours, smoothly joined.

    An eighth of the codes are colours of the images, the others arbitrary colours, so that
    whatever is disturbed shows.

    Args:
        model: changed; at least 6 channels wide.
        pixels: (B, 3, H, W), normal images on the model's device.
        generator: picks the codes.
    """
    for parameter in model.parameters():
        parameter.zero_()
    taps = torch.tensor([0.25, 0.75, 0.75, 0.25])  # bilinear, twice as large
    for module in model.modules():
        if isinstance(module, nn.ConvTranspose2d):
            for colour in range(3):
                module.weight[colour, colour] = torch.outer(taps, taps)
        elif isinstance(module, nn.Conv2d):
            side = module.kernel_size[0]
            centre = slice(1, 3) if side == 4 else slice(side // 2, side // 2 + 1)
            for colour in range(3):
                module.weight[colour, colour, centre, centre] = 1 / 4 if side == 4 else 1
    for module in model.modules():
        if isinstance(module, ResidualStack):
            for parameter in module.parameters():
                parameter.zero_()
    mixing = cast(
        nn.Conv2d, model.decoder[0]
    ).weight  # half from each level, which follow each other
    width = model.to_lo.out_channels
    for colour in range(3):
        mixing[colour, colour, 1, 1] = mixing[colour, width + colour, 1, 1] = 0.5
    fine, lo = model.encode(pixels)
    for quantiser, features in ((model.quantiser_lo, lo), (model.quantiser_hi, fine)):
        codes = quantiser.codes.zero_()
        codes[:, :3] = torch.rand(len(codes), 3, generator=generator).to(codes.device)
        colours = features[:, :3].movedim(1, -1).flatten(0, 2)
        some = torch.randint(len(colours), (len(codes) // 8,), generator=generator)
        codes[: len(codes) // 8, :3] = colours[some.to(colours.device)]
