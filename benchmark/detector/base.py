"""The one interface a method implements.

A method is a class in a file of ``methods/`` (or a plugin). It learns from normal images and gives
every image a score and, if it can, every pixel one. It never sees labels, masks, paths, held-out
images or the test set as a whole.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from benchmark import settings as settings_of
from benchmark.data.geometry import Geometry
from benchmark.errors import DetectorError, NotFittedError, StoreError

if TYPE_CHECKING:
    from benchmark.detector.asset import Asset
    from benchmark.detector.context import Context
    from benchmark.features.cache import FeatureSpec


@dataclass(frozen=True)
class Batch:
    """Some images, as a detector gets them.

    Attributes:
        pixels: float32 RGB (B, 3, H, W) in [0, 1].
        keys: B content hashes. They identify an image for caches and say nothing about it.
        flip: whether ``pixels`` are mirrored left to right.
    """

    pixels: Tensor
    keys: tuple[str, ...]
    flip: bool = False

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[2], self.pixels.shape[3]

    def flipped(self) -> Batch:
        """The batch mirrored left to right; FrozenFeatures keeps its features apart."""
        return replace(self, pixels=self.pixels.flip(3), flip=not self.flip)


class Images(Protocol):
    """Images that can be read again and again: the training split of a detector.

    ``for batch in images`` goes through them once, in order, in batches of 16.
    """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...

    def batches(
        self,
        size: int,
        *,
        shuffle: np.random.Generator | None = None,
        drop_last: bool = False,
    ) -> Iterator[Batch]:
        """One pass in batches of ``size``, in order or shuffled by the generator given."""

    def batch(self, indices: Sequence[int]) -> Batch:
        """The images at these positions, in this order."""


@dataclass(frozen=True)
class Prediction:
    """What a detector says of a batch; higher is more anomalous.

    Attributes:
        scores: float (B,), finite.
        maps: float (B, H, W) at the resolution of the batch's pixels, finished (upsampled and
            smoothed as the paper says), finite; or None for a method that does not localise.
    """

    scores: Tensor
    maps: Tensor | None = None


@dataclass(frozen=True)
class State:
    """What a fitted detector (or an asset) consists of: tensors and plain JSON values.

    Kept as one safetensors file with the JSON in its header; nothing is ever pickled.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(t.numel() * t.element_size() for t in self.tensors.values())

    def save(self, path: Path) -> None:
        """Write beside ``path`` and rename, so that the file is whole or absent."""
        from safetensors.torch import save_file

        temporary = path.with_name(f".{path.name}.part")
        tensors = {k: t.detach().cpu().contiguous() for k, t in self.tensors.items()}
        save_file(tensors, temporary, metadata={"values": json.dumps(dict(self.values))})
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            StoreError: the file is missing or is no state file.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise StoreError(f"{path}: cannot be read as a safetensors file ({error})") from error
        return cls(tensors, json.loads(header.get("values", "{}")))


class Detector(ABC):
    """Base of all methods.

    A subclass has keyword-only settings that ``__init__`` stores unchanged under their own names,
    and keeps what it learns in attributes whose names end with an underscore (``mean_``): tensors,
    modules made by :meth:`build`, or JSON values. :meth:`state` and :meth:`load_state` follow from
    that.
    """

    version: ClassVar[str] = "1"
    """Raise it when the numbers change: records of another version are not reused."""
    title: ClassVar[str]
    """Readable name for tables."""
    citation: ClassVar[str] = ""
    paper: ClassVar[Geometry] = Geometry(resize=256, crop=224)
    """The published geometry, used by the protocol ``paper``."""
    smoke: ClassVar[Mapping[str, Any]] = {}
    """Settings under which a fit takes seconds; the contract tests use them."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named variants: name -> settings that differ from the defaults."""
    pretrains: ClassVar[Sequence[type[Asset]]] = ()
    """The assets that ``bench pretrain`` can build for this method."""

    def settings(self) -> dict[str, Any]:
        """The resolved settings, as they were given."""
        return {name: getattr(self, name) for name in settings_of.declared(type(self))}

    def needs(self) -> Sequence[FeatureSpec]:
        """The frozen features that fit and predict will read, from the settings alone."""
        return ()

    def assets(self) -> Sequence[Asset]:
        """The pre-trained parts that fit will ask for, from the settings alone."""
        return ()

    @abstractmethod
    def fit(self, train: Images, context: Context) -> Self:
        """Learn from normal images. Returns self."""

    @abstractmethod
    def predict(self, batch: Batch, context: Context) -> Prediction:
        """Score a batch; an image's result does not depend on its batch-mates."""

    def facts(self) -> dict[str, Any]:
        """JSON values worth recording about a fit: random choices, solver, stopped when and why."""
        return {}

    def build(self) -> None:
        """Create the modules (attributes ending with an underscore) that hold learned tensors.

        Called by :meth:`load_state` before it fills them, when the JSON values of the state are
        already set (a width that only fit could know); methods without modules leave it empty.
        """

    def check_fitted(self) -> None:
        """Raises NotFittedError before fit; the first line of every ``predict``."""
        if not self._learned():
            raise NotFittedError(f"{type(self).__name__}: predict was called before fit")

    def state(self) -> State:
        """All that was learned: the attributes ending with an underscore."""
        self.check_fitted()
        tensors: dict[str, Tensor] = {}
        values: dict[str, Any] = {}
        for name, value in self._learned().items():
            if isinstance(value, Tensor):
                tensors[name] = value
            elif isinstance(value, torch.nn.Module):
                tensors |= {f"{name}.{k}": v for k, v in value.state_dict().items()}
            elif isinstance(value, list | tuple) and any(isinstance(v, Tensor) for v in value):
                tensors |= {f"{name}.{i}": v for i, v in enumerate(value)}
            else:
                values[name] = value
        return State(tensors, values)

    def load_state(self, state: State) -> Self:
        """The inverse of :meth:`state`, on a new detector with the same settings."""
        for name, value in state.values.items():
            setattr(self, name, value)
        self.build()
        modules = {k: v for k, v in self._learned().items() if isinstance(v, torch.nn.Module)}
        lists: dict[str, dict[int, Tensor]] = {}
        parts: dict[str, dict[str, Tensor]] = {name: {} for name in modules}
        for key, tensor in state.tensors.items():
            name, _, rest = key.partition(".")
            if name in modules:
                parts[name][rest] = tensor
            elif rest:
                lists.setdefault(name, {})[int(rest)] = tensor
            else:
                setattr(self, name, tensor)
        for name, tensors in parts.items():
            modules[name].load_state_dict(tensors)
        for name, items in lists.items():
            setattr(self, name, [items[i] for i in sorted(items)])
        return self

    def _learned(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k.endswith("_") and not k.startswith("_")}


def check_prediction(prediction: Prediction, batch: Batch, owner: str) -> Prediction:
    """The runner's look at what a method returned.

    Raises:
        DetectorError: wrong shape, or NaN or infinite values; names the method, the image's place
            in the batch and the number of bad values.
    """
    count = len(batch)
    if not isinstance(prediction, Prediction):
        raise DetectorError(
            f"{owner}: predict returned {type(prediction).__name__}; return Prediction(scores, maps)"
        )
    if tuple(prediction.scores.shape) != (count,):
        raise DetectorError(
            f"{owner}: scores have shape {tuple(prediction.scores.shape)}, "
            f"wanted ({count},), one per image of the batch"
        )
    parts = {"scores": prediction.scores}
    if prediction.maps is not None:
        if tuple(prediction.maps.shape) != (count, *batch.size):
            raise DetectorError(
                f"{owner}: maps have shape {tuple(prediction.maps.shape)}, wanted "
                f"{(count, *batch.size)}, the input's resolution (benchmark.detector.maps.upsample helps)"
            )
        parts["maps"] = prediction.maps
    for what, values in parts.items():
        bad = ~torch.isfinite(values.reshape(count, -1))
        if bool(bad.any()):
            first = int(bad.any(1).nonzero()[0])
            raise DetectorError(
                f"{owner}: {what} hold {int(bad.sum())} NaN or infinite values, first in image "
                f"{batch.keys[first]}; look for a division by zero or a diverged training"
            )
    return prediction
