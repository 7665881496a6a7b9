"""Frozen pre-trained networks: which model, which weights, which layers.

Any timm model by name (``resnet18``, ``wide_resnet50_2``, ``mobilenetv2_100``) or, failing that, any
torchvision classification model (``squeezenet1_1``). Weights are looked for in the weights folder,
then in timm's or torchvision's own cache and hub. A file may be partial as long as the layers asked
for are all in it.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchmark.errors import WeightsError, unknown
from benchmark.features.spec import POOLED

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

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
class WeightsFrom:
    """Where weights come from: a folder looked into first, and whether random ones will do."""

    folder: Path | None = None
    mode: Literal["auto", "random"] = "auto"


class _Reached(Exception):
    """All layers asked for have been computed; the rest of the network is not needed."""


class Backbone:
    """One frozen network in eval mode on a device.

    Attributes:
        name: the model's name.
        source: ``random``, ``hub`` or the file's name, for records.
        loaded: the names of the tensors that the weights held; None when all were initialised.
        published: whether these are the ImageNet weights that papers use: a hub's, or a known file.
    """

    def __init__(self, name: str, weights: WeightsFrom, device: torch.device) -> None:
        self.name = name
        self.device = device
        self.model, self.source, self.loaded = _load(name, weights)
        self._where = (
            weights.folder / self.source if self.loaded and weights.folder else self.source
        )
        self.published = self.source == "hub" or _is_published(name, self._where)
        self.model.eval().requires_grad_(False).to(device)
        if device.type == "cuda":
            self.model.to(memory_format=torch.channels_last)
        self._mean = torch.tensor(IMAGENET_MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=device).view(1, 3, 1, 1)

    def resolve(self, layers: Sequence[int | str]) -> tuple[str, ...]:
        """Module names of layers given by index or name.

        An index counts the resolutions of a timm model: 0 is stride 2, 1 stride 4, and so on, each
        the last block of its resolution (1, 2, 3 are layer1 to layer3 of a ResNet).

        Raises:
            WeightsError: no such layer; names those there are.
        """
        return layer_names(self.model, self.name, layers)

    @torch.no_grad()
    def __call__(self, pixels: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """Outputs of the named layers.

        Args:
            pixels: float32 RGB (B, 3, H, W) in [0, 1]; ImageNet normalisation happens here.
            layers: module names, as :meth:`resolve` gives them.

        Returns:
            float32, (B, C, h, w) per layer, (B, C) for ``pooled``.
        """
        x = (pixels.to(self.device) - self._mean) / self._std
        if self.device.type == "cuda":
            x = x.contiguous(memory_format=torch.channels_last)
        found: dict[str, Tensor] = {}
        with self._hooks(layers, found):
            try:
                final = self._features(x)
            except _Reached:
                final = None
        if POOLED in layers and final is not None:
            found[POOLED] = self._pool(final)
        return [found[name].float() for name in layers]

    def identity(self, layers: Sequence[str]) -> str:
        """SHA-256 over the tensors that these layers' outputs depend on: 16 hexadecimal digits.

        Raises:
            WeightsError: some of those tensors are absent from the weights; names them.
        """
        tensors = self._used(layers)
        if self.loaded is not None:
            missing = [name for name in tensors if name not in self.loaded]
            if missing:
                raise WeightsError(
                    f"weights of {self.name} from {self._where}: {len(missing)} tensors needed for "
                    f"{', '.join(layers)} are not in it: {', '.join(missing[:6])}"
                    f"{', …' if len(missing) > 6 else ''}; ask for earlier layers or use a "
                    "complete file"
                )
        hasher = hashlib.sha256()
        for name, tensor in sorted(tensors.items()):
            hasher.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            hasher.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return hasher.hexdigest()[:16]

    def parameter_bytes(self, layers: Sequence[str]) -> int:
        """Bytes of the tensors that these layers depend on."""
        return sum(t.numel() * t.element_size() for t in self._used(layers).values())

    def _used(self, layers: Sequence[str]) -> dict[str, Tensor]:
        """The tensors of the modules that actually run on the way to the layers."""
        ran: list[str] = []
        hooks = [
            module.register_forward_pre_hook(lambda _m, _x, name=name: ran.append(name))
            for name, module in self.model.named_modules()
        ]
        try:
            self(torch.zeros(1, 3, 64, 64), layers)
        finally:
            for hook in hooks:
                hook.remove()
        used = {}
        for name in ran:
            module = self.model.get_submodule(name)
            own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            for key, tensor in own:
                if key != "num_batches_tracked":
                    used[f"{name}.{key}" if name else key] = tensor
        return used

    @contextmanager
    def _hooks(self, layers: Sequence[str], found: dict[str, Tensor]) -> Iterator[None]:
        wanted = {name for name in layers if name != POOLED}

        def keep(name: str) -> Any:
            def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
                # in-place activations that follow would overwrite the output that was asked for
                found[name] = output.clone()
                if POOLED not in layers and wanted <= found.keys():
                    raise _Reached

            return hook

        handles = [self.model.get_submodule(n).register_forward_hook(keep(n)) for n in wanted]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _features(self, x: Tensor) -> Tensor:
        """The last feature map, (B, C, h, w)."""
        model: Any = self.model
        if hasattr(model, "forward_features"):  # timm
            out: Tensor = model.forward_features(x)
        elif isinstance(getattr(model, "features", None), nn.Module):  # torchvision
            out = model.features(x)
        else:  # stops at the last layer asked for
            out = model(x)
        return out

    def _pool(self, features: Tensor) -> Tensor:
        model: Any = self.model
        if hasattr(model, "forward_head"):
            pooled: Tensor = model.forward_head(features, pre_logits=True)
            return pooled.flatten(1)
        if features.ndim != 4:
            raise WeightsError(
                f"backbone {self.name}: its pooled features are not known; name a layer instead"
            )
        return features.mean((2, 3))


def layer_names(model: nn.Module, name: str, layers: Sequence[int | str]) -> tuple[str, ...]:
    """:meth:`Backbone.resolve` for a model that is no frozen backbone, such as a student."""
    info = getattr(model, "feature_info", None)
    stages = [str(stage["module"]) for stage in info] if isinstance(info, list) else []
    modules = [module for module, _ in model.named_modules() if module]
    out = []
    for layer in layers:
        if isinstance(layer, int):
            if not 0 <= layer < len(stages):
                known = ", ".join(f"{i} ({s})" for i, s in enumerate(stages)) or "none"
                raise WeightsError(
                    f"backbone {name}: no layer with index {layer}; indices: {known}; "
                    f"or name a module, such as {', '.join(modules[:8])}"
                )
            layer = stages[layer]
        elif layer != POOLED and layer not in modules:
            near = difflib.get_close_matches(layer, modules, n=1)
            top = ", ".join([*(m for m in modules if "." not in m), POOLED])
            raise WeightsError(
                f"unknown layer of {name}: {layer!r}"
                + (f", did you mean {near[0]!r}?" if near else ";")
                + f" top-level modules: {top} (and the modules inside them)"
            )
        out.append(layer)
    return tuple(out)


def untrained(name: str) -> nn.Module:
    """A model of this name in training mode, its parameters drawn from torch's global generator.

    Raises:
        WeightsError: neither timm nor torchvision knows the name.
    """
    return _create(name, False)


def _create(name: str, pretrained: bool | str) -> nn.Module:
    """``pretrained`` may name which of timm's published weights."""
    import timm
    import torchvision

    bare = name.partition(".")[0]
    in_timm = timm.is_model(bare)
    if not in_timm and bare not in torchvision.models.list_models():
        raise WeightsError(
            unknown(
                "backbone",
                name,
                [
                    "resnet18",
                    "wide_resnet50_2",
                    "mobilenetv2_100",
                    "squeezenet1_1",
                ],
            )
            + ", and any other model of timm or torchvision"
        )
    if in_timm:
        model_name = pretrained if isinstance(pretrained, str) else bare
        model: nn.Module = timm.create_model(model_name, pretrained=bool(pretrained))
    else:
        model = torchvision.models.get_model(bare, weights="DEFAULT" if pretrained else None)
    return model


def _load(name: str, weights: WeightsFrom) -> tuple[nn.Module, str, set[str] | None]:
    if weights.mode == "random":
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _create(name, False), "random", None
    bare = name.partition(".")[0]
    path = _find(name, weights.folder)
    if path is not None:
        model = _create(name, False)
        return model, path.name, _fill(model, path)
    try:
        return _create(name, _hub_name(name)), "hub", None
    except WeightsError:
        raise
    except Exception as error:  # the hubs raise many kinds; the remedy is the same for all
        where = (
            f"{weights.folder} holds no {bare}.safetensors or .pth"
            if weights.folder
            else ("no weights folder was given")
        )
        raise WeightsError(
            f"no weights for backbone {name}: {where}, and the hub could not be reached "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}); put "
            f"{bare}.safetensors into a folder and pass it with --weights-dir (or BENCH_WEIGHTS), "
            "or run with --weights random, which every table will say"
        ) from error


def _hub_name(name: str) -> str | bool:
    """The papers' weights are torchvision's first ImageNet ones; timm carries them as tv_in1k."""
    import timm

    if not timm.is_model(name.partition(".")[0]):
        return True
    tagged = f"{name}.tv_in1k"
    return tagged if "." not in name and tagged in timm.list_pretrained(f"{name}.*") else name


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


def _is_published(name: str, file: Path | str) -> bool:
    known = PUBLISHED.get(name.partition(".")[0], ())
    if not known or not isinstance(file, Path):
        return False
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest().startswith(known)


def _fill(model: nn.Module, path: Path) -> set[str]:
    """Copy a file's tensors into a model; returns the names found."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every reader has its own; all mean that this is no weights file
        raise WeightsError(
            f"{path}: cannot be read as weights ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}); expected a state dict as "
            "safetensors, or as .pth without pickled objects"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise WeightsError(f"{path}: expected a state dict (name -> tensor)")
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
    return set(tensors)
