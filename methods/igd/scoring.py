"""IGD's scores (equation 11) and maps (equation 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import Context

from .._parts.crops import cut
from .._parts.distillation import ImageNetInput
from .._parts.msssim import PIXEL_RANGE
from .._parts.neighbours import pieces
from .model import RHO, ScaleModel, reconstruction
from .views import CHUNK, STRIDE

LUMA = (0.2989, 0.5870, 0.1140)


def image_weights(
    scales: Sequence[str], *, published: bool, xi: float, beta: float
) -> dict[str, float]:
    """Give equation 11 as what each part counts in an image's score, which is their weighted sum.

    ===================== ========= =========== ============ =============
    part                  equations public_code equations,   public_code,
                                                scale alone  scale alone
    ===================== ========= =========== ============ =============
    reconstruction_global ξ β       .05         ξ            .5
    description_global    1 - ξ     .45         1 - ξ        .5
    reconstruction_local  ξ (1 - β) .45         ξ            .5
    description_local     0         .05         1 - ξ        .5
    ===================== ========= =========== ============ =============

    ℓ_h(x) of equation 11 is read as that of the image, hence of the global model. In equation 8 β
    stands before the similarities alone; here each scale's absolute error is weighted along with it.
    """
    if len(scales) == 1:
        share = 0.5 if published else xi
        return {f"reconstruction_{scales[0]}": share, f"description_{scales[0]}": 1 - share}
    return {
        "reconstruction_global": 0.05 if published else xi * beta,
        "description_global": 0.45 if published else 1 - xi,
        "reconstruction_local": 0.45 if published else xi * (1 - beta),
        "description_local": 0.05 if published else 0.0,
    }


def map_weights(scales: Sequence[str], *, published: bool, beta: float) -> dict[str, float]:
    """Give equation 12 as what each scale's map counts; β as in :func:`image_weights`.

    There is no description in a map: that of an image is the same at all of its pixels.
    """
    if len(scales) == 1:
        return {scales[0]: 1.0}
    share = 0.5 if published else beta
    return {"global": share, "local": 1 - share}


@dataclass(frozen=True)
class Evidence:
    """A model's answer to N windows.

    Attributes:
        reconstruction: (N,), equation 8 for this scale.
        description: (N,), equation 7; None without a descriptor.
        maps: (N, h, w), higher is more anomalous; None where nobody wants them.
    """

    reconstruction: Tensor
    description: Tensor | None
    maps: Tensor | None


def judge(model: ScaleModel, x: Tensor, rebuilt: Tensor, codes: Tensor, *, maps: bool) -> Evidence:
    """Judge windows (N, 3, h, w) by their reconstructions and codes (N, 128)."""
    x, rebuilt = x.float(), rebuilt.float()
    error, pixels = reconstruction, equation_map
    if model.published:
        error = published_reconstruction if model.scale == "local" else reconstruction
        pixels = published_map
    described = None if model.descriptor is None else model.descriptor(codes)
    shown = pixels(model, x, rebuilt) if maps else None
    return Evidence(error(model, x, rebuilt), described, shown)


def judged(
    model: ScaleModel, pixels: Tensor, features: Tensor | None, context: Context
) -> Evidence:
    """Judge all windows of images, image by image.

    Args:
        model: fitted.
        pixels: (B, 3, H, W) in [0, 1].
        features: (B, width) of the images, for the global model.
        context: device and precision, and whether maps are wanted.
    """
    x = ImageNetInput().to(context.device)(pixels)
    windows = cut(x, model.sides, STRIDE).permute(0, 2, 3, 1, 4, 5)
    per_image = windows.shape[1] * windows.shape[2]
    windows = windows.reshape(-1, 3, *model.sides)  # (B · per_image, 3, h, w)
    # chunks of whole images, so that an image's result does not depend on its batch-mates
    size = max(1, CHUNK // per_image) * per_image
    given = windows if features is None else features
    found = []
    for some, known in zip(pieces(windows, size), pieces(given, size), strict=True):
        part = some.contiguous(memory_format=torch.channels_last)
        with context.autocast():
            seen = model.body(part) if model.body else known
        codes = model.code(seen.float())
        with context.autocast():
            rebuilt = model.decoder(codes)
        found.append(judge(model, part, rebuilt, codes, maps=context.wants_maps))
    described = [part.description for part in found if part.description is not None]
    maps = [part.maps for part in found if part.maps is not None]
    return Evidence(
        torch.cat([part.reconstruction for part in found]),
        torch.cat(described) if described else None,
        torch.cat(maps) if maps else None,
    )


def equation_map(model: ScaleModel, x: Tensor, rebuilt: Tensor) -> Tensor:
    """Compute equation 12 for one scale, mean of the channels, (N, h, w)."""
    unlike = 1 - model.similarity.pixelwise(x, rebuilt)
    return (RHO * (x - rebuilt).abs() / PIXEL_RANGE + (1 - RHO) * unlike).mean(1)


def published_reconstruction(model: ScaleModel, x: Tensor, rebuilt: Tensor) -> Tensor:
    """Measure equation 8 as the official local script does, without the absolute value, (N,)."""
    signed = (x - rebuilt).flatten(1).mean(1) / PIXEL_RANGE
    unlike: Tensor = 1 - model.similarity(x, rebuilt)
    return RHO * signed + (1 - RHO) * unlike


def published_map(model: ScaleModel, x: Tensor, rebuilt: Tensor) -> Tensor:
    """Compute the official map of one scale: weighted 1 - SSIM added up, luma, (N, h, w)."""
    gap = (x - rebuilt).abs() / PIXEL_RANGE
    maps = F.relu((1 - RHO) * model.similarity.stacked_gap(x, rebuilt) + RHO * gap)
    return (maps * maps.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1)


def parts_of_images(
    scale: str, found: Evidence, images: int, weights: Mapping[str, float], *, published: bool
) -> dict[str, Tensor]:
    """Pool one scale's parts of the scores of images, by name, (images,) each.

    The mean over an image's windows, as in equation 8; in the official code they are those of the
    window with the highest weighted sum.

    Args:
        scale: ``local`` or ``global``.
        found: of all windows, image by image.
        images: how many.
        weights: of the parts.
        published: whether as in the official code.
    """
    windows = {f"reconstruction_{scale}": found.reconstruction.view(images, -1)}
    if found.description is not None:
        windows[f"description_{scale}"] = found.description.view(images, -1)
    if not published:
        return {name: values.mean(1) for name, values in windows.items()}
    highest = weighted_sum(windows, weights).argmax(1, keepdim=True)
    return {name: values.gather(1, highest)[:, 0] for name, values in windows.items()}


def weighted_sum(values: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Sum named tensors of one shape, each times its weight."""
    return torch.stack([weights[name] * value for name, value in values.items()]).sum(0)
