"""KDE on pixels: kernel density estimation on whole images (a one-class baseline)."""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Tensor

from benchmark import Batch, Context, Detector, Images, Prediction
from benchmark.errors import SettingsError

from ._parts.pixels import NATIVE, all_pixels, pixel_axes, pixels, reduced

BANDWIDTHS = [2 ** (k / 4) for k in range(-20, 9)]
"""Candidates, in units of the root mean squared spread per dimension."""
FOLDS = 5


class KdePixels(Detector):
    """KDE on pixels: the negated log density of an image under Gaussians around the normal ones.

    Parzen, "On Estimation of a Probability Density Function and Mode", 1962, on the principal
    components that hold 95 % of the variance of the pixels; the bandwidth is the one under which
    training images left out, a fifth at a time, are likeliest. A baseline of the one-class tables
    of MNIST and its kin; Ruff et al., "Deep One-Class Classification", ICML 2018, describe it so,
    with bandwidths from 2^0.5 to 2^5 for pixels scaled their way; here they follow the data.

    Tables that print 0.814 for this on MNIST and 0.951 for OC-SVM have hardly used such a bandwidth:
    the likeliest one gives 0.949, OC-SVM with the usual wide kernel 0.902. Both rank alike, like
    the nearest neighbour when they are narrow and like the distance from the mean when wide.

    Args:
        variance: share that is kept by the principal component analysis; None keeps the pixels.
            The components of few images do not see what lies outside of their span.
        bandwidth: in units of the spread per dimension; None chooses it as above.
        side: larger images are averaged down to side × side pixels.
    """

    title = "KDE (pixels)"
    citation = "Parzen 1962"
    paper = NATIVE
    smoke = {"variance": None}

    def __init__(
        self, *, variance: float | None = 0.95, bandwidth: float | None = None, side: int = 32
    ) -> None:
        self.variance = variance
        self.bandwidth = bandwidth
        self.draws = bandwidth is None
        self.side = side
        if not 0 < (variance or 1) <= 1 or (bandwidth is not None and bandwidth <= 0) or side < 1:
            raise SettingsError(
                f"kde_pixels: variance is {variance}: allowed is a share above 0 and up to 1; "
                f"bandwidth is {bandwidth}, side {side}: both must be positive"
            )

    def fit(self, train: Images, context: Context) -> Self:
        rows = all_pixels(train, self.side, context)
        self.mean_, self.axes_ = pixel_axes(rows, self.variance)
        self.rows_ = reduced(rows, self.mean_, self.axes_)
        self.spread_ = max(float(self.rows_.square().mean().sqrt()), 1e-12)
        self.chosen_ = self.bandwidth or likeliest(self.rows_ / self.spread_, context)
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        rows = reduced(pixels(batch, self.side), self.mean_, self.axes_)
        width = self.chosen_ * self.spread_
        return Prediction(-log_densities(rows, self.rows_, [width])[0])

    def facts(self) -> dict[str, Any]:
        return {"dimensions": list(self.axes_.shape), "bandwidth": self.chosen_}


def likeliest(rows: Tensor, context: Context) -> float:
    """Find the bandwidth under which rows (N, D) left out are likeliest, the folds being drawn."""
    if len(rows) < 2:
        return 1.0
    order = torch.from_numpy(context.rng("folds").permutation(len(rows))).to(rows.device)
    total = torch.zeros(len(BANDWIDTHS), dtype=torch.float64)
    for fold in context.progress.track(range(FOLDS), "bandwidth", FOLDS):
        left_out = order[fold::FOLDS]
        if len(left_out):
            kept = torch.cat([order[f::FOLDS] for f in range(FOLDS) if f != fold])
            total += log_densities(rows[left_out], rows[kept], BANDWIDTHS).double().sum(1).cpu()
    return BANDWIDTHS[int(total.argmax())]


def log_densities(queries: Tensor, rows: Tensor, bandwidths: list[float]) -> Tensor:
    """Log density of queries (Q, D) under Gaussians around rows (N, D): (bandwidths, Q)."""
    norms, dimensions = rows.square().sum(1), rows.shape[1]
    out = []
    for part in torch.split(queries, 512):
        squared = torch.addmm(norms, part, rows.T, alpha=-2)
        squared = squared.add_(part.square().sum(1, keepdim=True)).clamp_(min=0)
        out.append(
            torch.stack(
                [
                    torch.logsumexp(squared / (-2 * h**2), 1)
                    - math.log(len(rows))
                    - dimensions * math.log(h * math.sqrt(2 * math.pi))
                    for h in bandwidths
                ]
            )
        )
    return torch.cat(out, 1)
