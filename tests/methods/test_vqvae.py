"""The VQ-VAE: nearest codes, gradients, moving averages, the official checkpoint, pre-training."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import Context
from benchmark.data.loading import ImageSet
from benchmark.detector.context import Checkpoint
from benchmark.errors import AssetError, WeightsError
from benchmark.features.weights import WeightsFrom
from benchmark.methods.dsr.vqvae import Quantiser, VqVae, straight_through
from benchmark.methods.dsr.vqvae_asset import Follower, GeneralVqVae
from benchmark.methods.dsr.vqvae_colours import set_to_colours
from benchmark.methods.dsr.vqvae_official import MODULES, from_official, load_official

from ..helpers import KilledAfter, save_after_every_step

T = TypeVar("T")
FAST: dict[str, Any] = {"codes": 16, "steps": 6, "batch": 2, "crop": 32, "warm_up": 0}


def photographs(count: int) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 255, (count, 64, 64, 3), np.uint8)
    return ImageSet(pixels, [str(i) for i in range(count)])


@torch.no_grad()
def test_every_feature_becomes_its_nearest_code() -> None:
    torch.manual_seed(0)
    quantiser = Quantiser(50, 8)
    features = torch.randn(2, 8, 3, 5)
    rows = features.permute(0, 2, 3, 1).reshape(-1, 8).double()
    distances = torch.cdist(rows, quantiser.codes.double())
    wanted = distances.argmin(1).view(2, 3, 5)
    assert torch.equal(quantiser.nearest(features), wanted)
    found = quantiser(features)
    for b, y, x in np.ndindex(2, 3, 5):
        assert torch.equal(found[b, :, y, x], quantiser.codes[wanted[b, y, x]])


def test_many_features_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    quantiser = Quantiser(20, 8)
    features = torch.randn(2, 8, 7, 7)
    whole = quantiser.nearest(features)
    monkeypatch.setattr("benchmark.methods.dsr.vqvae.ROWS", 10)
    assert torch.equal(quantiser.nearest(features), whole)


def test_gradients_pass_the_quantiser_as_if_it_were_not_there() -> None:
    quantiser = Quantiser(20, 8)
    features = torch.randn(2, 8, 4, 4, requires_grad=True)
    weight = torch.randn(2, 8, 4, 4)
    out = quantiser(features)
    (out * weight).sum().backward()
    assert features.grad is not None and torch.equal(features.grad, weight)
    assert not torch.equal(out, features)
    assert not quantiser.codes.requires_grad
    half = features.detach().bfloat16().requires_grad_()
    assert straight_through(half, out.detach()).dtype == torch.float32


def test_moving_averages_are_those_of_a_slow_loop() -> None:
    torch.manual_seed(1)
    codes, width, decay = 7, 4, 0.9
    quantiser, follower = Quantiser(codes, width), Follower(codes, decay, width)
    first = torch.randn(40, width)
    follower.start(quantiser, first, torch.Generator().manual_seed(0))
    for code in quantiser.codes:
        assert (first == code).all(1).any(), "codes start on features"
    counts = [40 / codes] * codes
    sums = [[float(v) * 40 / codes for v in row] for row in quantiser.codes]
    for _ in range(3):
        rows = torch.randn(30, width)
        indices = quantiser.nearest(rows.T[None, :, :, None]).flatten()
        follower.follow(quantiser, rows, indices)
        for k in range(codes):
            mine = [rows[i].tolist() for i in range(30) if int(indices[i]) == k]
            counts[k] = decay * counts[k] + (1 - decay) * len(mine)
            for d in range(width):
                total = sum(row[d] for row in mine)
                sums[k][d] = decay * sums[k][d] + (1 - decay) * total
        number = sum(counts)
        counts = [(c + 1e-5) / (number + codes * 1e-5) * number for c in counts]
    wanted = torch.tensor(sums) / torch.tensor(counts)[:, None]
    torch.testing.assert_close(quantiser.codes, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(follower.counts, torch.tensor(counts), rtol=1e-4, atol=1e-5)
    assert float(follower.uses.sum()) == 90


def test_unused_codes_move_to_features_and_used_ones_stay() -> None:
    quantiser, follower = Quantiser(5, 3), Follower(5, 0.99, 3)
    rows = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).repeat(10, 1)
    follower.start(quantiser, rows, torch.Generator().manual_seed(0))
    quantiser.codes.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [9, 9, 9], [8, 8, 8], [7, 7, 7]]))
    follower.sums.copy_(quantiser.codes * follower.counts[:, None])
    follower.follow(quantiser, rows, quantiser.nearest(rows.T[None, :, :, None]).flatten())
    before = quantiser.codes.clone()
    follower.revive(quantiser, rows, torch.Generator().manual_seed(0))
    assert torch.equal(quantiser.codes[:2], before[:2])
    for code in quantiser.codes[2:]:
        assert (rows == code).all(1).any()
    assert not follower.recent.any()


def test_shapes_of_both_levels() -> None:
    model = VqVae(16)
    seen = model.quantise(torch.rand(2, 3, 64, 48))
    assert seen.lo.shape == seen.q_lo.shape == (2, 128, 8, 6)
    assert seen.hi.shape == seen.q_hi.shape == (2, 128, 16, 12)
    assert model.joined(seen.q_lo, seen.q_hi).shape == (2, 256, 16, 12)
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 3, 32, 32)
    thin = VqVae(16, 8).quantise(torch.rand(1, 3, 32, 32))
    assert (thin.q_lo.shape, thin.q_hi.shape) == ((1, 8, 4, 4), (1, 8, 8, 8))


def test_a_gradient_reaches_every_parameter() -> None:
    model = VqVae(16)
    model(torch.rand(1, 3, 32, 32)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


# the official architecture, written down from its description under the official names


class OfficialBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self._block = nn.Sequential(
            nn.ReLU(True), nn.Conv2d(128, 64, 3, 1, 1, bias=False),
            nn.ReLU(True), nn.Conv2d(64, 128, 1, bias=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self._block(x)  # the first ReLU has changed x by then
        return out


class OfficialStack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self._layers = nn.ModuleList([OfficialBlock(), OfficialBlock()])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self._layers:
            x = layer(x)
        return F.relu(x)


class OfficialPart(nn.Module):
    """Convolutions and a residual stack before or after them."""

    def __init__(self, convs: dict[str, nn.Module], stack_after: int, relus: set[str]) -> None:
        super().__init__()
        for name, conv in convs.items():
            self.add_module(name, conv)
        self._residual_stack = OfficialStack()
        self.names, self.stack_after, self.relus = list(convs), stack_after, relus

    def forward(self, x: Tensor) -> Tensor:
        for i, name in enumerate(self.names):
            x = self.get_submodule(name)(x)
            if name in self.relus:
                x = F.relu(x)
            if i + 1 == self.stack_after:
                x = self._residual_stack(x)
        return x


class OfficialQuantiser(nn.Module):
    def __init__(self, codes: int) -> None:
        super().__init__()
        self._embedding = nn.Embedding(codes, 128)
        self.register_buffer("_ema_cluster_size", torch.zeros(codes))
        self._ema_w = nn.Parameter(torch.randn(codes, 128))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 3, 1)
        nearest = torch.cdist(rows.reshape(-1, 128), self._embedding.weight).argmin(1)
        one_hot = F.one_hot(nearest, self._embedding.num_embeddings).float()
        return (one_hot @ self._embedding.weight).view(rows.shape).permute(0, 3, 1, 2)


class Official(nn.Module):
    def __init__(self, codes: int) -> None:
        super().__init__()
        conv, up = nn.Conv2d, nn.ConvTranspose2d
        self._encoder_t = OfficialPart(
            {"_conv_1": conv(128, 128, 4, 2, 1), "_conv_2": conv(128, 128, 3, 1, 1)},
            2,
            {"_conv_1", "_conv_2"},
        )
        self._encoder_b = OfficialPart(
            {
                "_conv_1": conv(3, 64, 4, 2, 1),
                "_conv_2": conv(64, 128, 4, 2, 1),
                "_conv_3": conv(128, 128, 3, 1, 1),
            },
            3,
            {"_conv_1", "_conv_2"},
        )
        self._pre_vq_conv_bot, self._pre_vq_conv_top = conv(256, 128, 1), conv(128, 128, 1)
        self._vq_vae_top, self._vq_vae_bot = OfficialQuantiser(codes), OfficialQuantiser(codes)
        self._decoder_b = OfficialPart(
            {
                "_conv_1": conv(256, 128, 3, 1, 1),
                "_conv_trans_1": up(128, 64, 4, 2, 1),
                "_conv_trans_2": up(64, 3, 4, 2, 1),
            },
            1,
            {"_conv_trans_1"},
        )
        self.upsample_t = up(128, 128, 4, 2, 1)

    def forward(self, bgr: Tensor) -> Tensor:
        fine = self._encoder_b(bgr)
        low = self.upsample_t(self._vq_vae_top(self._pre_vq_conv_top(self._encoder_t(fine))))
        high = self._vq_vae_bot(self._pre_vq_conv_bot(torch.cat([fine, low], 1)))
        image: Tensor = self._decoder_b(torch.cat([low, high], 1))
        return image


@pytest.fixture(scope="module")
def official() -> Official:
    torch.manual_seed(3)
    model = Official(32)
    for quantiser in (model._vq_vae_top, model._vq_vae_bot):
        quantiser._embedding.weight.data.mul_(0.1)  # as small as untrained features
    return model


@pytest.mark.parametrize("suffix", [".pckl", ".safetensors"])
@torch.no_grad()
def test_official_weights_give_the_official_images(
    official: Official, tmp_path: Path, suffix: str
) -> None:
    from safetensors.torch import save_file

    path = tmp_path / f"vq_model_pretrained_128_4096{suffix}"
    tensors = official.state_dict()
    if suffix == ".pckl":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    model = load_official(path)
    pixels = torch.rand(2, 3, 64, 64)
    wanted = official(pixels.flip(1)).flip(1)
    torch.testing.assert_close(model(pixels), wanted, rtol=1e-4, atol=1e-5)
    assert model.quantise(pixels).q_hi.std() > 0
    assert not any(p.requires_grad for p in model.parameters())


def test_every_official_tensor_has_one_place(official: Official) -> None:
    kept = {k for k in official.state_dict() if "_ema" not in k}
    ours = from_official(official.state_dict(), "it")
    assert len(ours) == len(kept) and ours.keys() == VqVae(32).state_dict().keys()
    assert len(set(MODULES.values())) == len(MODULES)


def test_a_checkpoint_of_something_else_is_refused(official: Official, tmp_path: Path) -> None:
    tensors = official.state_dict()
    del tensors["upsample_t.bias"]
    with pytest.raises(WeightsError, match=r"missing \['up_lo\.bias'\]"):
        from_official(tensors, "it")
    with pytest.raises(WeightsError, match=r"unknown tensors \['head\.weight'\]"):
        from_official({**official.state_dict(), "head.weight": torch.zeros(1)}, "it")
    with pytest.raises(WeightsError, match="wanted is a dict of tensors"):
        from_official([1], "it")
    thin = {**official.state_dict(), "_pre_vq_conv_top.bias": torch.zeros(64)}
    torch.save(thin, tmp_path / "thin.pckl")
    with pytest.raises(WeightsError, match="no DSR VQ-VAE of 128 channels"):
        load_official(tmp_path / "thin.pckl")


class Shout:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.write_text, (Path("ran.txt"), "oh")


def test_nothing_in_a_checkpoint_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stream = io.BytesIO()
    pickle.dump(Shout(), stream)
    (tmp_path / "vq.pckl").write_bytes(stream.getvalue())
    torch.save({"x": Shout()}, tmp_path / "vq2.pckl")
    for name in ("vq.pckl", "vq2.pckl"):
        with pytest.raises(WeightsError, match="cannot be read as plain tensors"):
            load_official(tmp_path / name)
    assert not (tmp_path / "ran.txt").exists()


def test_the_official_asset_says_so(official: Official, tmp_path: Path) -> None:
    asset = GeneralVqVae(official=True, codes=32)
    place = Context.alone(assets_dir=tmp_path)
    with pytest.raises(WeightsError, match="--weights-dir"):
        asset.build(photographs(2), place)
    torch.save(official.state_dict(), tmp_path / "vq_model_pretrained_128_4096.pckl")
    place = Context.alone(weights=WeightsFrom(tmp_path), assets_dir=tmp_path)
    state = asset.build(photographs(3), place)
    assert state.values["origin"] == "official" and len(state.values["file_sha256"]) == 16
    assert 0 < state.values["dead_hi"] < 32
    assert state.values["perplexity_lo"] >= 1
    VqVae(32).load_state_dict(dict(state.tensors))
    with pytest.raises(AssetError, match="has 32 codes, codes is 16"):
        GeneralVqVae(official=True, codes=16).build(photographs(2), place)


def test_pre_training_learns_and_says_how_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (8, 1, 1, 3), np.uint8)
    flat = ImageSet(np.broadcast_to(colours, (8, 64, 64, 3)).copy(), [str(i) for i in range(8)])
    place = Context.alone(assets_dir=tmp_path)
    asset = GeneralVqVae(
        codes=16, steps=60, batch=4, crop=32, learning_rate=2e-3, held_out=0.25, warm_up=10
    )
    state = asset.build(flat, place)
    curve = [value for _, value in place.meters.curves["psnr"]]
    assert curve[-1] > curve[0] + 2 and state.values["psnr"] == curve[-1]
    assert state.values["origin"] == "trained" and state.values["steps"] == 60
    assert (state.values["trained_on"], state.values["held_out"]) == (6, 2)
    assert 1 <= state.values["perplexity_lo"] <= 16 and 0 <= state.values["dead_hi"] < 16
    json.dumps(state.values)
    assert "vqvae: step 60 of 60: PSNR" in capsys.readouterr().out
    with Image.open(asset.path(tmp_path).with_suffix(".png")) as picture:
        assert picture.size == (2 * 64, 16 + 2 * 64)


def test_pre_training_goes_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = GeneralVqVae(**FAST).build(photographs(6), Context.alone())
    save_after_every_step(monkeypatch)
    place = Context.alone()
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    place.progress = KilledAfter(4)
    with pytest.raises(KeyboardInterrupt):
        GeneralVqVae(**FAST).build(photographs(6), place)
    place.progress = Context.alone().progress
    resumed = GeneralVqVae(**FAST).build(photographs(6), place)
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, resumed.tensors[name]), name
    assert whole.values == resumed.values


@pytest.mark.parametrize("wrong", [{"codes": 0}, {"crop": 60}, {"decay": 1.0}, {"held_out": 0.0}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AssetError, match="vqvae: .* is"):
        GeneralVqVae(**wrong)


@torch.no_grad()
def test_the_hand_made_one_shows_the_colours_of_an_image() -> None:
    model = VqVae(2048, 8)
    coarse = torch.rand(2, 3, 4, 4)
    pixels = coarse.repeat_interleave(16, 2).repeat_interleave(16, 3)
    set_to_colours(model, pixels, torch.Generator().manual_seed(0))
    seen = model.quantise(pixels)
    centres = slice(8, None, 16)
    found = model.decode(seen.q_lo, seen.q_hi)[:, :, centres, centres]
    torch.testing.assert_close(found, coarse, rtol=0, atol=0.02)
    assert float(model.quantiser_hi.codes[:, :3].std()) > 0.2
