"""Perlin noise against a slow computation, statistics of masks, rotation and smudges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from benchmark.methods._parts.anomaly_masks import (
    focal_loss,
    perlin_masks,
    perlin_noise,
    rotated,
    smudged,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slow_noise(angles: np.ndarray, cells: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Perlin noise, pixel by pixel; ``angles`` at the lattice points, measured from the y axis."""
    out = np.empty(size)
    for row, column in np.ndindex(*size):
        y, x = row * cells[0] / size[0], column * cells[1] / size[1]
        dots = {}
        for j in (0, 1):
            for i in (0, 1):
                angle = angles[int(y) + j, int(x) + i]
                dots[j, i] = math.cos(angle) * (y % 1 - j) + math.sin(angle) * (x % 1 - i)
        fy, fx = (6 * t**5 - 15 * t**4 + 10 * t**3 for t in (y % 1, x % 1))
        upper = dots[0, 0] * (1 - fx) + dots[0, 1] * fx
        lower = dots[1, 0] * (1 - fx) + dots[1, 1] * fx
        out[row, column] = math.sqrt(2) * (upper * (1 - fy) + lower * fy)
    return out


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_noise_is_that_of_a_slow_loop(size: tuple[int, int]) -> None:
    found = perlin_noise(6, size, generator(), octaves=4)
    draws = generator()
    cells = 2 ** torch.randint(4, (2, 6, 1), generator=draws)
    angles = 2 * math.pi * torch.rand(6, 9, 9, generator=draws)
    assert found.shape == (6, *size)
    assert len({tuple(c) for c in cells[:, :, 0].T.tolist()}) > 2, "one frequency only"
    for i in range(6):
        wanted = slow_noise(angles[i].numpy(), (int(cells[0, i]), int(cells[1, i])), size)
        np.testing.assert_allclose(found[i].numpy(), wanted, atol=1e-5)


def test_noise_has_every_frequency_and_stays_in_range() -> None:
    noise = perlin_noise(400, (64, 64), generator())
    assert float(noise.abs().max()) <= math.sqrt(2) * math.sqrt(0.5) + 1e-5
    assert abs(float(noise.mean())) < 0.02
    # cells of 64 pixels to 2: the difference of neighbours grows with their number
    rough = (noise[:, :, 1:] - noise[:, :, :-1]).abs().mean((1, 2))
    assert float(rough.max() / rough.min()) > 10


def test_masks_are_binary_half_of_them_empty_and_small() -> None:
    masks = perlin_masks(600, (64, 64), generator())
    assert masks.shape == (600, 1, 64, 64) and masks.dtype == torch.float32
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    whole = perlin_masks(600, (64, 64), generator(), empty=0.0)
    some = whole.flatten(1).any(1)
    assert float(some.float().mean()) > 0.8
    kept = masks.flatten(1).any(1)[some]
    # of 500 or more fair coins, beyond five standard deviations
    assert abs(float(kept.float().mean()) - 0.5) < 5 * 0.5 / math.sqrt(int(some.sum()))
    share = whole.mean((1, 2, 3))
    assert 0.01 < float(share.mean()) < 0.15
    assert not perlin_masks(50, (64, 64), generator(), empty=1.0).any()


def test_higher_thresholds_give_smaller_masks() -> None:
    areas = [
        float(perlin_masks(100, (64, 64), generator(), threshold=t, empty=0.0).mean())
        for t in (0.3, 0.5, 0.7)
    ]
    assert areas[0] > areas[1] > areas[2] > 0


def test_the_generator_fixes_everything() -> None:
    first, again, other = (perlin_masks(8, (32, 32), generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("size", [(33, 33), (32, 48)])
def test_rotation_is_scipys(size: tuple[int, int]) -> None:
    # smooth, since SciPy's border differs by half a pixel
    y, x = np.mgrid[: size[0], : size[1]]
    image = np.exp(-(((y - size[0] / 2) / 6) ** 2 + ((x - size[1] / 2 - 4) / 4) ** 2))
    image = image.astype(np.float32)
    found = rotated(torch.from_numpy(image)[None, None], 90.0, generator(3))[0, 0].numpy()
    angle = (2 * float(torch.rand(1, generator=generator(3))) - 1) * 90
    assert abs(angle) > 10
    gaps = [
        np.abs(ndimage.rotate(image, sign * angle, reshape=False, order=1) - found).max()
        for sign in (1, -1)
    ]
    assert min(gaps) < 0.02 < max(gaps)


def test_rotation_leaves_the_others_alone() -> None:
    images = torch.rand(400, 1, 8, 8)
    out = rotated(images, 90.0, generator(), share=0.4)
    same = (out == images).flatten(1).all(1)
    assert abs(float(same.float().mean()) - 0.6) < 5 * math.sqrt(0.24 / 400)


def test_a_smudge_is_one_colour_under_the_mask_and_nothing_beside_it() -> None:
    images, masks = torch.rand(5, 3, 16, 16), torch.zeros(5, 1, 16, 16)
    masks[:, :, 4:9, 3:8] = 1
    out = smudged(images, masks, generator())
    assert torch.equal(out * (1 - masks), images * (1 - masks))
    draws = generator()
    colours = torch.rand(5, 3, 1, 1, generator=draws)
    seen = 0.8 * torch.rand(5, 1, 1, 1, generator=draws)
    wanted = masks * ((1 - seen) * colours + seen * images)
    torch.testing.assert_close(out * masks, wanted)


def test_focal_loss_is_the_published_formula() -> None:
    logits, masks = torch.randn(2, 2, 5, 5), (torch.rand(2, 1, 5, 5) > 0.5).float()
    total = 0.0
    for b, y, x in np.ndindex(2, 5, 5):
        share = logits[b, :, y, x].double().exp()
        share = share / share.sum()
        label = int(masks[b, 0, y, x])
        hot = [1e-5, 1e-5]
        hot[label] = 1 - 1e-5
        right = float(hot[0] * share[0] + hot[1] * share[1]) + 1e-5
        total -= (1 - right) ** 2 * float(np.log(right))
    assert float(focal_loss(logits, masks)) == pytest.approx(total / 50, rel=1e-5)
    sure = torch.tensor([[[[60.0]], [[-60.0]]]])
    assert float(focal_loss(sure, torch.zeros(1, 1, 1, 1))) == pytest.approx(0, abs=1e-6)
    wrong = sure.clone().requires_grad_()
    focal_loss(wrong, torch.ones(1, 1, 1, 1)).backward()
    assert wrong.grad is not None and bool(wrong.grad.isfinite().all())
