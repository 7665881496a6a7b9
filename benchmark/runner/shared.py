"""What the cells of a category share: pixels, and the features that several readings need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmark import machine
from benchmark.data.dataset import Category
from benchmark.data.geometry import Geometry
from benchmark.data.loading import DEVICE_SHARE, Decoded, ImageSet, Keys
from benchmark.data.shortcuts import of_pixels
from benchmark.data.survey import Survey
from benchmark.features.cache import EXTRACT_BATCH, Place, union
from benchmark.features.spec import FeatureSpec
from benchmark.runner.plan import Cell, Plan


@dataclass
class LoadedCategory:
    """A category in memory, as its cells share it.

    Attributes:
        category, keys: its samples and their hashes.
        images: its pixels, per geometry.
        unusable: the geometries in which it cannot be had, and why.
        train, held_out: positions in the normal images.
        found: what its files gave away.
        kept: the backbones and geometries whose features were put into the cache.
        records: what its cells have finished in this run.
    """

    category: Category
    keys: Keys
    images: dict[Geometry, Decoded]
    unusable: dict[Geometry, Exception]
    train: list[int]
    held_out: list[int]
    found: Survey
    kept: set[Place] = field(default_factory=set)
    records: list[dict[str, Any]] = field(default_factory=list)
    _shortcuts: dict[Geometry, dict[str, float]] = field(default_factory=dict)
    _near: tuple[Geometry, Decoded] | None = None

    def shortcuts(self, geometry: Geometry) -> dict[str, float]:
        """Return what trivial scores reach on the test images, measured once."""
        if geometry not in self._shortcuts:
            tests = self.images[geometry].test
            labels = [sample.label for sample in self.category.test]
            self._shortcuts[geometry] = of_pixels(tests.pixels[tests.indices], labels)
        return self._shortcuts[geometry]

    def on(self, device: torch.device, geometry: Geometry) -> Decoded:
        """Return the images of a geometry with their batches on a device; one geometry at a time
        has its pixels there."""
        if self._near is None or self._near[0] != geometry:
            self._near = None
            room = int(DEVICE_SHARE * machine.device_memory(device))
            self._near = geometry, self.images[geometry].on(device, room)
        return self._near[1]


def extract(
    plan: Plan, spec: FeatureSpec, geometry: Geometry, parts: Mapping[str, ImageSet | None]
) -> None:
    """Pass images, given by title, once through a backbone, and keep what these layers say.

    A backbone that fails costs only the methods that read it.
    """
    for title, part in parts.items():
        if part is None:
            continue
        steps = -(-len(part) // EXTRACT_BATCH)
        batches = plan.console.track(
            part.batches(EXTRACT_BATCH), f"{spec.backbone} features, {title}", steps
        )
        layers = [str(layer) for layer in spec.layers]
        try:
            plan.features.extract(
                batches,
                geometry,
                spec.backbone,
                layers,
                flips=spec.flips,
                normalise=spec.normalise,
            )
        except Exception:  # its readers compute the features again, and meet the error
            break


def keep_features(plan: Plan, cells: Sequence[Cell], loaded: LoadedCategory) -> None:
    """Keep what the first of these cells reads and any of them will read again, forget the rest.

    Features that several fits read are kept of all images, those that one fit rereads of its
    training images; all others are computed when they are read.
    """
    fits = {(id(c.method), c.seed if c.method.draws else None): c for c in cells}
    readings: dict[Place, list[FeatureSpec]] = {}
    for cell in fits.values():
        for place, spec in _places(cell):
            readings.setdefault(place, []).append(spec)
    plan.features.forget(but=readings)
    geometry = cells[0].method.geometry
    for place in dict.fromkeys(place for place, _ in _places(cells[0])):
        (spec,) = union(readings[place], plan.features)
        images = loaded.on(plan.features.device, geometry)
        parts: dict[str, ImageSet | None] = {}
        if len(readings[place]) > 1:
            parts = {"train": images.train, "test": images.test, "unlabelled": images.unlabelled}
        elif spec.rereads:
            parts = {"train": images.train.subset(loaded.train)}
        if plan.protocol.stress.corrupt:  # nothing is fitted
            parts.pop("train", None)
        if place not in loaded.kept:
            extract(plan, spec, geometry, parts)
        loaded.kept.add(place)


def _places(cell: Cell) -> list[tuple[Place, FeatureSpec]]:
    """List what a cell reads, and where that is kept."""
    geometry = str(cell.method.geometry)
    specs = [spec for spec in cell.method.new().needs() if spec.read]
    return [(Place(geometry, spec.backbone, spec.normalise), spec) for spec in specs]
