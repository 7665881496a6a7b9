"""The feature cache: one pass per image, exact, bounded, spilling to disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from benchmark import FeatureSpec, Geometry
from benchmark.data.loading import ImageSet
from benchmark.errors import WeightsError
from benchmark.features.backbones import Backbone
from benchmark.features.cache import FrozenFeatures, Place, union
from benchmark.features.weights import PUBLISHED, SUFFIXES, WeightsFrom, load

CPU = torch.device("cpu")
RANDOM = WeightsFrom(mode="random")
GEOMETRY = Geometry(resize=64)


def images(count: int) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 255, (count, 64, 64, 3), np.uint8)
    return ImageSet(pixels, [f"key{i}" for i in range(count)])


def test_a_backbone_runs_once_per_image() -> None:
    features = FrozenFeatures(RANDOM, CPU)
    part = images(6)
    layers = ["layer1", "layer2"]
    features.extract(part.batches(4), GEOMETRY, "resnet18", layers)
    assert features.counts.images == 6
    for name in layers:
        features.read(part.batch([5, 0]), GEOMETRY, "resnet18", [name])
    features.extract(part.batches(4), GEOMETRY, "resnet18", layers)
    assert features.counts.images == 6
    features.fresh(part.batch([0]), "resnet18", layers)
    assert (features.counts.images, features.counts.probe_images) == (6, 1)


def test_flips_and_geometries_are_kept_apart() -> None:
    features = FrozenFeatures(RANDOM, CPU)
    batch = images(1).batch([0])
    straight = features.read(batch, GEOMETRY, "resnet18", ["layer1"])[0]
    flipped = features.read(batch.flipped(), GEOMETRY, "resnet18", ["layer1"])[0]
    assert not torch.allclose(straight, flipped)
    features.read(batch, Geometry(resize=64, crop=32), "resnet18", ["layer1"])
    assert features.counts.images == 3
    raw = features.read(batch, GEOMETRY, "resnet18", ["layer1"], normalise=False)[0]
    assert not torch.allclose(straight, raw)
    again = features.read(batch, GEOMETRY, "resnet18", ["layer1"])[0]
    assert torch.equal(straight, again) and features.counts.images == 4


@pytest.mark.parametrize(
    ("device", "memory", "disk"),
    [
        (0, 1 << 30, 0),
        (0, 300_000, 1 << 30),
        (0, 0, 1 << 30),
        (0, 0, 0),
        (1 << 30, 0, 0),
        (70_000, 200_000, 1 << 30),
    ],
)
def test_reading_back_is_exact_wherever_it_was_kept(device: int, memory: int, disk: int) -> None:
    features = FrozenFeatures(
        RANDOM, CPU, device_bytes=device, memory_bytes=memory, disk_bytes=disk
    )
    part = images(6)
    layers = ["layer1", "pooled"]
    features.extract(part.batches(6), GEOMETRY, "resnet18", layers)
    want = features.fresh(part.batch(range(6)), "resnet18", layers)
    got = features.read(part.batch(range(6)), GEOMETRY, "resnet18", layers)
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)
    rooms = (device, memory, disk)
    assert all(held <= room for held, room in zip(features.held, rooms, strict=True))
    assert sum(held > 0 for held in features.held) == sum(0 < room for room in rooms) or disk == 0
    assert features.counts.images == (6 if any(rooms) else 12)


def test_what_nobody_reads_any_more_is_forgotten() -> None:
    features = FrozenFeatures(RANDOM, CPU, memory_bytes=70_000)
    part, other = images(2), Geometry(resize=64, crop=32)
    for geometry in (GEOMETRY, other):
        features.extract(part.batches(2), geometry, "resnet18", ["layer1"])
    assert features.held[1] and features.held[2]
    features.forget(but=[Place(str(other), "resnet18", True)])
    features.read(part.batch([0, 1]), other, "resnet18", ["layer1"])
    assert features.counts.images == 4
    features.forget(but=[])
    assert features.held == (0, 0, 0)
    features.read(part.batch([0]), other, "resnet18", ["layer1"])
    assert features.counts.images == 5


def test_a_run_keeps_only_what_was_extracted() -> None:
    features = FrozenFeatures(RANDOM, CPU, keep=False)
    for _ in range(2):
        features.read(images(2).batch([0, 1]), GEOMETRY, "resnet18", ["layer1"])
    assert features.counts.images == 4 and features.held == (0, 0, 0)


def test_a_full_disk_costs_time_not_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    features = FrozenFeatures(RANDOM, CPU, memory_bytes=0)
    part = images(2)
    features.extract(part.batches(2), GEOMETRY, "resnet18", ["layer1"])
    assert features.read(part.batch([0]), GEOMETRY, "resnet18", ["layer1"])[0].shape == (
        1,
        64,
        16,
        16,
    )


def test_the_union_names_each_layer_once() -> None:
    features = FrozenFeatures(RANDOM, CPU)
    specs = [FeatureSpec("resnet18", (1, 2)), FeatureSpec("resnet18", ("pooled", "layer2"), True)]
    (both,) = union(specs, features)
    assert both == FeatureSpec("resnet18", ("layer1", "layer2", "pooled"), True)
    raw = FeatureSpec("resnet18", (1,), normalise=False)
    assert union([*specs, raw], features) == [
        both,
        FeatureSpec("resnet18", ("layer1",), normalise=False),
    ]


def test_layers_are_those_of_the_plain_model() -> None:
    backbone = Backbone("resnet18", RANDOM, CPU)
    pixels = torch.rand(2, 3, 64, 64)
    got = backbone(pixels, ["layer2", "layer1", "pooled"])
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    model: Any = load("resnet18", RANDOM).model.eval()
    with torch.no_grad():
        x = model.maxpool(model.act1(model.bn1(model.conv1((pixels - mean) / std))))
        layer1 = model.layer1(x)
        layer2 = model.layer2(layer1)
        pooled = model.layer4(model.layer3(layer2)).mean((2, 3))
    for a, b in zip(got, [layer2, layer1, pooled], strict=True):
        torch.testing.assert_close(a, b)


def test_a_torchvision_model_gives_pooled_features() -> None:
    backbone = Backbone("squeezenet1_1", RANDOM, CPU)
    pooled, middle = backbone(torch.rand(2, 3, 64, 64), ["pooled", "features.5"])
    assert pooled.shape == (2, 512) and middle.shape[0] == 2


def test_unknown_names_are_explained() -> None:
    with pytest.raises(WeightsError, match="unknown backbone 'resnet81'"):
        Backbone("resnet81", RANDOM, CPU)
    backbone = Backbone("resnet18", RANDOM, CPU)
    with pytest.raises(WeightsError, match="indices: 0 "):
        backbone.resolve([9])
    with pytest.raises(
        WeightsError, match="unknown layer of resnet18: 'layer11', did you mean 'layer1"
    ):
        backbone.resolve(["layer11"])


def test_identity_covers_the_tensors_that_matter_and_no_others(tmp_path: Path) -> None:
    tensors = load("resnet18", RANDOM).model.state_dict()
    a = Backbone("resnet18", RANDOM, CPU)
    tensors["layer3.0.bn1.weight"] += 1
    torch.save(tensors, tmp_path / "resnet18.pth")
    b = Backbone("resnet18", WeightsFrom(tmp_path), CPU)
    assert a.sha256(["layer1"]) == b.sha256(["layer1"]) != a.sha256(["layer2"])
    assert a.sha256(["layer2"]) == b.sha256(["layer2"])
    assert a.sha256(["layer3"]) != b.sha256(["layer3"])


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("ran",)

    torch.save({"conv1.weight": Evil()}, tmp_path / "resnet18.pth")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        Backbone("resnet18", WeightsFrom(tmp_path), CPU)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    import timm

    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "resnet18.pth")
    Backbone("resnet18", WeightsFrom(tmp_path), CPU)  # a superset with equal names and shapes
    torch.save(timm.create_model("resnet50").state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(WeightsError, match="is not this model's"):
        Backbone("resnet18", WeightsFrom(tmp_path), CPU)
    torch.save({"other": torch.ones(1)}, tmp_path / "resnet18.pth")
    with pytest.raises(WeightsError, match="none of its 1 tensors"):
        Backbone("resnet18", WeightsFrom(tmp_path), CPU)


def test_published_hashes_are_those_in_the_hubs_own_file_names() -> None:
    """torchvision names its files by their hash: resnet18-f37072fd.pth."""
    for name in set(PUBLISHED) & set(torchvision.models.list_models()):
        for weights in torchvision.models.get_model_weights(name):
            stem, _, digest = Path(weights.url).stem.rpartition("-")
            assert stem == name
            if weights.name == "IMAGENET1K_V1":
                assert digest in PUBLISHED[name], f"{name}: {weights.url}"
    for name, known in PUBLISHED.items():
        others = {h for other, hashes in PUBLISHED.items() if other != name for h in hashes}
        assert not others & set(known), f"{name} shares a file with another network"


def test_weights_of_a_network_are_published_only_under_its_own_name(real_weights: Path) -> None:
    files = [path for path in real_weights.iterdir() if path.suffix in SUFFIXES]
    known = [path for path in files if path.stem in PUBLISHED]
    assert known, f"{real_weights} holds no weights of {sorted(PUBLISHED)}"
    for path in known:
        assert Backbone(path.stem, WeightsFrom(real_weights), CPU).published, path.name
