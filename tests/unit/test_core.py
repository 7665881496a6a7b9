"""Small rooms of the core: geometry, protocol, settings, store, detector state, maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from benchmark import Batch, Context, Dataset, Geometry, Prediction, State, settings, upsample
from benchmark.detector.base import check_prediction
from benchmark.detector.context import Checkpoint, seed_of
from benchmark.errors import DetectorError, SettingsError, StoreError
from benchmark.plugins.registry import Registry
from benchmark.records import store
from benchmark.runner.protocol import Protocol, split

SIZES = [(300, 400), (400, 300), (256, 256), (1024, 1000), (257, 511)]


@pytest.mark.parametrize("size", SIZES)
def test_paper_geometry_gives_torchvisions_pixels(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    got = Geometry(resize=256, crop=224).image(pixels)
    want = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(Image.fromarray(pixels))
    np.testing.assert_array_equal(got, np.asarray(want))


@pytest.mark.parametrize("size", SIZES)
def test_masks_stay_binary_and_where_the_image_is(size: tuple[int, int]) -> None:
    mask = np.zeros(size, bool)
    mask[size[0] // 2 - 40 : size[0] // 2 + 40, size[1] // 2 - 60 : size[1] // 2 + 20] = True
    geometry = Geometry(resize=256, crop=224)
    got = geometry.mask(mask)
    assert got.shape == (224, 224) and got.dtype == bool
    picture = geometry.image(np.repeat(mask[..., None] * np.uint8(255), 3, 2))[..., 0] > 127
    assert (got != picture).mean() < 0.01


def test_eval_crop_and_size_cut_maps_and_masks_alike() -> None:
    mask = np.zeros((512, 512), bool)
    mask[200:300, 200:300] = True
    crop = Geometry(resize=(256, 256), eval_crop=224)
    assert crop.mask(mask).shape == crop.map_window(np.zeros((256, 256))).shape == (224, 224)
    fine = Geometry(resize=(256, 256), eval_size=512)
    np.testing.assert_array_equal(fine.mask(mask), mask)
    assert fine.from_json(fine.as_json()) == fine
    with pytest.raises(SettingsError, match="larger than the resized image"):
        Geometry(resize=200, crop=224)


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES)
def test_without_antialias_the_samples_are_torchs(
    size: tuple[int, int], filter: Literal["bilinear", "bicubic"]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    got = Geometry(resize=100, antialias=False, filter=filter).image(pixels)
    resize = v2.Resize(100, v2.InterpolationMode(filter), antialias=False)
    want = resize(torch.from_numpy(pixels).permute(2, 0, 1).float()).round().clamp(0, 255)
    np.testing.assert_array_equal(got, want.permute(1, 2, 0).numpy())
    averaged = Geometry(resize=100, filter=filter).image(pixels)
    assert (got != averaged).mean() > 0.5


@pytest.mark.parametrize(
    ("geometry", "side", "scaled"),
    [
        (Geometry(resize=256, crop=224), 112, Geometry(resize=128, crop=112)),
        (
            Geometry(resize=(256, 256), antialias=False, eval_crop=224),
            128,
            Geometry(resize=(128, 128), antialias=False, eval_crop=112),
        ),
        (
            Geometry(resize=(300, 600), crop=200, filter="bicubic", eval_crop=100, eval_size=512),
            50,
            Geometry(resize=(75, 150), crop=50, filter="bicubic", eval_crop=25, eval_size=512),
        ),
        (Geometry(resize=256), 100, Geometry(resize=100)),
        (Geometry(resize=None), 64, Geometry(resize=(64, 64))),
    ],
)
def test_a_geometry_is_scaled_in_proportion(
    geometry: Geometry, side: int, scaled: Geometry
) -> None:
    assert geometry.scaled(side) == scaled


def test_every_published_geometry_shows_the_same_part_at_any_size() -> None:
    registry = Registry()
    for name in registry.names("method"):
        paper = registry.method(name)[0].paper
        for side in range(32, 300, 7):
            scaled = paper.scaled(side)
            pixels = np.zeros((2 * side, 2 * side, 3), np.uint8)
            assert scaled.image(pixels).shape == (side, side, 3), f"{name} at {side}"
            assert replace(scaled, resize=None, crop=None, eval_crop=None) == replace(
                paper, resize=None, crop=None, eval_crop=None
            ), f"{name} at {side}"
            wanted, found = (_shares(geometry) for geometry in (paper, scaled))
            assert found == pytest.approx(wanted, abs=1 / side), f"{name} at {side}"


def _shares(geometry: Geometry) -> tuple[float, float]:
    """What the detector sees of the resized image's side, and what is measured of that."""
    resized = geometry.resized(512, 512)[0]
    seen = geometry.crop or resized
    return seen / resized, (geometry.eval_crop or seen) / seen


def test_crops_of_an_image_of_any_size_cannot_be_scaled() -> None:
    with pytest.raises(SettingsError, match="own size cannot be scaled.*without --image-size"):
        Geometry(resize=None, crop=224).scaled(112)


def test_held_out_images_depend_on_the_ids_alone() -> None:
    ids = [f"{i:03}" for i in range(50)]
    train, held = split(ids, 0.1, "mvtec", "bottle")
    assert len(held) == 5 and sorted([*train, *held]) == list(range(50))
    _, held_again = split(ids[::-1], 0.1, "mvtec", "bottle")
    assert {ids[i] for i in held} == {ids[::-1][i] for i in held_again}
    assert split(ids, 0.1, "mvtec", "screw")[1] != held
    assert split(ids, 0.0, "mvtec", "bottle") == (list(range(50)), [])
    assert split(["only"], 0.5, "a", "b") == ([0], [])


def test_protocols_have_their_geometry_and_label() -> None:
    paper = Geometry(resize=256, crop=224)
    dataset: type[Dataset] = Registry().dataset("mvtec")
    assert Protocol("paper").geometry(dataset, paper) == paper
    assert Protocol("paper", image_size=64).geometry(dataset, paper) == paper.scaled(64)
    assert Protocol().geometry(dataset, paper) == Geometry(resize=(256, 256))
    assert Protocol(image_size=64).geometry(dataset, paper) == Geometry(resize=(64, 64))
    assert Protocol().fraction(dataset) == 0.1 and Protocol("paper").fraction(dataset) == 0.0
    labels = {Protocol(n, h, s).label for n in ("standard", "paper") for h in (None, 0.1, 0.2)
              for s in (None, 128)}  # fmt: skip
    assert len(labels) == 12


class Sample:
    def __init__(
        self, *, k: int = 5, rate: float = 0.1, kind: Literal["a", "b"] = "a",
        layers: tuple[int | str, ...] = (1,), limit: int | None = None, deep: bool = False,
    ) -> None:  # fmt: skip
        pass


@pytest.mark.parametrize(
    ("name", "given", "got"),
    [
        ("k", 7, 7), ("rate", 1, 1.0), ("kind", "b", "b"), ("layers", [1, "x"], (1, "x")),
        ("limit", None, None), ("limit", 3, 3), ("deep", True, True),
    ],
)  # fmt: skip
def test_settings_take_the_annotated_type(name: str, given: Any, got: Any) -> None:
    value = settings.resolve(Sample, {name: given}, "sample")[name]
    assert value == got and type(value) is type(got)


@pytest.mark.parametrize(
    ("name", "given"),
    [("k", "7"), ("k", 1.5), ("k", True), ("rate", "x"), ("kind", "c"), ("layers", 3),
     ("deep", 1), ("limit", "3"), ("layers", [1.5])],
)  # fmt: skip
def test_settings_refuse_other_types(name: str, given: Any) -> None:
    with pytest.raises(SettingsError, match=f"sample.{name}.*allowed is"):
        settings.resolve(Sample, {name: given}, "sample")


def cell(results: Path, category: str = "nut") -> store.CellPath:
    path = store.CellPath(results, "toy", "standard", "m", "0" * 8, category, 0)
    path.folder.mkdir(parents=True, exist_ok=True)
    return path


def scores() -> store.Scores:
    values = np.array([0.1, 0.9])
    return store.Scores(["a", "b"], ["k1", "k2"], np.array([0, 1]), ["good", "x"], values,
                        np.array([0.2]), ["k3"])  # fmt: skip


def test_scores_and_maps_come_back_as_they_were(tmp_path: Path) -> None:
    path = cell(tmp_path)
    cited = scores().write(path)
    back = store.Scores.read(path.folder, cited)
    assert back.ids == ["a", "b"] and back.held_out_keys == ["k3"]
    np.testing.assert_array_equal(back.scores, [0.1, 0.9])
    maps = np.random.default_rng(0).random((5, 4, 3)).astype(np.float32)
    writer = store.MapWriter(path, maps.shape)
    writer.add(maps[:2])
    writer.add(maps[2:])
    file = writer.finish()
    np.testing.assert_array_equal(store.read_maps(path.folder, file), maps)
    assert scores().write(path) == cited  # the same content has the same digest
    path.sweep(keep=[cited["name"]])
    assert [p.name for p in path.folder.iterdir()] == [cited["name"]]


def test_changed_scores_are_noticed(tmp_path: Path) -> None:
    path = cell(tmp_path)
    cited = scores().write(path)
    file = path.folder / cited["name"]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match="differs from what its record cites"):
        store.Scores.read(path.folder, cited)


def test_sweeping_leaves_other_cells_alone(tmp_path: Path) -> None:
    one, ten = cell(tmp_path), store.CellPath(tmp_path, "toy", "standard", "m", "0" * 8, "nut", 0)
    other = store.CellPath(tmp_path, "toy", "standard", "m", "0" * 8, "nut-seed0", 0)
    cited = scores().write(other)
    one.sweep()
    ten.sweep()
    assert (other.folder / cited["name"]).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}'])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a-seed0.json").write_text(text)
    with pytest.raises(StoreError, match="a-seed0.json"):
        store.read(tmp_path / "a-seed0.json")


@pytest.mark.parametrize("name", ["..", ".", "", " ", "..."])
def test_names_that_are_no_folders_are_refused(name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a folder"):
        store.path_component(name, "category")


@pytest.mark.parametrize("name", ["a/b", "<script>", "a\\b", ".hidden", "Größe 1", "a%b", "nut"])
def test_other_names_stay_inside_and_apart(name: str) -> None:
    safe = store.path_component(name, "category")
    assert "/" not in safe and "\\" not in safe and not safe.startswith(".")
    from urllib.parse import unquote

    assert unquote(safe) == name


def test_a_second_holder_of_a_lock_is_turned_away(tmp_path: Path) -> None:
    path = cell(tmp_path)
    with path.lock() as first, path.lock() as second:
        assert first and not second
    with path.lock() as again:
        assert again


def test_check_prediction_names_the_image() -> None:
    batch = Batch(torch.zeros(2, 3, 4, 4), ("first", "second"))
    fine = Prediction(torch.zeros(2), torch.zeros(2, 4, 4))
    assert check_prediction(fine, batch, "m") is fine
    maps = torch.zeros(2, 4, 4)
    maps[1, 0, 0] = float("inf")
    with pytest.raises(DetectorError, match="m: maps hold 1 NaN or infinite values.*second"):
        check_prediction(Prediction(torch.zeros(2), maps), batch, "m")
    with pytest.raises(DetectorError, match="wanted \\(2,\\)"):
        check_prediction(Prediction(torch.zeros(3)), batch, "m")


def test_state_holds_tensors_and_values(tmp_path: Path) -> None:
    state = State({"a": torch.arange(6).reshape(2, 3)}, {"grid": [2, 3], "none": None})
    state.save(tmp_path / "s.safetensors")
    back = State.load(tmp_path / "s.safetensors")
    assert torch.equal(back.tensors["a"], state.tensors["a"]) and back.values == state.values
    assert state.nbytes == 48
    (tmp_path / "s.safetensors").write_bytes(b"x")
    with pytest.raises(StoreError, match="safetensors"):
        State.load(tmp_path / "s.safetensors")


def test_seeds_of_purposes_do_not_touch_each_other() -> None:
    context = Context.alone()
    a = context.rng("a").random()
    assert a == context.rng("a").random() != context.rng("b").random()
    assert seed_of("a", "bc") != seed_of("ab", "c")
    assert torch.equal(torch.rand(3, generator=context.generator("x")),
                       torch.rand(3, generator=context.generator("x")))  # fmt: skip


def test_checkpoints_are_replaced_whole(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "deep" / "c.checkpoint")
    assert checkpoint.load() is None
    checkpoint.save({"step": 3, "weights": {"w": torch.ones(2)}})
    back = checkpoint.load()
    assert (
        back is not None and back["step"] == 3 and torch.equal(back["weights"]["w"], torch.ones(2))
    )
    (tmp_path / "deep" / "c.checkpoint").write_bytes(b"half")
    with pytest.raises(StoreError, match="delete it to start over"):
        checkpoint.load()
    checkpoint.delete()
    assert checkpoint.load() is None


def test_upsampling_keeps_constants() -> None:
    maps = torch.full((2, 7, 5), 3.0)
    assert torch.equal(upsample(maps, (28, 20)), torch.full((2, 28, 20), 3.0))
