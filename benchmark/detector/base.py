"""The one interface a method implements.

A method is a class in a file of ``methods/`` (or a plugin). It learns from normal images and gives
every image a score and, if it can, every pixel one. It never sees labels, masks, paths, held-out
images or the test set as a whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from benchmark import settings as settings_of
from benchmark.data.batch import Batch, Images
from benchmark.data.geometry import Geometry
from benchmark.detector.asset import Asset
from benchmark.detector.context import Context
from benchmark.detector.state import State
from benchmark.errors import DetectorError, NotFittedError
from benchmark.features.spec import FeatureSpec


@dataclass(frozen=True)
class Prediction:
    """A detector's answer to a batch; higher is more anomalous.

    Attributes:
        scores: float (B,), finite.
        maps: float (B, H, W) at the resolution of the batch's pixels, finished (upsampled and
            smoothed as the paper says), finite; or None for a method that does not localise.
        parts: further scores of each image by name, float (B,), finite: the terms that a score was
            made of, for instance. They are stored, and their image AUROC is measured.
    """

    scores: Tensor
    maps: Tensor | None = None
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Detector(ABC):
    """Base of all methods.

    A subclass has keyword-only settings that ``__init__`` stores unchanged under their own names,
    and keeps what it learns in attributes whose names end with an underscore (``mean_``): tensors,
    modules made by :meth:`build`, or JSON values. :meth:`state` and :meth:`load_state` follow from
    that.
    """

    version: ClassVar[str] = "1"
    """Raise it when the numbers change, or the names of what is learned: records of another version
    are not reused, kept detectors not loaded."""
    title: ClassVar[str]
    """Readable name for tables."""
    citation: ClassVar[str] = ""
    paper: ClassVar[Geometry] = Geometry(resize=256, crop=224)
    """The published geometry, used by the protocol ``paper``."""
    smoke: ClassVar[Mapping[str, Any]] = {}
    """Settings under which a fit takes seconds; the contract tests use them."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named variants: name -> settings that differ from the defaults."""
    draws: bool = True
    """Whether anything is drawn at random. Where nothing is, all seeds share one fit."""

    def settings(self) -> dict[str, Any]:
        """Return the resolved settings, as they were given."""
        return {name: getattr(self, name) for name in settings_of.declared(type(self))}

    def needs(self) -> Sequence[FeatureSpec]:
        """List the frozen features that fit and predict will read, from the settings alone."""
        return ()

    def assets(self) -> Sequence[type[Asset]]:
        """List the pre-trained parts that fit will ask for, from the settings alone."""
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
        """Return all that was learned: the attributes ending with an underscore."""
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
        """Invert :meth:`state`, on a new detector with the same settings."""
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
    """Check for the runner what a method returned.

    Raises:
        DetectorError: wrong shape, or NaN or infinite values; names the method, the image's place
            in the batch and the number of bad values.
    """
    count = len(batch)
    if not isinstance(prediction, Prediction):
        raise DetectorError(
            f"{owner}: predict returned {type(prediction).__name__}; return Prediction(scores, maps)"
        )
    found = {"scores": prediction.scores}
    found |= {f"parts[{name!r}]": values for name, values in prediction.parts.items()}
    everything = found if prediction.maps is None else {**found, "maps": prediction.maps}
    for what, values in everything.items():
        if not isinstance(values, Tensor) or values.is_complex():
            kind = values.dtype if isinstance(values, Tensor) else type(values).__name__
            raise DetectorError(f"{owner}: {what} are {kind}; return tensors of real numbers")
    for what, values in found.items():
        if tuple(values.shape) != (count,):
            raise DetectorError(
                f"{owner}: {what} have shape {tuple(values.shape)}, "
                f"wanted ({count},), one per image of the batch"
            )
    if prediction.maps is not None:
        if tuple(prediction.maps.shape) != (count, *batch.size):
            raise DetectorError(
                f"{owner}: maps have shape {tuple(prediction.maps.shape)}, wanted "
                f"{(count, *batch.size)}, the input's resolution (benchmark.upsample helps)"
            )
        found["maps"] = prediction.maps
    for what, values in found.items():
        bad = ~torch.isfinite(values.reshape(count, -1))
        if bool(bad.any()):
            first = int(bad.any(1).nonzero()[0])
            raise DetectorError(
                f"{owner}: {what} hold {int(bad.sum())} NaN or infinite values, first in image "
                f"{batch.keys[first]}; look for a division by zero or a diverged training"
            )
    return prediction
