"""A cache of frozen features that methods share.

A backbone runs once per image, however many methods, layers and seeds read its features. The runner
extracts the union of what a run's methods declare, in one canonical order and batch size, so that
the numbers do not depend on which method came first.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import IO

import numpy as np
import torch
from torch import Tensor

from benchmark.data.batch import Batch
from benchmark.data.geometry import Geometry
from benchmark.features.backbones import Backbone
from benchmark.features.spec import FeatureSpec
from benchmark.features.weights import WeightsFrom
from benchmark.machine import memory

EXTRACT_BATCH = 16


@dataclass
class Counts:
    """Work of the backbones: images passed and seconds spent; probes (latency) apart."""

    images: int = 0
    seconds: float = 0.0
    probe_images: int = 0


class FrozenFeatures:
    """The features of a run, by image key, flip, geometry, backbone and layer.

    Held in memory up to ``memory_bytes``, an eighth of what the process may use at most; beyond that in an unlinked temporary file (a killed run
    leaves nothing behind) up to ``disk_bytes``; beyond that they are computed again when read.
    """

    def __init__(
        self,
        weights: WeightsFrom,
        device: torch.device,
        *,
        memory_bytes: int = 1 << 29,
        disk_bytes: int = 64 << 30,
    ) -> None:
        self.weights = weights
        self.device = device
        self.memory_bytes = min(memory_bytes, memory() // 8)
        self.disk_bytes = disk_bytes
        self.counts = Counts()
        self._backbones: dict[str, Backbone] = {}
        self._seconds: dict[tuple[str, ...], float] = {}
        self.clear()

    def backbone(self, name: str) -> Backbone:
        """Return the network, loaded at its first use."""
        if name not in self._backbones:
            self._backbones[name] = Backbone(name, self.weights, self.device)
        return self._backbones[name]

    def sources(self) -> dict[str, str]:
        """Tell where the weights of each network used came from."""
        return {name: backbone.source for name, backbone in self._backbones.items()}

    def clear(self) -> None:
        """Forget all features, keep the networks: between categories."""
        self._memory: dict[tuple[str, ...], Tensor] = {}
        self._disk: dict[tuple[str, ...], tuple[int, tuple[int, ...]]] = {}
        self._held = 0
        self._spilled = 0
        self._file: IO[bytes] | None = None
        self._seconds.clear()

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
                    self._compute(side, geometry, backbone, layers, normalise)

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
            return self._compute(batch, geometry, backbone, layers, normalise)
        out, count = [], len(batch)
        for start in range(0, len(tags), count):
            out.append(torch.stack([self._get(t) for t in tags[start : start + count]]))
        return [tensor.to(self.device) for tensor in out]

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
    ) -> list[Tensor]:
        start = time.perf_counter()
        outputs = self.backbone(backbone)(batch.pixels, layers, normalise=normalise)
        stored = [output.cpu() for output in outputs]
        spent = time.perf_counter() - start
        self.counts.seconds += spent
        share = spent / len(batch)
        self.counts.images += len(batch)
        for key in batch.keys:
            place = (key, str(geometry), backbone)
            self._seconds[place] = self._seconds.get(place, 0.0) + share
        tags = iter(self._tags(batch, geometry, backbone, layers, normalise))
        for tensor in stored:
            for row in tensor:
                self._put(next(tags), row)
        return outputs

    @staticmethod
    def _tags(
        batch: Batch, geometry: Geometry, backbone: str, layers: Sequence[str], normalise: bool
    ) -> list[tuple[str, ...]]:
        side = ("flip" if batch.flip else "", str(geometry), "" if normalise else "raw", backbone)
        return [(key, *side, layer) for layer in layers for key in batch.keys]

    def _has(self, tag: tuple[str, ...]) -> bool:
        return tag in self._memory or tag in self._disk

    def _put(self, tag: tuple[str, ...], row: Tensor) -> None:
        size = row.numel() * row.element_size()
        if self._has(tag):
            return
        if self._held + size <= self.memory_bytes:
            self._memory[tag] = row.clone(memory_format=torch.contiguous_format)
            self._held += size
        elif self._spilled + size <= self.disk_bytes:
            try:
                if self._file is None:
                    self._file = tempfile.TemporaryFile(prefix="bench-features-")  # noqa: SIM115
                data = np.ascontiguousarray(row.numpy())
                written = os.pwrite(self._file.fileno(), data.data, self._spilled)
                if written != size:
                    raise OSError("short write")
            except OSError:  # a full disk costs time (features are computed again), not the run
                self.disk_bytes = 0
                return
            self._disk[tag] = (self._spilled, tuple(row.shape))
            self._spilled += size

    def _get(self, tag: tuple[str, ...]) -> Tensor:
        if tag in self._memory:
            return self._memory[tag]
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
        out[place] = replace(known, layers=layers, flips=known.flips or spec.flips)
    return list(out.values())
