"""What a run lends a detector. There is no global state: whatever a method may use is here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmark import settings as settings_of
from benchmark.data.batch import Batch
from benchmark.data.geometry import Geometry
from benchmark.detector.state import LoadedAsset
from benchmark.errors import StoreError
from benchmark.features.backbones import Backbone, Precision
from benchmark.features.cache import FrozenFeatures
from benchmark.features.spec import FeatureSpec
from benchmark.features.weights import WeightsFrom
from benchmark.texts import seed_of

T = TypeVar("T")


class Progress(Protocol):
    """A display of how far long work inside a cell has come."""

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        """Pass ``items`` through, showing how many of ``total`` are done and the time left."""


class Quiet:
    """Progress that shows nothing."""

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        yield from items


@dataclass
class Checkpoint:
    """A store of unfinished work inside a cell; a killed training goes on from here.

    The file is replaced atomically. Hold in it whatever the continuation needs: weights, optimiser
    state, generator states, the position in the data order.
    """

    path: Path | None = None

    def save(self, state: dict[str, Any]) -> None:
        """Keep ``state``: nested dicts and lists of tensors, numbers and strings."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(self.path.name + ".part")
        torch.save(state, temporary)
        temporary.replace(self.path)

    def load(self) -> dict[str, Any] | None:
        """Read the state that was kept last; None when there is none."""
        if self.path is None or not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # a file of another program, or of another version
            raise StoreError(
                f"checkpoint {self.path} cannot be read ({error}); delete it to start over"
            ) from error
        return state

    def delete(self) -> None:
        """Remove the checkpoint, once the work is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


@dataclass
class Meters:
    """Curves of a training: name -> (step, value) pairs; they end up in the record."""

    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def add(self, name: str, step: int, value: float) -> None:
        """Add one point. Call it seldom on a GPU: a Python number means waiting for the device."""
        self.curves.setdefault(name, []).append((step, float(value)))


class Buildable(Protocol):
    """A class of pre-trained parts (:class:`benchmark.detector.asset.Asset`), as a context uses it."""

    name: ClassVar[str]

    def load(self, folder: Path | None) -> LoadedAsset: ...


@dataclass
class Context:
    """The things that a run lends to a detector's ``fit`` and ``predict``, an asset's ``build``.

    Attributes:
        geometry: how the batches were made (part of a feature's identity).
        purpose: the material of all seeds: seed, data set, category, method.
        groups: of the data set that the category belongs to, such as Textures (MVTec AD).
        device, precision: where and how to compute.
        wants_maps: whether anybody will look at maps; where not, a method whose scores do not come
            from its maps may return none.
        probe: whether features are computed anew and not kept (latency measurements).
        rehearsal: in a dry run, how many of a batch's images a training step shall take.
        progress, checkpoint, meters: see their classes.
        assets_dir, asset_settings: where :meth:`asset` looks, and per asset the settings that
            differ from its defaults.
    """

    _features: FrozenFeatures
    geometry: Geometry
    purpose: tuple[str, ...] = ("0",)
    groups: tuple[str, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Precision = "float32"
    wants_maps: bool = True
    probe: bool = False
    rehearsal: Callable[[int], int] | None = None
    progress: Progress = field(default_factory=Quiet)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    meters: Meters = field(default_factory=Meters)
    assets_dir: Path | None = None
    asset_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def alone(
        cls,
        *,
        device: str = "cpu",
        geometry: Geometry | None = None,
        weights: WeightsFrom | None = None,
        seed: int = 0,
        assets_dir: Path | None = None,
        asset_settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Context:
        """Make a context outside a run, for notebooks and tests. Random weights unless told."""
        place = torch.device(device)
        features = FrozenFeatures(weights or WeightsFrom(mode="random"), place)
        return cls(
            features,
            geometry or Geometry(),
            (str(seed),),
            device=place,
            assets_dir=assets_dir,
            asset_settings=asset_settings or {},
        )

    def features(self, batch: Batch, spec: FeatureSpec) -> list[Tensor]:
        """Compute or read the frozen features of a batch, one tensor per layer of ``spec``.

        Returns:
            float32 on the context's device: (B, C, h, w), or (B, C) for ``pooled`` and
            ``cls``.
        """
        layers = self.backbone(spec.backbone).resolve(spec.layers)
        if self.probe:
            return self._features.fresh(batch, spec.backbone, layers, normalise=spec.normalise)
        return self._features.read(
            batch, self.geometry, spec.backbone, layers, normalise=spec.normalise
        )

    def backbone(self, name: str) -> Backbone:
        """Return a frozen network itself, for what features of whole images cannot give.

        Its parameters are shared by the run: copy what you train. Raises WeightsError.
        """
        return self._features.backbone(name)

    @property
    def weights_dir(self) -> Path | None:
        """The folder that holds files of pre-trained weights, if one was given."""
        return self._features.weights.folder

    def asset(self, cls: type[Buildable]) -> LoadedAsset:
        """Load a pre-trained part with the run's settings for it.

        Raises AssetError naming the command that builds it.
        """
        given = self.asset_settings.get(cls.name, {})
        return cls(**settings_of.resolve(cls, given, cls.name)).load(self.assets_dir)

    def rng(self, purpose: str) -> np.random.Generator:
        """Make a NumPy generator of this cell for one purpose."""
        return np.random.default_rng(seed_of(*self.purpose, purpose))

    def generator(self, purpose: str) -> torch.Generator:
        """Make a torch generator (CPU) of this cell for one purpose."""
        return torch.Generator().manual_seed(seed_of(*self.purpose, purpose) >> 1)

    def autocast(self) -> AbstractContextManager[Any]:
        """Enter mixed precision where the run asks for it, otherwise nothing."""
        if self.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()
