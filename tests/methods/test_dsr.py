"""DSR: shapes and gradients of its networks, what learns and what stays, scoring, resuming."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark import Context, Geometry, State
from benchmark.data.loading import ImageSet
from benchmark.detector import training as _training
from benchmark.detector.context import Checkpoint
from benchmark.errors import AssetError, DetectorError, SettingsError
from benchmark.methods.dsr import Dsr
from benchmark.methods.dsr.code_anomalies import neighbour_table, on_grid
from benchmark.methods.dsr.networks import (
    DsrNetworks,
    MaskNet,
    ObjectDecoder,
    SubspaceRestriction,
)
from benchmark.methods.dsr.vqvae_asset import GeneralVqVae
from benchmark.runner.estimate import Rehearsal

from ..helpers import KilledAfter, save_after_every_step

T = TypeVar("T")
SIDE = 64
FAST: dict[str, Any] = {"vqvae": "colours", "codes": 40, "width": 8, "batch": 2, "steps": 4}
VQVAE: dict[str, Any] = {"codes": 40, "steps": 3, "batch": 2, "crop": 32}


def images(count: int, seed: int = 0, side: int = SIDE) -> ImageSet:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 200, (count, side // 8 + 1, side // 8 + 1, 3))
    fine = coarse.repeat(8, 1).repeat(8, 2)[:, :side, :side]
    pixels = (fine + rng.integers(-20, 20, fine.shape)).astype(np.uint8)
    return ImageSet(pixels, [f"{seed}-{i}" for i in range(count)])


def context(seed: int = 0) -> Context:
    return Context.alone(geometry=Geometry(resize=SIDE), seed=seed)


@pytest.fixture(scope="module")
def fitted() -> tuple[Dsr, Context]:
    place = context()
    return Dsr(**FAST).fit(images(5), place), place


def count(module: torch.nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def test_networks_keep_the_published_shapes_and_sizes() -> None:
    with torch.device("meta"):  # shapes without numbers
        restriction, decoder, net = SubspaceRestriction(), ObjectDecoder(), MaskNet(6)
        assert restriction(torch.empty(2, 128, 32, 32)).shape == (2, 128, 32, 32)
        assert decoder(torch.empty(2, 256, 64, 64)).shape == (2, 3, 256, 256)
        assert net(torch.empty(2, 6, 256, 256)).shape == (2, 2, 256, 256)
    # 3 × 3 convolutions' weights and biases, added up by hand from the published widths
    widths = [(128, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    widths += [(512, 256), (256, 256), (256, 256), (256, 128), (128, 128), (128, 128), (128, 128)]
    assert count(restriction) == pytest.approx(sum(9 * i * o + o for i, o in widths) / 1e6)
    widths = [(6, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
    widths += [(256, 256), (256, 256), (512, 256), (256, 256), (256, 128), (256, 128), (128, 128)]
    widths += [(128, 64), (128, 64), (64, 64), (64, 2)]
    assert count(net) == pytest.approx(sum(9 * i * o + o for i, o in widths) / 1e6)
    widths = [(256, 256), (256, 512), (512, 512), (512, 1024), (64, 128)]
    wanted = sum(9 * i * o + o for i, o in widths) + 1024 * 64 + 64
    wanted += 2 * (16 * 64 * 64 + 64) + 2 * (9 * 128 * 64 + 64 * 128)
    wanted += 16 * 128 * 64 + 64 + 16 * 64 * 3 + 3
    assert count(decoder) == pytest.approx(wanted / 1e6)


def test_only_the_decoder_and_the_detector_start_small() -> None:
    torch.manual_seed(0)
    networks = DsrNetworks(16)
    for module, small in (
        (networks.decoder, True),
        (networks.detector, True),
        (networks.lo, False),
    ):
        convs = [m for m in module.modules() if isinstance(m, torch.nn.Conv2d)]
        spread = [float(conv.weight.detach().std()) for conv in convs if conv.weight.numel() > 2000]
        assert all(s == pytest.approx(0.02, rel=0.1) for s in spread) == small
    assert isinstance(networks.decoder[-1], torch.nn.Sequential)


def test_restriction_has_no_way_around_its_bottleneck() -> None:
    network = SubspaceRestriction(4)
    sizes: list[int] = []
    for module in network:
        module.register_forward_hook(lambda _m, _i, out: sizes.append(out.shape[-1]))
    network(torch.rand(1, 128, 16, 16))
    assert min(sizes) == 4 and sizes[0] == sizes[-1] == 16
    assert isinstance(network, torch.nn.Sequential)


def loss_of(detector: Dsr, masks: Tensor, seed: int = 0) -> Tensor:
    pixels = images(2).batch([0, 1]).pixels
    generator = torch.Generator().manual_seed(seed)
    tables: dict[str, Tensor | None] = {"lo": None, "hi": None}
    loss: Tensor = detector._restoration_loss(pixels, masks, tables, generator)
    return loss


def test_gradients_reach_every_trained_parameter_and_no_frozen_one() -> None:
    detector = Dsr(**FAST)
    detector.build()
    masks = torch.zeros(2, 1, SIDE, SIDE)
    masks[:, :, :20, :20] = 1
    loss_of(detector, masks).backward()  # type: ignore[no-untyped-call]
    for name, parameter in detector.networks_.named_parameters():
        assert parameter.grad is not None, name
        weights = name.endswith("weight")  # biases before a normalisation have no effect
        assert not weights or parameter.grad.abs().sum() > 0, name
    for name, parameter in detector.general_.named_parameters():
        assert parameter.grad is None and not parameter.requires_grad, name


def test_the_image_error_reaches_the_restriction_through_the_quantiser() -> None:
    detector = Dsr(**FAST)
    detector.build()
    lo = torch.randn(1, 16, 8, 8, requires_grad=True)
    hi = torch.randn(1, 16, 16, 16, requires_grad=True)
    detector._drawn(lo, hi).square().sum().backward()
    for features in (lo, hi):
        assert features.grad is not None and features.grad.abs().sum() > 0


def test_frozen_parts_stay_and_the_others_learn(fitted: tuple[Dsr, Context]) -> None:
    detector, place = fitted
    fresh = Dsr(**FAST)
    with _training.seeded(place, "networks"):
        fresh.build()
    fresh._fill_general(None, images(5), place)
    for name, tensor in fresh.general_.state_dict().items():
        assert torch.equal(tensor, detector.general_.state_dict()[name]), name
    for part in ("networks_", "upsampler_"):
        before = dict(getattr(fresh, part).named_parameters())
        for name, parameter in getattr(detector, part).named_parameters():
            if name.endswith("weight"):  # a bias before a normalisation has no gradient
                assert not torch.equal(parameter, before[name]), name


def test_the_second_training_leaves_the_first_ones_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = {}
    original = Dsr._upsample

    def spy(self: Dsr, *rest: Any) -> Any:
        kept.update({k: v.clone() for k, v in self.networks_.state_dict().items()})
        return original(self, *rest)

    monkeypatch.setattr(Dsr, "_upsample", spy)
    detector = Dsr(**FAST).fit(images(4), context())
    for name, tensor in detector.networks_.state_dict().items():
        assert torch.equal(tensor, kept[name]), name


@pytest.mark.parametrize("neighbours", ["table", "exact"])
def test_codes_change_under_the_mask_at_the_levels_drawn(neighbours: str) -> None:
    detector = Dsr(**FAST)
    detector.build()
    detector._fill_general(None, images(5), context())
    pixels = images(5).batch([i % 5 for i in range(40)]).pixels
    masks = torch.zeros(40, 1, SIDE, SIDE)
    masks[:, :, 17:31, 33:45] = 1  # whole positions of neither level
    with torch.no_grad():
        coded = detector.general_.quantise(pixels)
        tables: dict[str, Tensor | None] = {"lo": None, "hi": None}
        if neighbours == "table":
            tables["lo"] = neighbour_table(detector.general_.quantiser_lo.codes)
            tables["hi"] = neighbour_table(detector.general_.quantiser_hi.codes)
        q_lo, q_hi, wanted = detector._disturbed(
            coded, masks, tables, torch.Generator().manual_seed(0)
        )
    at_lo, at_hi = on_grid(masks, 8)[:, 0] > 0, on_grid(masks, 4)[:, 0] > 0
    lo_differs = (q_lo != coded.q_lo).any(1)
    hi_differs = (q_hi != coded.q_hi).any(1)
    assert not (lo_differs & ~at_lo).any(), "a code changed outside the mask"
    lower, higher = lo_differs.flatten(1).any(1), (hi_differs & at_hi).flatten(1).any(1)
    kinds = [int(n.sum()) for n in (lower & higher, lower & ~higher, higher & ~lower)]
    assert sum(kinds) == 40, "an image under a mask was left alone"
    assert 12 <= kinds[0] <= 28 and min(kinds[1:]) >= 3, "half at both levels, the rest at one"
    # where only the higher level changed, nothing beside the mask did
    assert not (hi_differs & ~at_hi)[~lower].any()
    coarse = at_lo.repeat_interleave(8, 1).repeat_interleave(8, 2)
    fine = at_hi.repeat_interleave(4, 1).repeat_interleave(4, 2)
    for i in range(40):
        assert torch.equal(wanted[i, 0] > 0, coarse[i] if lower[i] else fine[i])


def test_score_is_the_largest_mean_of_the_unrefined_mask(fitted: tuple[Dsr, Context]) -> None:
    detector, place = fitted
    batch = images(2, seed=1).batch([0, 1])
    prediction = detector.predict(batch, place)
    with torch.no_grad():
        coded = detector.general_.quantise(batch.pixels)
        seen = detector._through(coded.q_lo, coded.q_hi)
        coarse = seen.logits.softmax(1)[:, 1].double().numpy()
        refined = detector._refined(seen).softmax(1)[:, 1]
    for i in range(2):
        padded = np.pad(coarse[i], 10)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (21, 21))
        wanted = windows.mean((2, 3)).max()
        assert float(prediction.scores[i]) == pytest.approx(wanted, rel=1e-4)
    assert prediction.maps is not None
    torch.testing.assert_close(prediction.maps, refined)


@pytest.mark.parametrize("side", [28, 40, 72])
def test_other_sides_are_resized_and_maps_come_back(side: int) -> None:
    place = Context.alone(geometry=Geometry(resize=None))
    train = images(3, side=side)
    detector = Dsr(**{**FAST, "steps": 1}).fit(train, place)
    prediction = detector.predict(train.batch([0, 1]), place)
    assert prediction.maps is not None and prediction.maps.shape == (2, side, side)


def test_pixels_count_in_the_central_224_as_published() -> None:
    assert Dsr.paper.eval_crop == 224 and Dsr.paper.resize == (256, 256)


def test_same_seed_same_result_other_seed_another(fitted: tuple[Dsr, Context]) -> None:
    batch = images(2, seed=1).batch([0, 1])
    wanted = fitted[0].predict(batch, fitted[1]).scores
    for seed, same in ((0, True), (1, False)):
        place = context(seed)
        found = Dsr(**FAST).fit(images(5), place).predict(batch, place).scores
        assert torch.equal(found, wanted) == same


@pytest.mark.parametrize(("title", "steps"), [("restoration", 3), ("upsampling", 1)])
def test_goes_on_after_a_kill_as_if_nothing_had_happened(
    fitted: tuple[Dsr, Context],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    title: str,
    steps: int,
) -> None:
    save_after_every_step(monkeypatch)
    place = context()
    place.checkpoint = Checkpoint(tmp_path / "checkpoint")
    place.progress = KilledAfter(steps, title)
    with pytest.raises(KeyboardInterrupt):
        Dsr(**FAST).fit(images(5), place)
    saved = place.checkpoint.load()
    assert saved is not None and "running" in saved[title]
    place.progress = context().progress
    resumed = Dsr(**FAST).fit(images(5), place)
    wanted, found = fitted[0].state(), resumed.state()
    assert found.values == wanted.values
    for name, tensor in wanted.tensors.items():
        assert torch.equal(tensor, found.tensors[name]), name
    assert place.meters.curves == fitted[1].meters.curves


def test_state_comes_back_from_a_file(fitted: tuple[Dsr, Context], tmp_path: Path) -> None:
    detector, place = fitted
    detector.state().save(tmp_path / "state.safetensors")
    restored = Dsr(**FAST).load_state(State.load(tmp_path / "state.safetensors"))
    batch = images(2, seed=1).batch([0, 1])
    assert torch.equal(restored.predict(batch, place).scores, detector.predict(batch, place).scores)
    assert restored.facts() == detector.facts()


def test_the_record_says_what_was_run(fitted: tuple[Dsr, Context]) -> None:
    facts = fitted[0].facts()
    assert facts["vqvae"] == {"origin": "colours"} and facts["neighbours"] == "table"
    assert facts["restoration"]["steps"] == 4 and facts["upsampling"]["steps"] == 2
    assert {"restoration loss", "upsampling loss"} <= fitted[1].meters.curves.keys()


def test_defaults_are_the_published_schedule() -> None:
    detector = Dsr()
    train, place = images(3), context()
    detector.networks_, detector.upsampler_ = DsrNetworks(4), MaskNet(8, 4)
    first = detector._training("a", detector.networks_, detector.epochs, None, train, place)
    second = detector._training(
        "b", detector.upsampler_, detector.upsampling_epochs, None, train, place
    )
    assert (first.steps, second.steps) == (100_000, 50_000)
    assert first.optimiser.param_groups[0]["lr"] == 2e-4
    assert detector.assets()[0]().codes == 4096


def test_the_learning_rate_falls_late(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: dict[str, list[float]] = {"restoration": [], "upsampling": []}
    original = _training.Training.learn

    def spy(self: _training.Training, loss: Tensor) -> None:
        rates[self.title].append(self.optimiser.param_groups[0]["lr"])
        original(self, loss)

    monkeypatch.setattr(_training.Training, "learn", spy)
    Dsr(**{**FAST, "steps": 10}).fit(images(3), context())
    assert rates["restoration"] == [2e-4] * 8 + [pytest.approx(2e-5)] * 2
    assert rates["upsampling"] == [2e-4] * 5


def test_the_vqvae_comes_from_the_asset(tmp_path: Path) -> None:
    place = Context.alone(
        geometry=Geometry(resize=SIDE), assets_dir=tmp_path, asset_settings={"vqvae": VQVAE}
    )
    detector = Dsr(**{**FAST, "vqvae": "asset", "steps": 1})
    with pytest.raises(AssetError, match=r"bench pretrain vqvae .*vqvae\.steps=3"):
        detector.fit(images(3), place)
    asset = GeneralVqVae(**VQVAE)
    state = asset.build(images(4), place)
    asset.save(state, {}, tmp_path)
    detector.fit(images(3), place)
    for name, tensor in detector.general_.state_dict().items():
        assert torch.equal(tensor, state.tensors[name]), name
    assert detector.facts()["vqvae"]["origin"] == "trained"
    assert "psnr" in detector.facts()["vqvae"]


def test_it_learns() -> None:
    place = context()
    settings = {**FAST, "steps": 24, "samples": 8, "learning_rate": 3e-3}
    Dsr(**settings).fit(images(4), place)
    losses = [value for _, value in place.meters.curves["restoration loss"]]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4]), losses


def test_mixed_precision_gives_nearly_the_same(fitted: tuple[Dsr, Context]) -> None:
    detector, place = fitted
    batch = images(2, seed=1).batch([0, 1])
    wanted = detector.predict(batch, place)
    place = context()
    place.precision = "bfloat16"
    found = Dsr(**FAST).fit(images(5), place).predict(batch, place)
    assert found.maps is not None and found.maps.dtype == torch.float32
    assert bool(found.maps.isfinite().all())
    torch.testing.assert_close(found.scores, wanted.scores, rtol=0.1, atol=0.05)


def test_a_training_cut_short_can_still_predict() -> None:
    place = context()
    place.progress = rehearsal = Rehearsal()
    detector = Dsr(**{**FAST, "steps": 99}).fit(images(3), place)
    prediction = detector.predict(images(3).batch([0]), place)
    assert bool(prediction.scores.isfinite().all()) and rehearsal.rest > 0


def test_divergence_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DetectorError, match=r"diverged.*step.*dsr\.learning_rate="):
        Dsr(**FAST, learning_rate=1e30).fit(images(3), context())


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"epochs": 0}, {"learning_rate": 0.0}, {"codes": 40_000}]
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="dsr: .* is"):
        Dsr(**wrong)


def test_from_photographs_to_a_record_on_the_command_line(
    bench: Callable[..., tuple[int, str]], toy: Path, tmp_path: Path
) -> None:
    vqvae = {"codes": 16, "steps": 2, "batch": 2, "crop": 32}
    status, out = bench(
        "pretrain", "vqvae", "--images", toy / "pin", "--assets-dir", "assets", "--weights",
        "random", "--set", *(f"vqvae.{k}={v}" for k, v in vqvae.items()),
    )  # fmt: skip
    assert status == 0 and "PSNR" in out and "codes dead" in out, out
    (asset,) = (tmp_path / "assets").glob("vqvae@*.safetensors")
    assert asset.with_suffix(".png").exists()
    curves = json.loads(asset.with_suffix(".json").read_text())["curves"]
    assert {"psnr", "perplexity_lo", "dead_hi"} <= curves.keys()
    settings = {"dsr.width": 4, "dsr.steps": 2, "dsr.batch": 2}
    settings |= {"vqvae.codes": 16, "vqvae.steps": 2, "vqvae.batch": 2, "vqvae.crop": 32}
    status, out = bench(
        "run", "--methods", "dsr", "--dataset", "folder", "--data-root", toy, "--categories", "nut",
        "--assets-dir", "assets", "--image-size", "64", "--set",
        *(f"{k}={v}" for k, v in settings.items()),
    )  # fmt: skip
    assert status == 0, out
    (record,) = (json.loads(p.read_text()) for p in (tmp_path / "results").rglob("*-seed0.json"))
    assert set(record["key"]["assets"]) == {"vqvae"}
    assert record["settings"]["vqvae.steps"] == 2
    assert record["facts"]["vqvae"]["origin"] == "trained"
    assert record["facts"]["restoration"]["steps"] == 2
