"""A cache of frozen features that methods share.

A backbone runs once per image, however many methods, layers and seeds read its features. The runner
extracts the union of what its cells will read more than once, in one canonical order and batch size,
so that the numbers do not depend on which method came first; what is read once is not kept.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmark.data.batch import Batch
from benchmark.data.geometry import Geometry
from benchmark.features.backbones import Backbone, Precision
from benchmark.features.spec import FeatureSpec
from benchmark.features.weights import WeightsFrom
from benchmark.machine import device_memory, memory, wait

EXTRACT_BATCH = 16
DEVICE_SHARE = 3 / 8
"""Of a GPU's memory, for features; pixels have another eighth."""


class Place(NamedTuple):
    """The features of one backbone in one geometry."""

    geometry: str
    backbone: str
    normalise: bool


class _Tag(NamedTuple):
    """One layer's features of one image."""

    key: str
    flip: bool
    layer: str
    place: Place


@dataclass
class _Tier:
    """Features in one kind of memory, up to so many bytes."""

    room: int
    rows: dict[_Tag, Tensor] = field(default_factory=dict)
    held: int = 0

    def takes(self, row: Tensor) -> bool:
        return self.held + row.nbytes <= self.room

    def put(self, tag: _Tag, row: Tensor) -> None:
        self.rows[tag] = row
        self.held += row.nbytes

    def forget(self, but: Container[Place]) -> None:
        self.rows = {tag: row for tag, row in self.rows.items() if tag.place in but}
        self.held = sum(row.nbytes for row in self.rows.values())


@dataclass
class Counts:
    """Work of the backbones: images passed and seconds spent; probes (latency) apart."""

    images: int = 0
    seconds: float = 0.0
    probe_images: int = 0


class FrozenFeatures:
    """The features of a run, by image key, flip, geometry, backbone and layer.

    Held on the run's device up to ``device_bytes``, then in memory (page-locked beside a GPU) up to
    ``memory_bytes``, an eighth of what the process may use at most; beyond that in an unlinked
    temporary file (a killed run leaves nothing behind) up to ``disk_bytes``; beyond that they are
    computed again when read.

    Args:
        weights, device, precision: of the backbones.
        keep: whether features that are read without having been extracted are kept as well.
        device_bytes: None is a share of a GPU's memory; a processor's memory counts as memory.
        memory_bytes, disk_bytes: see above.
    """

    def __init__(
        self,
        weights: WeightsFrom,
        device: torch.device,
        *,
        precision: Precision = "float32",
        keep: bool = True,
        device_bytes: int | None = None,
        memory_bytes: int = 1 << 29,
        disk_bytes: int = 64 << 30,
    ) -> None:
        self.weights = weights
        self.device = device
        self.precision: Precision = precision
        self.keep = keep
        share = int(DEVICE_SHARE * device_memory(device))
        self.device_bytes = share if device_bytes is None else device_bytes
        self.memory_bytes = min(memory_bytes, memory() // 8)
        self.disk_bytes = disk_bytes
        self.counts = Counts()
        self._backbones: dict[str, Backbone] = {}
        self._seconds: dict[tuple[str, str, str], float] = {}
        self.clear()

    def backbone(self, name: str) -> Backbone:
        """Return the network, loaded at its first use."""
        if name not in self._backbones:
            self._backbones[name] = Backbone(name, self.weights, self.device, self.precision)
        return self._backbones[name]

    def sources(self) -> dict[str, str]:
        """Tell where the weights of each network used came from."""
        return {name: backbone.source for name, backbone in self._backbones.items()}

    def clear(self) -> None:
        """Forget all features, keep the networks: between categories."""
        self._near, self._far = _Tier(self.device_bytes), _Tier(self.memory_bytes)
        self._disk: dict[_Tag, tuple[int, tuple[int, ...]]] = {}
        self._spilled = 0
        self._file: IO[bytes] | None = None
        self._seconds.clear()

    def forget(self, but: Container[Place]) -> None:
        """Forget the features of all other places than these, which nobody will read any more."""
        self._near.forget(but)
        self._far.forget(but)
        self._disk = {tag: where for tag, where in self._disk.items() if tag.place in but}
        if not self._disk:
            self._spilled, self._file = 0, None

    @property
    def held(self) -> tuple[int, int, int]:
        """Bytes on the device, in memory and in the file."""
        return self._near.held, self._far.held, self._spilled

    def extract(
        self,
        batches: Iterable[Batch],
        geometry: Geometry,
        backbone: str,
        layers: Sequence[str],
        *,
        flips: bool = False,
        normalise: bool = True,
    ) -> None:
        """Fill the cache with what is missing of these images."""
        for batch in batches:
            for side in (batch, batch.flipped()) if flips else (batch,):
                tags = self._tags(side, geometry, backbone, layers, normalise)
                if not all(self._has(tag) for tag in tags):
                    self._compute(side, geometry, backbone, layers, normalise, keep=True)

    def read(
        self,
        batch: Batch,
        geometry: Geometry,
        backbone: str,
        layers: Sequence[str],
        *,
        normalise: bool = True,
    ) -> list[Tensor]:
        """Features of a batch on the run's device, one (B, C, h, w) or (B, C) per layer."""
        tags = self._tags(batch, geometry, backbone, layers, normalise)
        if not all(self._has(tag) for tag in tags):
            return self._compute(batch, geometry, backbone, layers, normalise, keep=self.keep)
        rows = [self._get(tag).to(self.device, non_blocking=True) for tag in tags]
        return [
            torch.stack(rows[start : start + len(batch)])
            for start in range(0, len(rows), len(batch))
        ]

    def fresh(
        self, batch: Batch, backbone: str, layers: Sequence[str], *, normalise: bool = True
    ) -> list[Tensor]:
        """Features computed now and not kept: what a latency probe measures."""
        self.counts.probe_images += len(batch)
        return self.backbone(backbone)(batch.pixels, layers, normalise=normalise)

    def seconds(self, keys: Iterable[str], geometry: Geometry, backbone: str) -> float:
        """Backbone seconds spent on these images, whoever asked first."""
        return sum(self._seconds.get((k, str(geometry), backbone), 0.0) for k in set(keys))

    def _compute(
        self,
        batch: Batch,
        geometry: Geometry,
        backbone: str,
        layers: Sequence[str],
        normalise: bool,
        *,
        keep: bool,
    ) -> list[Tensor]:
        start = time.perf_counter()
        outputs = self.backbone(backbone)(batch.pixels, layers, normalise=normalise)
        wait(self.device)
        spent = time.perf_counter() - start
        self.counts.seconds += spent
        share = spent / len(batch)
        self.counts.images += len(batch)
        for key in batch.keys:
            place = (key, str(geometry), backbone)
            self._seconds[place] = self._seconds.get(place, 0.0) + share
        if keep:
            tags = iter(self._tags(batch, geometry, backbone, layers, normalise))
            for output in outputs:
                for row in output:
                    self._put(next(tags), row)
        return outputs

    @staticmethod
    def _tags(
        batch: Batch, geometry: Geometry, backbone: str, layers: Sequence[str], normalise: bool
    ) -> list[_Tag]:
        place = Place(str(geometry), backbone, normalise)
        return [_Tag(key, batch.flip, layer, place) for layer in layers for key in batch.keys]

    def _has(self, tag: _Tag) -> bool:
        return tag in self._near.rows or tag in self._far.rows or tag in self._disk

    def _put(self, tag: _Tag, row: Tensor) -> None:
        if self._has(tag):
            return
        if self._near.takes(row):
            self._near.put(tag, row.clone(memory_format=torch.contiguous_format))
        elif self._far.takes(row):
            # page-locked memory is copied from without waiting
            kept = torch.empty(row.shape, pin_memory=self.device.type == "cuda")
            self._far.put(tag, kept.copy_(row, non_blocking=True))
        elif self._spilled + row.nbytes <= self.disk_bytes:
            try:
                if self._file is None:
                    self._file = tempfile.TemporaryFile(prefix="bench-features-")  # noqa: SIM115
                data = np.ascontiguousarray(row.cpu().numpy())
                written = os.pwrite(self._file.fileno(), data.data, self._spilled)
                if written != row.nbytes:
                    raise OSError("short write")
            except OSError:  # a full disk costs time (features are computed again), not the run
                self.disk_bytes = 0
                return
            self._disk[tag] = (self._spilled, tuple(row.shape))
            self._spilled += row.nbytes

    def _get(self, tag: _Tag) -> Tensor:
        for tier in (self._near, self._far):
            if tag in tier.rows:
                return tier.rows[tag]
        assert self._file is not None
        offset, shape = self._disk[tag]
        out = torch.empty(shape)
        os.preadv(self._file.fileno(), [out.numpy().data], offset)
        return out


def union(specs: Iterable[FeatureSpec], features: FrozenFeatures) -> list[FeatureSpec]:
    """Make one spec per backbone and normalisation, holding every layer (by name) that any of
    ``specs`` reads."""
    out: dict[tuple[str, bool], FeatureSpec] = {}
    for spec in specs:
        place = (spec.backbone, spec.normalise)
        names = features.backbone(spec.backbone).resolve(spec.layers)
        known = out.get(place, replace(spec, layers=()))
        layers = tuple(dict.fromkeys([*known.layers, *names]))
        out[place] = replace(
            known,
            layers=layers,
            flips=known.flips or spec.flips,
            rereads=known.rereads or spec.rereads,
        )
    return list(out.values())
