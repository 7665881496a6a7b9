"""A multivariate Gaussian with a shrunk covariance, and the distance from it."""

from __future__ import annotations

import torch
from torch import Tensor


def fit_gaussian(rows: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean, whitening matrix and shrinkage of rows (N, C), whose covariance is shrunk.

    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004:
    the sample covariance is mixed with a multiple of the identity, in the ratio that the data
    themselves suggest; it can be inverted with fewer rows than columns.

    Returns:
        mean (C,); W (C, C), lower, float32, so that |W (x - mean)| is the Mahalanobis distance; the
        identity's part in the mixture, in [0, 1].
    """
    from sklearn.covariance import ledoit_wolf

    exact = rows.double().cpu()
    covariance, shrinkage = ledoit_wolf(exact.numpy())
    matrix = torch.from_numpy(covariance)
    floor = max(1e-6 * float(matrix.diagonal().mean()), 1e-12)  # one image, or dead channels
    eye = torch.eye(len(matrix), dtype=torch.float64)
    factor = torch.linalg.cholesky(matrix + floor * eye)
    whitener = torch.linalg.solve_triangular(factor, eye, upper=False)
    return exact.mean(0).to(rows), whitener.to(rows), float(shrinkage)


def mahalanobis(rows: Tensor, mean: Tensor, whitener: Tensor) -> Tensor:
    """Distance (N,) of each row (N, C) from the Gaussian."""
    gaps = (rows - mean.to(rows)) @ whitener.to(rows).T
    return gaps.square().sum(1).sqrt()
