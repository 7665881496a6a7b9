"""MSGMS against a slow computation, pixel by pixel; what it is at its ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from benchmark.methods._parts.msgms import FLAT, gradients, msgms_loss, msgms_map, similarities


def slow_gradients(image: NDArray[Any]) -> NDArray[Any]:
    """(C, H, W) to (H, W): grey, 3 × 3 median, Prewitt; outside is the nearest pixel."""
    grey = image.mean(0)
    height, width = grey.shape

    def around(values: NDArray[Any], y: int, x: int) -> NDArray[Any]:
        rows = [min(max(y + d, 0), height - 1) for d in (-1, 0, 1)]
        columns = [min(max(x + d, 0), width - 1) for d in (-1, 0, 1)]
        return np.asarray(values[np.ix_(rows, columns)])

    middle: NDArray[Any] = np.empty_like(grey)
    out: NDArray[Any] = np.empty_like(grey)
    for y, x in np.ndindex(height, width):
        middle[y, x] = np.median(around(grey, y, x))
    for y, x in np.ndindex(height, width):
        box = around(middle, y, x)
        down = (box[2].sum() - box[0].sum()) / 3
        across = (box[:, 2].sum() - box[:, 0].sum()) / 3
        out[y, x] = np.hypot(down, across)
    return np.asarray(out)


def test_gradients_are_those_of_a_slow_loop() -> None:
    images = torch.rand(2, 3, 9, 12, dtype=torch.float64)
    found = gradients(images)[:, 0].numpy()
    for i in range(2):
        np.testing.assert_allclose(found[i], slow_gradients(images[i].numpy()), atol=2e-6)


def test_similarity_map_and_loss_follow_from_the_gradients() -> None:
    x, y = torch.rand(2, 1, 3, 16, 24)
    slow: list[NDArray[Any]] = []
    a, b = x, y
    for scale in range(3):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        pair = [np.stack([slow_gradients(i.double().numpy()) for i in part]) for part in (a, b)]
        slow.append((2 * pair[0] * pair[1] + FLAT) / (pair[0] ** 2 + pair[1] ** 2 + FLAT))
    for found, other in zip(similarities(x, y, 3), slow, strict=True):
        np.testing.assert_allclose(found.numpy(), other, atol=1e-4)
    loss = np.mean([(1 - values).mean() for values in slow])
    assert float(msgms_loss(x, y, 3)) == pytest.approx(loss, abs=1e-4)
    grown = [
        F.interpolate(torch.from_numpy(1 - v)[:, None], size=(16, 24), mode="bilinear")[:, 0]
        for v in slow
    ]
    wanted = torch.stack(grown).mean(0)
    torch.testing.assert_close(msgms_map(x, y, 3).double(), wanted, atol=1e-4, rtol=0)


def test_equal_images_have_no_gap_and_finite_slopes() -> None:
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    loss = msgms_loss(x, x.detach().clone())
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    flat = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    msgms_loss(flat, x.detach()).backward()
    assert flat.grad is not None and bool(flat.grad.isfinite().all())


def test_an_edge_that_only_one_image_has_is_where_the_map_is_high() -> None:
    x = torch.full((1, 3, 64, 64), 0.5)
    y = x.clone()
    y[:, :, 20:40, 20:40] = 0.9
    gap = msgms_map(x, y)[0]
    assert float(gap[18:42, 18:42].mean()) > 10 * float(gap[:, :5].mean())
    assert float(gap[50:, 50:].max()) < 0.05
