"""Frozen pre-trained networks: which layers they have, and what comes out of them.

Any timm model by name (``resnet18``, ``vit_small_patch14_dinov2``, ``swin_tiny_patch4_window7_224``)
or, failing that, any torchvision classification model (``squeezenet1_1``). A file of weights may be
partial as long as the layers asked for are all in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from benchmark.errors import SettingsError, WeightsError
from benchmark.features.folding import fold
from benchmark.features.networks import (
    DESCRIPTORS,
    input_of,
    is_transformer,
    layer_names,
    listed,
    stages_of,
)
from benchmark.features.spec import CLS, POOLED
from benchmark.features.weights import WeightsFrom, load

Precision = Literal["float32", "bfloat16"]


class _Reached(Exception):
    """All layers asked for have been computed; the rest of the network is not needed."""


class _Tensor(NamedTuple):
    """What is remembered of a tensor before its network is made ready."""

    digest: str
    nbytes: int

    @classmethod
    def of(cls, tensor: Tensor) -> Self:
        hasher = hashlib.sha256(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
        hasher.update(tensor.detach().reshape(-1).view(torch.uint8).numpy().data)
        return cls(hasher.hexdigest(), tensor.nbytes)


class Backbone:
    """One frozen network in eval mode on a device, its batch normalisations folded away.

    Attributes:
        name: the model's name.
        precision: in which it computes.
        source: ``random``, ``hub``, the file's or the package's name, for records.
        loaded: the names of the tensors that the weights held; None when all were initialised.
        published: whether these are the ImageNet weights that papers use: a hub's, or a known file.
        mean, std: of R, G and B in [0, 1], with which the model was trained.
        version: raised whenever the features of the same weights and images change.
    """

    version = "3"

    def __init__(
        self,
        name: str,
        weights: WeightsFrom,
        device: torch.device,
        precision: Precision = "float32",
    ) -> None:
        self.name = name
        self.device = device
        self.precision = precision
        self._dtype = getattr(torch, precision)
        self._weights = weights
        self._load(folded=True)
        self._mean = torch.tensor(self.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(self.std, device=device).view(1, 3, 1, 1)

    def resolve(self, layers: Sequence[int | str]) -> tuple[str, ...]:
        """Return the names of layers given by index or name.

        An index counts the resolutions of a timm model: 0 is stride 2, 1 stride 4, and so on, each
        the last block of its resolution (1, 2, 3 are layer1 to layer3 of a ResNet; 0 to 3 the
        stages of a Swin transformer or a ConvNeXt). In a vision transformer, whose resolution never
        changes, it counts the blocks; their tokens pass the network's final normalisation, as
        DINOv2 hands them out. The name of such a layer means the same as its index.

        Raises:
            WeightsError: no such layer; names those there are.
        """
        if CLS in layers and getattr(self.model, "cls_token", None) is None:
            raise WeightsError(
                f"backbone {self.name}: it has no class token for {CLS!r}; {POOLED!r} describes "
                "the whole image in every network"
            )
        names = layer_names(self.model, self.name, layers)
        if not self._folded.isdisjoint(names):  # its own output is asked for, not the normalised
            self._load(folded=False)
        return names

    def __call__(
        self,
        pixels: Tensor,
        layers: Sequence[str],
        *,
        normalise: bool = True,
        gradients: bool = False,
    ) -> list[Tensor]:
        """Outputs of the named layers.

        Args:
            pixels: float32 RGB (B, 3, H, W) in [0, 1].
            layers: as :meth:`resolve` gives them.
            normalise: with the model's own mean and deviation.
            gradients: whether the outputs can be differentiated by the pixels.

        Returns:
            float32, (B, C, h, w) per layer, (B, C) for ``pooled`` and ``cls``.

        Raises:
            SettingsError: the network does not take images of this size; names sizes that suit.
            WeightsError: a module gives no feature map.
        """
        with torch.set_grad_enabled(gradients), self._sized(pixels):
            x = pixels.to(self.device, non_blocking=True)
            if normalise:
                x = (x - self._mean) / self._std
            x = x.to(self._dtype, memory_format=torch.channels_last)
            found = self._run(x, layers)
            return [found[name].float().contiguous() for name in layers]

    def sha256(self, layers: Sequence[str]) -> str:
        """SHA-256 over the tensors that these layers' outputs depend on: 16 hexadecimal digits.

        Raises:
            WeightsError: some of those tensors are absent from the weights; names them.
        """
        used = self._used(layers)
        if self.loaded is not None:
            missing = [name for name in used if name not in self.loaded]
            if missing:
                raise WeightsError(
                    f"weights of {self.name} from {self._where}: {len(missing)} tensors needed for "
                    f"{', '.join(layers)} are not in it: {', '.join(missing[:6])}"
                    f"{', …' if len(missing) > 6 else ''}; ask for earlier layers or use a "
                    "complete file"
                )
        hasher = hashlib.sha256()
        for name in sorted(used):
            hasher.update(f"{name}{self._tensors[name].digest}".encode())
        return hasher.hexdigest()[:16]

    def entry(self, layers: Sequence[str], normalise: bool = True) -> dict[str, Any]:
        """Describe these layers for a record: all that could change their numbers, as JSON.

        Raises:
            WeightsError: as :meth:`sha256`.
        """
        own = {"mean": list(self.mean), "std": list(self.std)}
        return {
            "backbone": self.name,
            "layers": list(layers),
            "source": self.source,
            "sha256": self.sha256(layers),
            "version": self.version,
            "precision": self.precision,
            "normalisation": own if normalise else None,
        }

    def parameter_bytes(self, layers: Sequence[str]) -> int:
        """Count the bytes of the tensors that these layers depend on."""
        return sum(self._tensors[name].nbytes for name in self._used(layers))

    def _load(self, *, folded: bool) -> None:
        """Fetch the network, remember its tensors, and prepare it for its work."""
        found = load(self.name, self._weights)
        self.model: Any = found.model.eval().requires_grad_(False)
        self.source, self.loaded, self.published = found.source, found.held, found.published
        self._where = found.where
        self.mean, self.std, self._own_size = input_of(self.name)
        self._tensors = {k: _Tensor.of(t) for k, t in self.model.state_dict().items()}
        self._stages = stages_of(self.model) if hasattr(self.model, "forward_intermediates") else []
        self._transformer = is_transformer(self.model)
        self._folded: frozenset[str] = frozenset()
        if folded and any(isinstance(m, nn.BatchNorm2d) for m in self.model.modules()):
            try:
                done = fold(self.model, lambda: self._on_a_small_image([*self._stages, POOLED]))
            except WeightsError:  # not known what comes out of it, to compare with
                done = frozenset()
            if done is None:
                return self._load(folded=False)
            self._folded = done
        # the layout that convolutions run fastest in, on processors too
        self.model.to(self.device, self._dtype).to(memory_format=torch.channels_last)
        return None

    @torch.no_grad()
    def _on_a_small_image(self, layers: Sequence[str]) -> list[Tensor]:
        """Return these layers' outputs for noise, of the size of training images where needed."""
        step = self._patch or 1
        small = (-(-64 // step) * step,) * 2
        try:
            return self._on_noise(small, layers)
        except SettingsError:
            if self._own_size in (None, small):
                raise
            return self._on_noise(self._own_size, layers)

    def _on_noise(self, size: tuple[int, int], layers: Sequence[str]) -> list[Tensor]:
        noise = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
        noise = noise.to(next(self.model.parameters()))
        with self._sized(noise):
            found = self._run(noise, layers)
        return [found[name] for name in layers]

    def _used(self, layers: Sequence[str]) -> list[str]:
        """List the tensors of the modules that actually run on the way to the layers."""
        ran = {""}  # the network's own tensors (class token, positions) always
        hooks = [
            module.register_forward_pre_hook(lambda _m, _x, name=name: ran.add(name))
            for name, module in self.model.named_modules()
        ]
        try:
            self._on_a_small_image(layers)
        finally:
            for hook in hooks:
                hook.remove()
        found = [(name, *name.rpartition(".")[::2]) for name in self._tensors]
        return [full for full, owner, key in found if owner in ran and key != "num_batches_tracked"]

    def _run(self, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Compute the layers' outputs by name, (B, C, h, w) or (B, C)."""
        indices = sorted({self._stages.index(name) for name in layers if name in self._stages})
        named = [n for n in layers if n not in self._stages and n not in DESCRIPTORS]
        whole = any(name in DESCRIPTORS for name in layers)
        found: dict[str, Tensor] = {}
        final = None
        with self._hooks(named, found, stop=not (indices or whole)):
            try:
                if indices:
                    partly = not (whole or named)
                    out = self.model.forward_intermediates(
                        x,
                        indices=indices,
                        norm=self._transformer,
                        stop_early=partly,
                        intermediates_only=partly,
                    )
                    final, maps = (None, out) if partly else out
                    found |= {self._stages[i]: m for i, m in zip(indices, maps, strict=True)}
                else:
                    final = self._features(x)
            except _Reached:
                pass
        if absent := [name for name in named if name not in found]:
            raise WeightsError(
                f"backbone {self.name}: {', '.join(absent)} does not run on the way to its "
                "features; name an earlier module or an index"
            )
        found |= {name: self._as_map(name, found[name], x) for name in named}
        if POOLED in layers:
            found[POOLED] = self._pool(final)
        if CLS in layers:
            found[CLS] = self._class_token(final)
        return found

    @contextmanager
    def _hooks(self, names: Sequence[str], found: dict[str, Any], *, stop: bool) -> Iterator[None]:
        def keep(name: str) -> Any:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                # in-place activations that follow would overwrite the output that was asked for
                found[name] = output.clone() if isinstance(output, Tensor) else output
                if stop and set(names) <= found.keys():
                    raise _Reached

            return hook

        handles = [self.model.get_submodule(n).register_forward_hook(keep(n)) for n in names]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _sized(self, x: Tensor) -> Iterator[None]:
        """Explains errors of networks that do not take images of every size."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except (AssertionError, RuntimeError) as error:
            height, width = x.shape[2:]
            text = f"backbone {self.name} does not take images of {height}×{width} pixels"
            step = self._patch
            if step and (height % step or width % step):
                below = max(step, min(height, width) // step * step)
                raise SettingsError(
                    f"{text}: its patches are {step} pixels wide; the nearest sides that suit are "
                    f"{below} and {below + step} (--image-size {below})"
                ) from error
            if self._own_size and (height, width) != self._own_size:
                own_height, own_width = self._own_size
                given = own_height if own_height == own_width else f"{own_height}x{own_width}"
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise SettingsError(
                    f"{text} ({reason}); it is made for {own_height}×{own_width} "
                    f"(--image-size {given})"
                ) from error
            raise

    @property
    def _patch(self) -> int | None:
        """Pixels along a side of a vision transformer's patches; None for other networks."""
        return int(self.model.feature_info[0]["reduction"]) if self._transformer else None

    def _features(self, x: Tensor) -> Tensor:
        """Compute what the network's head gets: (B, C, h, w), (B, h, w, C) or (B, tokens, C)."""
        if hasattr(self.model, "forward_features"):  # timm
            out: Tensor = self.model.forward_features(x)
        elif isinstance(getattr(self.model, "features", None), nn.Module):  # torchvision
            out = self.model.features(x)
        else:  # stops at the last layer asked for
            out = self.model(x)
        return out

    def _as_map(self, name: str, output: Any, x: Tensor) -> Tensor:
        """Return a named module's output as (B, C, h, w), or (B, C) where it has no positions."""
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        if isinstance(output, Tensor) and output.ndim == 2:
            return output
        channels_last = getattr(self.model, "output_fmt", None) == "NHWC"
        if isinstance(output, Tensor) and output.ndim == 4 and not channels_last:
            return output
        prefix = getattr(self.model, "num_prefix_tokens", None)
        if isinstance(output, Tensor) and output.ndim == 3 and self._patch and prefix is not None:
            height, width = (side // self._patch for side in x.shape[2:])
            tokens = output[:, prefix:]
            if tokens.shape[1] == height * width:
                return tokens.mT.reshape(len(x), -1, height, width)  # (B, C, h, w)
        raise WeightsError(
            f"backbone {self.name}: {name} gives {shape}, which is not known to be a feature map; "
            f"give layers by index: {listed(self._stages)}"
        )

    def _pool(self, features: Any) -> Tensor:
        if hasattr(self.model, "forward_head"):
            pooled: Tensor = self.model.forward_head(features, pre_logits=True)
            return pooled.flatten(1)
        if not isinstance(features, Tensor) or features.ndim != 4:
            raise WeightsError(
                f"backbone {self.name}: its pooled features are not known; name a layer instead"
            )
        return features.mean((2, 3))

    def _class_token(self, features: Any) -> Tensor:
        if not isinstance(features, Tensor) or features.ndim != 3:
            raise WeightsError(
                f"backbone {self.name}: its features hold no class token; {POOLED!r} describes the "
                "whole image"
            )
        return features[:, 0]  # timm puts it before registers and patches
