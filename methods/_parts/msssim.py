"""Multi-scale structural similarity (Wang et al. 2003): per image, and per pixel.

``pytorch-msssim`` wants more than (window - 1) · 16 pixels however few the scales, so that it refuses
a window of 3 at 32 × 32, where four scales fit; and it gives no maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GLOBAL_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
LOCAL_WEIGHTS = (0.0516, 0.3295, 0.3463, 0.2726)
"""The first four of the five, divided by their sum."""
PIXEL_RANGE = 4.7579
"""From the lowest red to the highest blue value of an image normalised as for ImageNet networks."""
K1, K2 = 0.01, 0.03
SIGMA = 1.5
LEAST = 1e-6
"""Positive similarities are at least this: the gradient of a fractional power has no bound at 0."""


class MsSsim(nn.Module):
    """Similarity of two batches of images.

    Args:
        weights: exponent per scale, finest first.
        window: side of the Gaussian window (sigma 1.5); it lies wholly inside the image.
        span: between the lowest and the highest value that a pixel can have.
        leak: gradient of the result by a mean that is not positive, where the result is 0. With 0 a
            training cannot bring back an image that it has lost.
    """

    taps: Tensor

    def __init__(
        self,
        weights: Sequence[float],
        window: int,
        span: float = PIXEL_RANGE,
        *,
        leak: float = 0.0,
    ) -> None:
        super().__init__()
        self.weights, self.window, self.leak = tuple(weights), window, leak
        self.c1, self.c2 = (K1 * span) ** 2, (K2 * span) ** 2
        places = torch.arange(window) - (window - 1) / 2
        bell = torch.exp(-places.square() / (2 * SIGMA**2))
        self.register_buffer("taps", bell / bell.sum(), persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, C, H, W) twice to (B,): the product over scales, averaged over channels.

        A channel whose mean at some scale is not positive counts 0.
        """
        product: Tensor | float = 1.0
        lost: Tensor | float = 0.0
        for i, (luminance, contrast) in enumerate(self.scales(x, y)):
            last = i == len(self.weights) - 1
            similar = (luminance * contrast if last else contrast).mean((2, 3))
            product = product * _power(similar, self.weights[i])
            lost = lost + similar.clamp(max=0)
        assert isinstance(product, Tensor) and isinstance(lost, Tensor)
        if self.leak and lost.requires_grad:
            product = product + self.leak * (lost - lost.detach())  # a gradient, no value
        return product.mean(1)

    def pixelwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute the same product at every pixel, (B, C, H, W); coarser scales interpolated."""
        product: Tensor | float = 1.0
        reach = (self.window - 1) // 2, self.window // 2
        for i, (luminance, contrast) in enumerate(self.scales(x, y)):
            last = i == len(self.weights) - 1
            similar = luminance * contrast if last else contrast
            similar = F.pad(similar, reach * 2, mode="replicate")  # back to the scale's own side
            similar = F.interpolate(similar, x.shape[2:], mode="bilinear", align_corners=False)
            product = product * _power(similar, self.weights[i])
        assert isinstance(product, Tensor)
        return product

    def stacked_gap(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute the official code's map: sum over scales of weight · (1 - SSIM), (B, C, H, W).

        Luminance counts at every scale, negative values as 0; the valid places of a scale are
        stretched to the whole image.
        """
        total: Tensor | float = 0.0
        for weight, (luminance, contrast) in zip(self.weights, self.scales(x, y), strict=True):
            similar = F.relu(luminance * contrast)
            total = total + weight * (1 - F.interpolate(similar, x.shape[2:], mode="nearest"))
        assert isinstance(total, Tensor)
        return total

    def scales(self, x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Per scale the luminance and the contrast-structure map at the window's valid places."""
        with torch.autocast(x.device.type, enabled=False):  # differences of squares need float32
            # a convolution of each channel alone takes less than half the time in this layout, but
            # five times as long where there is one channel: grey images are channels of one image
            grey = x.shape[1] == 1
            if grey:
                x, y = x.transpose(0, 1), y.transpose(0, 1)
            x = x.float().contiguous(memory_format=torch.channels_last)
            y = y.float().contiguous(memory_format=torch.channels_last)
            out = []
            for scale in range(len(self.weights)):
                if scale:
                    x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
                luminance, contrast = self._compare(x, y)
                if grey:
                    luminance, contrast = luminance.transpose(0, 1), contrast.transpose(0, 1)
                out.append((luminance, contrast))
        return out

    def _compare(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        mean_x, mean_y = self._blur(x), self._blur(y)
        cross = mean_x * mean_y
        squares = mean_x.square() + mean_y.square()
        covariance = self._blur(x * y) - cross
        variances = self._blur(x.square() + y.square()) - squares
        luminance = (2 * cross + self.c1) / (squares + self.c1)
        return luminance, (2 * covariance + self.c2) / (variances + self.c2)

    def _blur(self, x: Tensor) -> Tensor:
        """Gaussian mean at the valid places, one axis after the other, channels apart."""
        channels = x.shape[1]
        column = self.taps.view(1, 1, -1, 1).expand(channels, -1, -1, -1)
        x = F.conv2d(x, column, groups=channels)
        return F.conv2d(x, column.mT, groups=channels)


def _power(similar: Tensor, weight: float) -> Tensor:
    """Raise to ``weight``; where not positive, give 0 with gradient 0."""
    return torch.where(similar > 0, similar.clamp(min=LEAST) ** weight, 0.0)


def scales_that_fit(weights: Sequence[float], window: int, side: int) -> tuple[float, ...]:
    """As many scales as the window fits into on ``side`` pixels, weights summing to 1 when cut.

    >>> scales_that_fit(GLOBAL_WEIGHTS, 11, 256) == GLOBAL_WEIGHTS
    True
    >>> [round(w, 4) for w in scales_that_fit(GLOBAL_WEIGHTS, 3, 32)]
    [0.0517, 0.3295, 0.3462, 0.2726]
    """
    fit = [w for i, w in enumerate(weights) if side // 2**i >= window]
    if len(fit) == len(weights):
        return tuple(weights)
    return tuple(w / sum(fit) for w in fit)
