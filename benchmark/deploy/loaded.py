"""A kept detector in PyTorch, ready to judge images."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmark import machine, places
from benchmark import settings as settings_of
from benchmark.data.loading import ImageSet
from benchmark.deploy.judge import Answer, Array, Judge
from benchmark.detector.base import Detector
from benchmark.detector.context import Context
from benchmark.detector.scored import scored
from benchmark.errors import StoreError, WeightsError
from benchmark.features.backbones import Precision
from benchmark.features.cache import FrozenFeatures, union
from benchmark.features.weights import WeightsFrom
from benchmark.plugins.registry import Registry
from benchmark.records.kept import Kept


class LoadedDetector(Judge):
    """A kept detector as it was fitted, on a device.

    It goes the way of a run's scoring, batch for batch: same decoding, same geometry, same features,
    same batch size. On the run's device with the run's number of threads its numbers are the run's.

    Attributes:
        detector, context: for whoever needs more than verdicts.
        threads: of PyTorch.
    """

    def __init__(
        self, kept: Kept, detector: Detector, context: Context, features: FrozenFeatures
    ) -> None:
        self.kept, self.detector, self.context = kept, detector, context
        self.batch_size = int(kept.info["batch"])
        self._features = features
        self._specs = union(detector.needs(), features)

    def answer(self, inputs: Array, keys: Sequence[str]) -> Answer:
        batch = ImageSet(inputs, keys).batch(range(len(keys)))
        start = time.perf_counter()
        for spec in self._specs:  # first all layers at once, as a run does
            layers = [str(layer) for layer in spec.layers]
            self._features.extract(
                [batch], self.context.geometry, spec.backbone, layers, normalise=spec.normalise
            )
        found = scored(self.detector, batch, self.context, self.kept.title)
        seconds = time.perf_counter() - start
        self._features.clear()
        return Answer(found.scores, found.maps, seconds)

    def closeness(self) -> str:
        then, now = self.kept.info["environment"], machine.describe(self.context.device)
        names = ("device", "threads", "packages")
        other = [f"{n}: {then[n]} then, {now[n]} now" for n in names[:2] if then[n] != now[n]]
        packages = [
            f"{n} {v} then, {now['packages'].get(n)} now"
            for n, v in then["packages"].items()
            if now["packages"].get(n) != v
        ]
        if not other + packages:
            return (
                "Same device, threads and packages as in the run: the test images of its record, in "
                "its order, get the very scores and maps of the record."
            )
        alone = self.kept.info["alone"]
        return (
            f"Not as in the run ({'; '.join(other + packages)}): scores and maps may differ in their "
            f"last digits. For comparison: scored alone instead of in batches of "
            f"{self.kept.info['batch']}, a score moved by at most {alone['of_range']:.1g} of the "
            f"range of the scores."
        )


def load(
    kept: Kept,
    *,
    device: str = "auto",
    weights_dir: str | Path | None = None,
    plugin: Iterable[str | Path] = (),
    threads: int = 0,
) -> LoadedDetector:
    """Load a kept detector.

    Args:
        kept: see :func:`benchmark.records.kept.find`.
        device: ``auto`` takes a GPU when there is one.
        weights_dir: where the weights of its backbone are looked for first.
        plugin: files of methods that are not built in.
        threads: of PyTorch; 0 is all cores, as in a run.

    Raises:
        SettingsError: no such method here.
        StoreError: its files are damaged, or the method has changed since.
        WeightsError: other weights than those it was fitted with.
    """
    torch.set_num_threads(threads or machine.cores())
    key = kept.key
    registry = Registry([Path(p) for p in plugin])
    cls, _ = registry.method(key["method"])
    if (now := registry.version_of(key["method"])) != key["version"]:
        raise StoreError(
            f"{kept.path}: was fitted by version {key['version']} of {key['method']}, and this is "
            f"version {now}, whose numbers are others; run again with --keep"
        )
    detector = cls(**settings_of.resolve(cls, key["settings"], key["method"]))
    place = machine.choose_device(device)
    random = any(entry["source"] == "random" for entry in key["weights"])
    weights = WeightsFrom(places.weights_dir(weights_dir), "random" if random else "auto")
    precision: Precision = next((entry["precision"] for entry in key["weights"]), "float32")
    features = FrozenFeatures(weights, place, precision=precision, keep=False)
    _check_weights(kept, detector, features)
    detector.load_state(kept.state())
    context = Context(
        features,
        kept.geometry,
        (str(key["seed"]), key["source"], key["category"], key["method"]),
        device=place,
        precision=key["precision"],
    )
    return LoadedDetector(kept, detector, context, features)


def _check_weights(kept: Kept, detector: Detector, features: FrozenFeatures) -> None:
    """Raises WeightsError unless the backbones' weights are those of the fit."""
    entries: Sequence[dict[str, Any]] = kept.key["weights"]
    for spec, then in zip(detector.needs(), entries, strict=True):
        backbone = features.backbone(spec.backbone)
        now = backbone.entry(backbone.resolve(spec.layers), spec.normalise)
        if {**now, "source": None} != {**then, "source": None}:
            raise WeightsError(
                f"{kept.path}: was fitted on {then['backbone']} from {then['source']} (hash "
                f"{then['sha256']}, features version {then['version']}); found here: "
                f"{now['source']} (hash {now['sha256']}, version {now['version']}); give the "
                "folder of the same weights with --weights-dir"
            )
