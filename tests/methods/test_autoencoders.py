"""The auto-encoders: networks beside the papers', losses and maps against slow computations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Normal, kl_divergence

from benchmark import Context, Detector
from benchmark.data.loading import ImageSet
from benchmark.detector.context import Checkpoint
from benchmark.errors import DetectorError, SettingsError
from benchmark.methods._parts import reconstruction
from benchmark.methods._parts.autoencoders import (
    AutoEncoder,
    Between,
    bergmann_layers,
    dcgan_layers,
)
from benchmark.methods._parts.reconstruction import bergmann, moved
from benchmark.methods.memae import Memory, MemoryAutoEncoder, entropy
from benchmark.methods.ssim_ae import unlike
from benchmark.plugins.registry import Registry

from ..helpers import KilledAfter, noise, save_after_every_step

CONTEXT = Context.alone()
FAST: dict[str, Any] = {"views": 6, "batch": 3, "epochs": 2}
FRONT = "3-32-4 32-32-4 32-32-4 32-32-3 "
"""Of the layers for 256 × 256."""


def new(name: str, **settings: Any) -> Any:
    cls, preset = Registry().method(name)
    return cls(**preset, **FAST, **settings)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("size", "code", "table"),
    [
        # (inputs, outputs, kernel) of Table 1, and of its form for 256 × 256 and 28 × 28
        (128, 100, "3-32-4 32-32-4 32-32-3 32-64-4 64-64-3 64-128-4 128-64-3 64-32-3 32-100-8"),
        (256, 500, FRONT + "32-64-4 64-64-3 64-128-4 128-64-3 64-32-3 32-500-8"),
        (28, 64, "3-64-4 64-64-3 64-128-4 128-64-3 64-32-3 32-64-7"),
    ],
)  # fmt: skip
def test_layers_are_those_of_the_paper(size: int, code: int, table: str) -> None:
    rows = [tuple(map(int, row.split("-"))) for row in table.split()]
    network = AutoEncoder((size, size), 3, bergmann_layers((size, size), code), Between(0.2))
    convs = [m for m in network.encoder if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, *c.kernel_size) for c in convs] == [
        (a, b, k, k) for a, b, k in rows
    ]
    assert parameters(network.encoder) == sum(k * k * a * b + b for a, b, k in rows)
    assert parameters(network.decoder) == sum(k * k * a * b + a for a, b, k in rows)


@pytest.mark.parametrize("size", [(28, 28), (16, 24), (40, 12)])
def test_what_is_rebuilt_has_the_images_size(size: tuple[int, int]) -> None:
    for channels in (1, 3):
        images = torch.rand(2, channels, *size)
        rebuilt = AutoEncoder(size, channels, bergmann_layers(size, 9), Between(0.2))(images)
        assert rebuilt.shape == images.shape
        for whole in (True, False):
            rebuilt, _ = MemoryAutoEncoder(size, channels, 5, 1.0, whole)(images)
            assert rebuilt.shape == images.shape


@pytest.mark.parametrize("size", [(256, 256), (48, 32)])
def test_an_image_comes_through_to_the_last_layer_of_a_fresh_network(size: tuple[int, int]) -> None:
    """Numbers that differ from image to image; PyTorch's own start leaves 1e-9 of them on 256 × 256."""
    torch.manual_seed(0)
    images = torch.rand(4, 3, *size)
    network = bergmann(size, 3, 100)
    for part in (images, network.encoder(images), network(images)):
        assert 0.05 < part.std(0).mean() < 2


@pytest.mark.parametrize("name", ["l2_ae", "dae"])
def test_mostly_black_images_do_not_end_the_learning(name: str) -> None:
    """A sigmoid at the end is black everywhere within ten steps here, and has no gradient then."""
    pixels = np.zeros((24, 28, 28, 3), np.uint8)
    pixels[:, 10:18, 10:18] = 255
    images = ImageSet(pixels, [str(i) for i in range(len(pixels))])
    cls: Any = Registry().method(name)[0]
    learned = cls(views=24, batch=3, steps=60, learning_rate=1e-3).fit(images, CONTEXT)
    with torch.no_grad():
        rebuilt = learned.network_(images.batch([0]).pixels[:, :1])[0, 0]
    assert rebuilt[12:16, 12:16].mean() > 0.3 and rebuilt[:4].abs().mean() < 0.2


def test_sides_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(DetectorError, match="250 × 256; .* multiples of 32: .* --image-size"):
        bergmann_layers((250, 256), 9)
    with pytest.raises(DetectorError, match="side 28: .* 8, 16, 32"):
        dcgan_layers(28, 64, 100)
    with pytest.raises(SettingsError, match="l2_ae: .* views 0"):
        Registry().method("l2_ae")[0](views=0)  # type: ignore[call-arg]


def test_dissimilarity_is_that_of_a_slow_computation() -> None:
    x, y = torch.rand(2, 2, 3, 14, 15, generator=torch.Generator().manual_seed(0)).double()
    bell = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / bell.sum() ** 2
    want = np.zeros((2, 4, 5))
    for b, i, j in np.ndindex(want.shape):
        for c in range(3):
            p, q = (z[b, c, i : i + 11, j : j + 11].numpy() for z in (x, y))
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            ssim = (2 * mp * mq + 1e-4) * (2 * cov + 9e-4)
            ssim /= (mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)
            want[b, i, j] += (1 - ssim) / 3
    np.testing.assert_allclose(unlike(x.float(), y.float()), want, rtol=1e-4, atol=1e-5)


def test_a_vae_minimises_the_negated_evidence_bound() -> None:
    vae = new("vae", code=5).fit(noise(6, side=16), CONTEXT)
    images = torch.rand(2, 3, 16, 16)
    draws = torch.Generator().manual_seed(3)
    with torch.no_grad():
        got = float(vae.loss(images, draws))
        mean, log_variance = vae.network_.encoder(images)[:, :, 0, 0].chunk(2, 1)
        spread = log_variance.exp().sqrt()
        codes = mean + spread * torch.randn(2, 5, generator=torch.Generator().manual_seed(3))
        rebuilt = vae.network_.decoder(codes[:, :, None, None])
        unit: Any = Normal
        likelihood = unit(rebuilt, 1.0).log_prob(images) - unit(images, 1.0).log_prob(images)
        kl = kl_divergence(Normal(mean, spread), Normal(torch.zeros(5), torch.ones(5)))
        assert got == pytest.approx(float((kl.sum() - likelihood.sum()) / 2), rel=1e-5)
        maps = [
            (vae.network_.decoder((mean + spread * one)[:, :, None, None]) - images)
            .square()
            .mean(1)
            for one in vae.noise_
        ]
        assert len(maps) == 6
        torch.testing.assert_close(vae.errors(images), torch.stack(maps).mean(0))


def test_a_memory_answers_with_the_slots_above_an_even_share() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        memory = Memory(7, 4, 1.0)
        queries = 3 * torch.randn(2, 4, 3, 2)
    with torch.no_grad():
        answer, shares = memory(queries)
    slots = memory.slots.detach().double().numpy()
    for row, (b, i, j) in enumerate(np.ndindex(2, 3, 2)):
        products = slots @ queries[b, :, i, j].double().numpy()
        even = np.exp(products) / np.exp(products).sum()
        kept = np.where(even > 1 / 7, even, 0)
        kept /= kept.sum()
        np.testing.assert_allclose(shares[row], kept, atol=1e-5)
        np.testing.assert_allclose(answer[b, :, i, j], kept @ slots, atol=1e-5)
    assert 0 < int((shares == 0).sum()) < shares.numel()
    rows: Any = Categorical(shares)
    torch.testing.assert_close(entropy(shares), rows.entropy(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "whole", "slots", "width"),
    [
        ("grey", True, 100, 64 * 4 * 4),
        ("coloured", True, 500, 256 * 2 * 2),
        ("grey", False, 100, 64),
    ],
)
def test_the_memory_network_is_the_papers(name: str, whole: bool, slots: int, width: int) -> None:
    grey = name == "grey"
    size, channels = ((28, 28), 1) if grey else ((32, 32), 3)
    network = MemoryAutoEncoder(size, channels, None, 1.0, whole)
    assert network.memory.slots.shape == (slots, width)
    rebuilt, shares = network(torch.rand(2, channels, *size))
    assert rebuilt.shape == (2, channels, *size)
    assert shares.shape == (2 if whole else 2 * 4 * 4, slots)
    kernels = [m.kernel_size[0] for m in network.encoder if isinstance(m, nn.Conv2d)]
    assert kernels == ([1, 3, 3] if grey else [3, 3, 3, 3])
    back = [m.out_channels for m in network.decoder if isinstance(m, nn.ConvTranspose2d)]
    assert back == ([64, 32, 1] if grey else [256, 128, 128, 3])


def test_small_images_ask_as_a_whole_and_others_by_position() -> None:
    sides = (28, 32, 64)
    assert [new("memae").network((side, side), 1).whole for side in sides] == [True, True, False]
    for query in ("image", "position"):
        told = [new("memae", query=query).network((side, side), 1).whole for side in sides]
        assert told == [query == "image"] * 3


def test_a_slot_decodes_to_a_whole_image() -> None:
    network = MemoryAutoEncoder((28, 28), 1, 3, 0.0, whole=True).eval()
    with torch.no_grad():
        network.memory.slots.fill_(-1e3)  # far from any encoding, whose numbers are not negative
        network.memory.slots[0] = torch.linspace(0, 1, 64 * 4 * 4)
        rebuilt, shares = network(torch.rand(2, 1, 28, 28))
        alone = network.decoder(network.memory.slots[0].view(1, 64, 4, 4))
    torch.testing.assert_close(shares, torch.eye(3)[:1].expand(2, 3))
    torch.testing.assert_close(rebuilt, alone.expand_as(rebuilt))


@pytest.mark.parametrize(
    ("crops", "groups", "cropped"),
    [
        ("textures", ("Textures",), True),
        ("textures", ("Objects",), False),
        ("always", (), True),
        ("never", ("Textures",), False),
    ],
)
def test_textures_are_seen_by_crops(
    crops: str, groups: tuple[str, ...], cropped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("CROP", 16), ("STRIDE", 8), ("SMALL", 8), ("CHUNK", 5)):
        monkeypatch.setattr(reconstruction, name, value)
    place = Context.alone()
    place.groups = groups
    detector = new("l2_ae", crops=crops).fit(noise(3, side=32), place)
    assert detector.facts()["cropped"] is cropped
    batch = noise(2, 1, side=32).batch([0, 1])
    with torch.no_grad():
        if cropped:
            total, seen = torch.zeros(2, 32, 32), torch.zeros(32, 32)
            for top in (0, 8, 16):
                for left in (0, 8, 16):
                    part = (..., slice(top, top + 16), slice(left, left + 16))
                    total[part] += detector.errors(batch.pixels[part])
                    seen[part] += 1
            want = total / seen
        else:
            want = detector.errors(batch.pixels)
    found = detector.predict(batch, place)
    torch.testing.assert_close(found.maps, want)
    torch.testing.assert_close(found.scores, want.flatten(1).amax(1))


def test_small_images_score_by_their_mean_error_and_grey_ones_have_one_channel() -> None:
    pixels = noise(6, side=16).pixels
    grey = ImageSet(pixels[..., :1].repeat(3, 3), [str(i) for i in range(6)])
    detector = new("dae").fit(grey, CONTEXT)
    assert detector.network_.encoder[0].in_channels == 1
    found = detector.predict(grey.batch([0, 1]), CONTEXT)
    torch.testing.assert_close(found.scores, found.maps.mean((1, 2)))


def test_moved_images_are_near_themselves_and_all_moved_differently() -> None:
    y, x = torch.meshgrid(torch.linspace(0, 1, 40), torch.linspace(0, 1, 40), indexing="ij")
    images = torch.stack([x, y, x + y]).expand(3, 3, 40, 40)
    out = moved(images, torch.Generator().manual_seed(0))
    gap = (out - images)[:, :, 10:30, 10:30].abs().amax((1, 2, 3))
    assert 0.01 < gap.min() and gap.max() < 0.05 + 0.05 + 2 * 0.09
    assert not torch.allclose(out[0], out[1], atol=1e-3)


@pytest.mark.parametrize("name", ["dae_denoising", "memae"])
def test_goes_on_after_a_kill_as_if_nothing_had_happened(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_after_every_step(monkeypatch)
    train = noise(4, side=16)
    whole: Detector = new(name).fit(train, CONTEXT)
    place = Context.alone()
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    place.progress = KilledAfter(3, "auto-encoder")
    with pytest.raises(KeyboardInterrupt):
        new(name).fit(train, place)
    place.progress = CONTEXT.progress
    resumed = new(name).fit(train, place)
    assert resumed.facts() == whole.facts() and whole.facts()["steps"] == 4
    for key, tensor in whole.state().tensors.items():
        assert torch.equal(tensor, resumed.state().tensors[key]), key
    assert "loss" in place.meters.curves


def test_divergence_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DetectorError, match=r"diverged.*--set vae\.learning_rate="):
        new("vae", learning_rate=1e6).fit(noise(4, side=16), CONTEXT)
