"""Batch normalisations live on in the convolutions before them, and only where nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmark.features.backbones import Backbone
from benchmark.features.folding import fold
from benchmark.features.weights import WeightsFrom, load

CPU = torch.device("cpu")
LAYERS = ["layer1", "layer3", "pooled"]


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> WeightsFrom:
    """Weights of a ResNet-18 whose batch normalisations do something."""
    folder = tmp_path_factory.mktemp("weights")
    tensors = load("resnet18", WeightsFrom(mode="random")).model.state_dict()
    noise = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if "bn" in name and tensor.ndim:
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=noise))
    torch.save(tensors, folder / "resnet18.pth")
    return WeightsFrom(folder)


def test_folded_features_are_those_of_the_plain_network(lively: WeightsFrom) -> None:
    backbone = Backbone("resnet18", lively, CPU)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in backbone.model.modules())
    pixels = torch.rand(2, 3, 64, 64)
    got = backbone(pixels, LAYERS)
    backbone._load(folded=False)
    assert any(isinstance(m, nn.BatchNorm2d) for m in backbone.model.modules())
    for a, b in zip(got, backbone(pixels, LAYERS), strict=True):
        assert float((a - b).abs().max()) < 1e-5 * float(b.abs().max())


def test_a_convolution_asked_for_by_name_is_not_normalised(lively: WeightsFrom) -> None:
    backbone = Backbone("resnet18", lively, CPU)
    names = backbone.resolve(["layer1.0.conv1", "layer1"])
    pixels = torch.rand(1, 3, 64, 64)
    found = backbone(pixels, names)[0]
    model = load("resnet18", lively).model.eval()
    seen: list[Tensor] = []
    model.get_submodule(names[0]).register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.no_grad():
        model((pixels - backbone._mean) / backbone._std)
    torch.testing.assert_close(found, seen[0], rtol=0, atol=1e-5)


def test_half_precision_is_close_and_recorded(lively: WeightsFrom) -> None:
    pixels = torch.rand(2, 3, 64, 64)
    exact = Backbone("resnet18", lively, CPU)
    half = Backbone("resnet18", lively, CPU, "bfloat16")
    for a, b in zip(half(pixels, LAYERS), exact(pixels, LAYERS), strict=True):
        assert a.dtype == torch.float32
        assert 0 < float((a - b).abs().max()) < 0.05 * float(b.abs().max())
    one, other = half.entry(["layer1"]), exact.entry(["layer1"])
    assert (one["precision"], other["precision"]) == ("bfloat16", "float32")
    assert one["sha256"] == other["sha256"]


class ReadTwice(nn.Module):
    """A network that reads its convolution beside the normalisation, too."""

    def __init__(self, *, twice: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.twice = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), twice
        self.norm.weight.data.fill_(3.0)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        normed: Tensor = self.norm(out)
        return out + normed if self.twice else normed


@pytest.mark.parametrize("twice", [False, True])
@torch.no_grad()
def test_a_network_that_would_change_is_left_alone(twice: bool, tmp_path: Path) -> None:
    model, pixels = ReadTwice(twice=twice).eval(), torch.rand(1, 3, 8, 8)
    assert fold(model, lambda: [model(pixels)]) == (None if twice else {"conv"})
