"""What every detector and every data set owes, as checks that plugin authors can run.

``bench check NAME|FILE`` runs them; so do this project's own tests. Each check is a function whose
docstring is the promise it tests; it raises AssertionError with what was found instead.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark import settings as settings_of
from benchmark.data.batch import Batch
from benchmark.data.dataset import Dataset
from benchmark.data.geometry import Geometry
from benchmark.data.loading import ImageSet
from benchmark.detector.base import Detector, Prediction, check_prediction
from benchmark.detector.context import Context
from benchmark.detector.state import State
from benchmark.errors import BenchError, NotFittedError
from benchmark.features.spec import FeatureSpec
from benchmark.features.weights import WeightsFrom
from benchmark.texts import path_component

SIDE = 64
TRAIN, TEST = 8, 4
SPOT = slice(3 * SIDE // 16, 9 * SIDE // 16)
"""Rows and columns of the defect in the images with a spot."""
AWAY = 3 * SIDE // 4
"""Rows and columns from here on are far from it."""
TOLERANCE = 1e-3
"""Relative: a float32 network may sum in another order when the batch has another size."""


@dataclass(frozen=True)
class Outcome:
    """One check: its promise, and what was found instead (None when kept)."""

    promise: str
    found: str | None


@dataclass(frozen=True)
class Obvious:
    """A detector's answer to images that are plainly normal or not, all float32 (TEST,).

    Attributes:
        normal, odd: scores without and with a spot.
        on, off: mean of the spotted images' maps on the spot and away from it; None without maps.
    """

    normal: Tensor
    odd: Tensor
    on: Tensor | None
    off: Tensor | None


class DetectorChecks:
    """The checks of one detector class, on small images made for the purpose.

    Args:
        cls: the class.
        settings: what its ``smoke`` settings are overridden with.
        weights: for its backbones; random ones unless told.
        seed: of the images and of the detector's draws.
    """

    def __init__(
        self,
        cls: type[Detector],
        settings: dict[str, Any] | None = None,
        weights: WeightsFrom | None = None,
        seed: int = 0,
    ) -> None:
        self.cls = cls
        self.seed = seed
        self.given = {**cls.smoke, **(settings or {})}
        self.weights = weights or WeightsFrom(mode="random")
        rng = np.random.default_rng(seed)
        self.train = _images(rng, TRAIN)
        self.test = _images(rng, TEST)
        self.odd = _images(rng, TEST, spot=True)
        self._before = self.train.pixels.copy()
        self._returned_itself = False
        self._fitted: tuple[Detector, Context] | None = None
        self._watched: tuple[Detector, Context, frozenset[str]] | None = None

    def new(self) -> Detector:
        return self.cls(**settings_of.resolve(self.cls, self.given, self.cls.__name__))

    def context(self) -> Context:
        return Context.alone(geometry=Geometry(resize=SIDE), weights=self.weights, seed=self.seed)

    def fitted(self) -> tuple[Detector, Context]:
        """Return one fit that the checks share."""
        if self._fitted is None:
            detector, context = self.new(), self.context()
            out: object = detector.fit(self.train, context)
            self._returned_itself = out is detector
            self._fitted = detector, context
        return self._fitted

    def watched(self) -> tuple[Detector, Context, frozenset[str]]:
        """Return a second fit under the same seed, and the keys of all images that it looked at."""
        if self._watched is None:
            detector, context, asked = self.new(), self.context(), set[str]()
            original = context.features

            def watch(batch: Batch, spec: FeatureSpec) -> Any:
                asked.update(batch.keys)
                return original(batch, spec)

            setattr(context, "features", watch)  # noqa: B010 - a spy in place of a method
            detector.fit(_Watched(self.train, asked), context)
            self._watched = detector, context, frozenset(asked)
        return self._watched

    def check_declares_what_it_is(self) -> None:
        """title, version and a paper geometry are declared, and the docstring says what it is"""
        assert getattr(self.cls, "title", ""), "no title"
        assert isinstance(self.cls.version, str) and self.cls.version, "version must be a string"
        assert isinstance(self.cls.paper, Geometry), "paper must be a Geometry"
        assert self.cls.__doc__, "no docstring"

    def check_settings_are_stored_unchanged(self) -> None:
        """__init__ has keyword-only settings with types and defaults, and stores them unchanged"""
        declared = settings_of.declared(self.cls)
        detector = self.cls()
        for name, (_, default) in declared.items():
            assert hasattr(detector, name), f"setting {name!r} is not stored as an attribute"
            stored = getattr(detector, name)
            assert stored == default, f"setting {name!r} is stored as {stored!r}, not {default!r}"
        for preset, given in self.cls.presets.items():
            settings_of.resolve(self.cls, given, preset)

    def check_fit_returns_self(self) -> None:
        """fit returns the detector itself"""
        self.fitted()
        assert self._returned_itself, "fit returned something else; end it with `return self`"

    def check_predict_before_fit(self) -> None:
        """predict before fit raises NotFittedError (call self.check_fitted() first)"""
        try:
            self.new().predict(self.test.batch([0]), self.context())
        except NotFittedError:
            return
        except Exception as error:
            raise AssertionError(f"it raised {type(error).__name__}: {error}") from error
        raise AssertionError("it returned something")

    def check_prediction_shape(self) -> None:
        """scores are (B,), maps (B, H, W) at input resolution or None, all finite"""
        detector, context = self.fitted()
        batch = self.test.batch(range(TEST))
        try:
            check_prediction(detector.predict(batch, context), batch, self.cls.__name__)
        except BenchError as error:
            raise AssertionError(str(error)) from error

    def obvious(self) -> Obvious:
        """Score normal images and images with a glaring spot."""
        detector, context = self.fitted()
        normal = detector.predict(self.test.batch(range(TEST)), context)
        odd = detector.predict(self.odd.batch(range(TEST)), context)
        on = off = None
        if odd.maps is not None:
            on = odd.maps[:, SPOT, SPOT].float().mean((1, 2))
            far = torch.arange(SIDE) >= AWAY
            off = odd.maps[:, far[:, None] | far].float().mean(1)
        return Obvious(normal.scores.float(), odd.scores.float(), on, off)

    def check_obvious_case(self) -> None:
        """higher is more anomalous: an image with a glaring spot outscores every normal one"""
        found = self.obvious()
        lowest, highest = float(found.odd.min()), float(found.normal.max())
        assert lowest > highest, (
            f"the lowest score with a spot is {lowest:.4g}, the highest without {highest:.4g}"
        )
        if found.on is not None and found.off is not None:
            worst = int((found.on - found.off).argmin())
            on, off = float(found.on[worst]), float(found.off[worst])
            assert on > off, f"the map is {on:.4g} on the spot, {off:.4g} away from it"

    def check_deterministic(self) -> None:
        """two fits under the same seed give the same scores"""
        batch = self.test.batch(range(TEST))
        (first, one), (second, two, _) = self.fitted(), self.watched()
        outs = first.predict(batch, one), second.predict(batch, two)
        _equal(*outs, 0.0, "the second fit differs")

    def check_batch_mates(self) -> None:
        """an image's score and map do not depend on the images it is scored with"""
        detector, context = self.fitted()
        # features anew for each batch, or the cache would hide a difference
        context = replace(context, probe=True)
        together = detector.predict(self.test.batch(range(TEST)), context)
        for i in range(TEST):
            alone = detector.predict(self.test.batch([i]), context)
            one = Prediction(
                together.scores[i : i + 1],
                None if together.maps is None else together.maps[i : i + 1],
            )
            _equal(alone, one, TOLERANCE, f"image {i} alone differs")

    def check_input_unchanged(self) -> None:
        """fit and predict leave the images they are given as they were"""
        detector, context = self.fitted()
        batch = self.test.batch(range(TEST))
        pixels = batch.pixels.clone()
        detector.predict(batch, context)
        assert torch.equal(batch.pixels, pixels), "predict changed batch.pixels"
        assert np.array_equal(self._before, self.train.pixels), "fit changed the training images"

    def check_sees_only_its_images(self) -> None:
        """fit reads training images through its argument alone: no other image's key is asked for"""
        detector, _, asked = self.watched()
        strange = asked - set(self.train.keys)
        assert not strange, f"keys that are not in the training split: {sorted(strange)}"
        assert asked, "fit looked at no image"
        names = set(inspect.signature(detector.fit).parameters)
        assert names == {"train", "context"}, f"fit takes {sorted(names)}, not (train, context)"

    def check_state_round_trip(self) -> None:
        """a detector restored from its saved state gives equal scores and maps"""
        detector, context = self.fitted()
        batch = self.test.batch(range(TEST))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state.safetensors"
            detector.state().save(path)
            restored = self.new().load_state(State.load(path))
        _equal(detector.predict(batch, context), restored.predict(batch, context), 0.0, "differs")

    def check_facts_are_json(self) -> None:
        """facts() holds plain JSON values"""
        import json

        detector, _ = self.fitted()
        try:
            json.dumps(detector.facts(), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AssertionError(str(error)) from error


class DatasetChecks:
    """The checks of one data set.

    Args:
        dataset: an instance with at least one category.
        most: categories looked into.
    """

    def __init__(self, dataset: Dataset, most: int = 2) -> None:
        self.dataset = dataset
        self.names = dataset.categories()[:most]

    def check_declares_what_it_is(self) -> None:
        """title, licence, citation and origin are declared"""
        for name in ("title", "licence", "citation", "origin"):
            assert getattr(type(self.dataset), name, ""), f"no {name}"

    def check_categories(self) -> None:
        """there are categories, each named once and usable as a folder name"""
        names = self.dataset.categories()
        assert names, "no categories"
        assert len(set(names)) == len(names), f"named twice: {names}"
        for name in names:
            path_component(name, "category")
        for group, members in self.dataset.groups.items():
            assert members, f"group {group!r} is empty"

    def check_splits(self) -> None:
        """train holds normal samples only, test has unique ids, labels 0 or 1 and defect types"""
        for name in self.names:
            category = self.dataset.category(name)
            assert category.train, f"{name}: no training samples"
            assert all(s.label == 0 for s in category.train), f"{name}: defective in train"
            ids = [s.id for s in (*category.train, *category.test)]
            assert all(isinstance(i, str) for i in ids), f"{name}: an id that is no text"
            assert len(set(ids)) == len(ids), f"{name}: an id occurs twice"
            for sample in category.test:
                assert sample.label in (0, 1), f"{sample.id}: label {sample.label}"
                good = sample.defect == "good"
                assert good == (sample.label == 0), f"{sample.id}: defect {sample.defect!r}"
                assert sample.label or sample.mask is None, f"{sample.id}: a good image has a mask"

    def check_pixels(self) -> None:
        """images decode to uint8 RGB (H, W, 3), masks to bool (H, W) of the same size, not empty"""
        for name in self.names:
            category = self.dataset.category(name)
            for sample in [*category.train[:2], *category.test[:2], *category.test[-2:]]:
                pixels = sample.image.pixels()
                assert pixels.dtype == np.uint8, f"{sample.id}: {pixels.dtype}"
                assert pixels.ndim == 3 and pixels.shape[2] == 3, f"{sample.id}: {pixels.shape}"
                if sample.mask is not None:
                    mask = sample.mask.mask()
                    assert mask.dtype == bool, f"{sample.id}: mask is {mask.dtype}"
                    assert mask.shape == pixels.shape[:2], f"{sample.id}: mask {mask.shape}"
                    free = getattr(sample.mask, "may_be_empty", False)
                    assert free or mask.any(), f"{sample.id}: the mask is empty"

    def check_same_each_time(self) -> None:
        """reading twice gives the same samples and bytes"""
        for name in self.names:
            first, second = self.dataset.category(name), self.dataset.category(name)
            assert [s.id for s in first.test] == [s.id for s in second.test], f"{name}: other ids"
            a, b = first.test[0].image.content(), second.test[0].image.content()
            assert a == b, f"{name}: other bytes"


def checks_of(checks: object) -> list[tuple[str, Callable[[], None]]]:
    """List (name, check) of every check that a collection has."""
    names = [name for name in dir(type(checks)) if name.startswith("check_")]
    return [(name, getattr(checks, name)) for name in names]


def run_checks(checks: object) -> Iterator[Outcome]:
    """Run every check; a crash counts as a promise not kept."""
    for _, check in checks_of(checks):
        promise = (check.__doc__ or "").strip()
        try:
            check()
            yield Outcome(promise, None)
        except AssertionError as error:
            yield Outcome(promise, str(error))
        except Exception as error:  # a plugin's own code may fail in any way
            yield Outcome(promise, f"{type(error).__name__}: {error}")


class _Watched:
    """Images that note which keys were read."""

    def __init__(self, images: ImageSet, asked: set[str]) -> None:
        self._images, self._asked = images, asked

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches(16)

    def batches(
        self, size: int, *, shuffle: np.random.Generator | None = None, drop_last: bool = False
    ) -> Iterator[Batch]:
        for batch in self._images.batches(size, shuffle=shuffle, drop_last=drop_last):
            self._asked.update(batch.keys)
            yield batch

    def batch(self, indices: Sequence[int]) -> Batch:
        batch = self._images.batch(indices)
        self._asked.update(batch.keys)
        return batch


def _images(rng: np.random.Generator, count: int, *, spot: bool = False) -> ImageSet:
    """Draw faint grey waves with a little noise; with a spot of bright and dark red stripes if asked.

    Faint, so that the spot stands out for methods that a smoke training taught next to nothing, and
    striped, so that it does for those that compare edges.
    """
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    out = np.empty((count, SIDE, SIDE, 3), np.uint8)
    striped = (np.arange(SPOT.stop - SPOT.start) // 4 % 2 == 0)[:, None]
    for i in range(count):
        phase = rng.uniform(0, 0.3)
        base = 110 + 15 * np.sin(6 * (x + phase)) + 10 * y
        noisy = base[..., None] + rng.normal(0, 2, (SIDE, SIDE, 3))
        out[i] = noisy.clip(0, 255).astype(np.uint8)
        if spot:
            out[i, SPOT, SPOT] = np.where(striped, (255, 20, 20), (90, 0, 0))
    return ImageSet(out, [f"{rng.integers(1 << 60):015x}" for _ in range(count)])


def _equal(a: Prediction, b: Prediction, tolerance: float, what: str) -> None:
    pairs = [("scores", a.scores, b.scores)]
    if a.maps is not None and b.maps is not None:
        pairs.append(("maps", a.maps, b.maps))
    for name, first, second in pairs:
        first, second = first.double(), second.double()
        scale = float(second.abs().max())
        gap = float((first - second).abs().max())
        assert gap <= tolerance * max(scale, 1e-12), f"{what}: {name} by {gap:.3g} of {scale:.3g}"
