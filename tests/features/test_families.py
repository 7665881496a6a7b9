"""Networks of every kind behind one interface: maps are (B, C, h, w), descriptors (B, C)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmark.errors import SettingsError, WeightsError
from benchmark.features.backbones import Backbone
from benchmark.features.networks import create
from benchmark.features.weights import WeightsFrom, load

CPU = torch.device("cpu")
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


class Family(NamedTuple):
    """What is known of a network: a layer, its module and map for one size of images."""

    name: str
    layer: int
    module: str
    size: tuple[int, int]
    shape: tuple[int, int, int]
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    prefix: int = 0  # tokens before the patches, the class token first


FAMILIES = [
    Family("resnet18", 2, "layer2", (64, 96), (128, 8, 12)),
    Family("tf_efficientnet_lite0", 3, "blocks.4", (64, 96), (112, 4, 6), HALF),
    Family("mobilenetv3_small_050", 4, "blocks.5", (64, 96), (288, 2, 3)),
    Family("regnetx_002", 2, "s2", (64, 96), (56, 8, 12)),
    Family("convnext_atto", 1, "stages.1", (64, 96), (80, 8, 12)),
    Family("swin_tiny_patch4_window7_224", 1, "layers.1", (64, 96), (192, 8, 12)),
    Family("mambaout_femto", 2, "stages.2", (64, 96), (192, 4, 6)),
    Family("pvt_v2_b0", 1, "stages.1", (64, 96), (64, 8, 12)),
    Family("levit_128s", 1, "stages.1", (224, 224), (256, 7, 7)),
    Family("vit_tiny_patch16_224", 5, "blocks.5", (64, 96), (192, 4, 6), HALF, 1),
    Family("deit_tiny_distilled_patch16_224", 11, "blocks.11", (64, 96), (192, 4, 6), prefix=2),
    Family("vit_small_patch14_dinov2", 2, "blocks.2", (56, 84), (384, 4, 6), prefix=1),
    Family("vit_small_patch14_reg4_dinov2", 11, "blocks.11", (56, 84), (384, 4, 6), prefix=5),
    Family("vit_small_patch16_dinov3", 1, "blocks.1", (64, 96), (384, 4, 6), prefix=5),
]
families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


@lru_cache(maxsize=1)  # the tests of one network follow each other
def backbone_of(name: str) -> Backbone:
    import timm

    if not timm.is_model(name):
        pytest.skip(f"the installed timm has no {name}")
    return Backbone(name, WeightsFrom(mode="random"), CPU)


def images(family: Family, count: int = 2) -> Tensor:
    return torch.rand(count, 3, *family.size, generator=torch.Generator().manual_seed(0))


@lru_cache(maxsize=1)
def plain(name: str) -> torch.nn.Module:
    """The network as its library builds it, with the same weights."""
    return load(name, WeightsFrom(mode="random")).model.eval().requires_grad_(False)


@torch.no_grad()
def by_hand(model: Any, family: Family, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Map, class token and pooled features from one plain call of the network."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in family.normalisation)
    seen: dict[str, Tensor] = {}
    module = model.get_submodule(family.module)
    handle = module.register_forward_hook(lambda _m, _i, out: seen.update(out=out.clone()))
    final = model.forward_features((pixels - mean) / std)
    handle.remove()
    out, channels = seen["out"], family.shape[0]
    if family.prefix:
        out = model.norm(out)[:, family.prefix :]
    if out.ndim == 3:  # tokens, row by row
        out = out.permute(0, 2, 1).reshape(len(pixels), *family.shape)
    elif out.shape[1] != channels:
        out = out.permute(0, 3, 1, 2)
    return out, final[:, 0], model.forward_head(final, pre_logits=True)


@families
def test_layers_are_what_the_plain_network_computes(family: Family) -> None:
    backbone = backbone_of(family.name)
    layers = [*backbone.resolve([family.layer]), "pooled"] + ["cls"] * bool(family.prefix)
    assert layers[0] == family.module
    pixels = images(family)
    got = backbone(pixels, layers)
    (alone,) = backbone(pixels, layers[:1])
    expected, token, pooled = by_hand(plain(family.name), family, pixels)
    assert got[0].shape == (2, *family.shape) and got[0].isfinite().all()
    assert got[0].std() > 1e-3  # random networks may fade, but say something
    close(got[0], expected)
    close(alone, expected)
    close(got[1], pooled)
    if family.prefix:
        close(got[2], token)


@families
def test_features_do_not_depend_on_batch_mates(family: Family) -> None:
    backbone = backbone_of(family.name)
    layers = [family.module, "pooled"]
    pixels = images(family, 3)
    together, alone = backbone(pixels, layers), backbone(pixels[1:2], layers)
    for a, b in zip(together, alone, strict=True):
        close(a[1:2], b)


@families
def test_identity_covers_the_networks_own_tensors(family: Family) -> None:
    backbone = backbone_of(family.name)
    own = [name for name, _ in backbone.model.named_parameters(recurse=False)]
    used = backbone._used([family.module])
    assert set(own) <= set(used)  # class token, registers, positions
    assert backbone.entry([family.module])["normalisation"] == {
        "mean": list(family.normalisation[0]),
        "std": list(family.normalisation[1]),
    }


def close(a: Tensor, b: Tensor) -> None:
    """Equal to float32's accuracy, relative to the largest value."""
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * float(b.abs().max()))


def test_a_named_module_of_a_transformer_gives_a_map_too() -> None:
    backbone = Backbone("test_vit", WeightsFrom(mode="random"), CPU)
    pixels = torch.rand(1, 3, 64, 96)
    last, normed = backbone(pixels, ["blocks.5", "norm"])
    assert torch.equal(last, normed)  # the last block's tokens pass the final normalisation
    (inner,) = backbone(pixels, ["blocks.2.norm1"])
    assert inner.shape == (1, 64, 4, 6)


def test_what_is_no_map_is_refused_with_what_is() -> None:
    levit = backbone_of("levit_128s")
    with pytest.raises(WeightsError, match=r"levit_128s: stages.0.blocks.0.attn gives .* 0 \(stag"):
        levit(torch.rand(1, 3, 224, 224), ["stages.0.blocks.0.attn"])
    with pytest.raises(WeightsError, match=r"levit_128s: head.linear does not run"):
        levit(torch.rand(1, 3, 224, 224), ["head.linear"])
    with pytest.raises(WeightsError, match="no class token for 'cls'; 'pooled'"):
        levit.resolve(["cls"])


def test_a_size_that_does_not_suit_is_answered_with_the_nearest_that_do() -> None:
    with pytest.raises(
        SettingsError, match=r"64×64 pixels .*made for 224×224 \(--image-size 224\)"
    ):
        backbone_of("levit_128s")(torch.rand(1, 3, 64, 64), ["stages.0"])
    with pytest.raises(SettingsError, match=r"256×256 .* 14 pixels wide.* are 252 and 266 \(--"):
        backbone_of("vit_small_patch14_dinov2")(torch.rand(1, 3, 256, 256), ["blocks.0"])


def test_a_dinov2_file_loads_by_its_name(tmp_path: Path) -> None:
    name = "vit_small_patch14_dinov2"
    theirs: Any = create(name).eval()
    save_file(theirs.state_dict(), tmp_path / f"{name}.safetensors")
    ours = Backbone(name, WeightsFrom(tmp_path), CPU)
    assert ours.source == f"{name}.safetensors"
    family = next(family for family in FAMILIES if family.name == name)
    close(ours(images(family), ["blocks.2"])[0], by_hand(theirs, family, images(family))[0])
    ours.sha256(["blocks.2", "cls"])  # complete


def test_features_can_be_differentiated_and_left_unnormalised() -> None:
    backbone = Backbone("resnet18", WeightsFrom(mode="random"), CPU)
    pixels = torch.rand(1, 3, 64, 64, requires_grad=True)
    (frozen,) = backbone(pixels, ["layer2"])
    assert not frozen.requires_grad
    with torch.no_grad():  # as a method's predict
        (layer,) = backbone(pixels, ["layer2"], gradients=True)
    (gradient,) = torch.autograd.grad(layer.square().sum(), pixels)
    assert gradient.abs().max() > 0
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
    (raw,) = backbone((pixels - mean) / std, ["layer2"], normalise=False)
    close(raw, frozen)
    entry = backbone.entry(["layer2"], normalise=False)
    assert entry["normalisation"] is None and entry["version"] == Backbone.version
