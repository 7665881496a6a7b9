"""A one-class support vector machine whose state is tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from .neighbours import pieces


def fit_support(rows: Tensor, nu: float, gamma: float = 1) -> tuple[Tensor, Tensor, list[float]]:
    """Fit scikit-learn's OneClassSVM with the Gaussian kernel exp(-g |x - y|²).

    Args:
        rows: float32 (n, C); time grows with n².
        nu: share of the rows that may lie outside, in (0, 1].
        gamma: g in units of 1 / (C × variance of the rows' numbers).

    Returns:
        support vectors (S, C), their weights (S,), and [g, offset], for :func:`outside`.
    """
    from sklearn.svm import OneClassSVM

    exact = rows.double().cpu()
    g = gamma / (exact.shape[1] * max(float(exact.var(correction=0)), 1e-12))
    machine = OneClassSVM(kernel="rbf", gamma=g, nu=nu).fit(exact.numpy())
    vectors = torch.from_numpy(machine.support_vectors_).to(rows)
    weights = torch.from_numpy(machine.dual_coef_[0]).to(rows)
    return vectors, weights, [g, float(machine.offset_[0])]


def outside(rows: Tensor, vectors: Tensor, weights: Tensor, kernel: list[float]) -> Tensor:
    """Measure how far rows (n, C) lie outside: the machine's decision value negated, (n,)."""
    g, offset = kernel
    vectors, weights = vectors.to(rows.device), weights.to(rows.device)
    norms = vectors.square().sum(1)
    values = [
        torch.addmm(norms, part, vectors.T, alpha=-2)
        .add_(part.square().sum(1, keepdim=True))
        .clamp_(min=0)
        .mul_(-g)
        .exp_()
        .mv(weights)
        for part in pieces(rows, 1024)
    ]
    return offset - torch.cat(values)
