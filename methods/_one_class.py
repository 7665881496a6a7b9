"""A one-class support vector machine whose state is tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def fit_support(rows: Tensor, nu: float) -> tuple[Tensor, Tensor, list[float]]:
    """Fit scikit-learn's OneClassSVM with a Gaussian kernel of width ``gamma="scale"``.

    Args:
        rows: float32 (n, C); time grows with n².
        nu: share of the rows that may lie outside, in (0, 1].

    Returns:
        support vectors (S, C), their weights (S,), and [gamma, offset], for :func:`outside`.
    """
    from sklearn.svm import OneClassSVM

    machine = OneClassSVM(kernel="rbf", gamma="scale", nu=nu).fit(rows.double().cpu().numpy())
    vectors = torch.from_numpy(machine.support_vectors_).to(rows)
    weights = torch.from_numpy(machine.dual_coef_[0]).to(rows)
    return vectors, weights, [float(machine._gamma), float(machine.offset_[0])]


def outside(rows: Tensor, vectors: Tensor, weights: Tensor, kernel: list[float]) -> Tensor:
    """How far rows (n, C) lie outside: the machine's decision value negated, (n,)."""
    gamma, offset = kernel
    vectors, weights = vectors.to(rows.device), weights.to(rows.device)
    norms = vectors.square().sum(1)
    values = [
        torch.addmm(norms, part, vectors.T, alpha=-2)
        .add_(part.square().sum(1, keepdim=True))
        .clamp_(min=0)
        .mul_(-gamma)
        .exp_()
        .mv(weights)
        for part in torch.split(rows, 1024)
    ]
    return offset - torch.cat(values)
