"""MS-SSIM against pytorch-msssim and scikit-image, and IGD's convolutions against two steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.methods._parts.msssim import (
    GLOBAL_WEIGHTS,
    LOCAL_WEIGHTS,
    MsSsim,
    scales_that_fit,
)
from benchmark.methods.igd.resampling_conv import DoublingConv, HalvingConv

L = 4.7579


def pair(side: int, noise: float, count: int = 2) -> tuple[Tensor, Tensor]:
    """Smooth normalised images, and noisy ones of them."""
    generator = torch.Generator().manual_seed(side)
    x = torch.randn(count, 3, side // 8, side // 8, generator=generator)
    x = F.interpolate(x, size=(side, side), mode="bilinear")
    return x, x + noise * torch.randn(x.shape, generator=generator)


@pytest.mark.parametrize(
    ("side", "weights", "window"),
    [(256, GLOBAL_WEIGHTS, 11), (192, GLOBAL_WEIGHTS, 11), (64, LOCAL_WEIGHTS, 3)],
)
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5])
def test_value_and_gradient_are_those_of_pytorch_msssim(
    side: int, weights: tuple[float, ...], window: int, noise: float
) -> None:
    oracle = pytest.importorskip("pytorch_msssim")
    x, y = pair(side, noise)
    y = y.requires_grad_()
    found = MsSsim(weights, window)(x, y)
    wanted = oracle.ms_ssim(
        x, y, data_range=L, size_average=False, win_size=window, weights=list(weights)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    if noise:
        a = torch.autograd.grad(found.sum(), y)[0]
        b = torch.autograd.grad(wanted.sum(), y)[0]
        assert float((a - b).norm() / b.norm()) < 1e-3


def test_takes_the_32_pixels_that_pytorch_msssim_refuses() -> None:
    oracle = pytest.importorskip("pytorch_msssim")
    x, y = pair(32, 0.3)
    with pytest.raises(AssertionError):
        oracle.ms_ssim(x, y, data_range=L, win_size=3, weights=list(LOCAL_WEIGHTS))
    similarity = MsSsim(LOCAL_WEIGHTS, 3)
    assert [contrast.shape[2] for _, contrast in similarity.scales(x, y)] == [30, 14, 6, 2]
    # the oracle scale by scale, put together by hand
    wanted: Tensor | float = 1.0
    for i, weight in enumerate(LOCAL_WEIGHTS):
        taps = oracle.ssim.__globals__["_fspecial_gauss_1d"](3, 1.5).repeat(3, 1, 1, 1)
        whole, contrast = oracle.ssim.__globals__["_ssim"](x, y, L, taps)
        last = i == len(LOCAL_WEIGHTS) - 1
        wanted = wanted * (whole if last else contrast).clamp(min=0) ** weight
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    assert isinstance(wanted, Tensor)
    x, y = pair(32, 0.3)
    torch.testing.assert_close(similarity(x, y), wanted.mean(1), rtol=1e-4, atol=1e-5)


def test_a_single_scale_is_scikit_images() -> None:
    from skimage.metrics import structural_similarity

    x, y = pair(64, 0.4, 1)
    window, reach = 11, 5  # where theirs is cut
    _, full = structural_similarity(  # type: ignore[no-untyped-call]
        x[0].double().numpy(),
        y[0].double().numpy(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=L,
        channel_axis=0,
        full=True,
    )
    inside = full[:, reach:-reach, reach:-reach]
    luminance, contrast = MsSsim((1.0,), window).scales(x, y)[0]
    np.testing.assert_allclose((luminance * contrast)[0].numpy(), inside, atol=2e-5)
    found = MsSsim((1.0,), window)(x, y)
    assert float(found) == pytest.approx(inside.mean(), abs=1e-5)


def test_maps_are_the_slow_sums_and_products() -> None:
    x, y = pair(32, 0.3, 1)
    similarity = MsSsim(LOCAL_WEIGHTS, 3)
    stacked = similarity.stacked_gap(x, y)
    product = similarity.pixelwise(x, y)
    row, column, total = 13, 22, 0.0
    for weight, (luminance, contrast) in zip(LOCAL_WEIGHTS, similarity.scales(x, y), strict=True):
        side = contrast.shape[2]
        place = (0, 1, row * side // 32, column * side // 32)
        total += weight * (1 - max(float(luminance[place] * contrast[place]), 0.0))
    assert float(stacked[0, 1, row, column]) == pytest.approx(total, abs=1e-5)
    # the finest scale has its value at the pixel itself; one scale alone is its plain map
    single = MsSsim((1.0,), 3)
    luminance, contrast = single.scales(x, y)[0]
    wanted = (luminance * contrast).clamp(min=0)
    torch.testing.assert_close(single.pixelwise(x, y)[..., 1:-1, 1:-1], wanted)
    assert product.shape == x.shape and bool(((product >= 0) & (product <= 1.01)).all())


def test_equal_images_are_alike_and_opposite_ones_count_nothing_and_teach_nothing() -> None:
    x, _ = pair(32, 0.0)
    similarity = MsSsim(LOCAL_WEIGHTS, 3)
    torch.testing.assert_close(similarity(x, x), torch.ones(2))
    opposite = torch.stack([-x[0], x[1] + 0.1]).requires_grad_()
    found = similarity(x, opposite)
    assert float(found[0]) == 0.0 and float(found[1]) > 0.5
    assert bool((similarity.pixelwise(x, opposite)[0] == 0).any())
    found.sum().backward()
    assert opposite.grad is not None and bool(opposite.grad.isfinite().all())
    assert not bool(opposite.grad[0].any()) and bool(opposite.grad[1].any())


def test_a_leak_leads_lost_images_back_and_changes_nothing_else() -> None:
    x, near = pair(32, 0.2)
    lost = torch.stack([-x[0], near[1]]).requires_grad_()
    plain, leaky = MsSsim(LOCAL_WEIGHTS, 3), MsSsim(LOCAL_WEIGHTS, 3, leak=0.5)
    found = leaky(x, lost)
    assert torch.equal(found, plain(x, lost)) and float(found.detach()[0]) == 0.0
    (by_leak,) = torch.autograd.grad(found.sum(), lost)
    (by_plain,) = torch.autograd.grad(plain(x, lost).sum(), lost)
    assert torch.equal(by_leak[1], by_plain[1]) and not bool(by_plain[0].any())
    # the slow way: half of the gradient of the sum of the means that are not positive, per channel
    total: torch.Tensor | float = 0.0
    for i, (luminance, contrast) in enumerate(plain.scales(x, lost)):
        for channel in range(3):
            last = i == len(LOCAL_WEIGHTS) - 1
            mean = (luminance * contrast if last else contrast)[0, channel].mean()
            total = total + (0.5 * mean / 3 if float(mean.detach()) <= 0 else 0.0)
    assert isinstance(total, torch.Tensor)
    (slow,) = torch.autograd.grad(total, lost)
    torch.testing.assert_close(by_leak[0], slow[0])


@pytest.mark.parametrize(("side", "count"), [(256, 5), (128, 4), (64, 3), (16, 1)])
def test_scales_shrink_with_the_image(side: int, count: int) -> None:
    weights = scales_that_fit(GLOBAL_WEIGHTS, 11, side)
    assert len(weights) == count
    assert sum(weights) == pytest.approx(1.0, abs=2e-4)
    x, y = pair(side, 0.2)
    assert bool(MsSsim(weights, 11)(x, y).isfinite().all())


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_doubling_and_halving_are_the_two_step_ways(
    kernel: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(kernel)
    for cls in (DoublingConv, HalvingConv):
        fast = cls(6, 5, kernel, padding=kernel // 2).double()
        slow = nn.Conv2d(6, 5, kernel, padding=kernel // 2).double()
        slow.load_state_dict(fast.state_dict())
        x = torch.randn(2, 6, 8, 10).double().contiguous(memory_format=layout)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        found = fast(a)
        if cls is DoublingConv:
            wanted = slow(F.interpolate(b, scale_factor=2.0, mode="nearest"))
        else:
            wanted = F.avg_pool2d(slow(b), 2)
        torch.testing.assert_close(found, wanted)
        weights = torch.randn_like(wanted)
        (found * weights).sum().backward()
        (wanted * weights).sum().backward()
        torch.testing.assert_close(a.grad, b.grad)
        for mine, theirs in zip(fast.parameters(), slow.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad)
