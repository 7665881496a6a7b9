"""Verdicts on images: what every engine (PyTorch, an exported graph) gives in the same way."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from benchmark.data.dataset import ImageSource, content_key
from benchmark.data.geometry import Geometry
from benchmark.data.images import FileSource, in_parallel
from benchmark.data.loading import PREDICT_BATCH
from benchmark.errors import BenchError, DataError
from benchmark.places import expanded
from benchmark.records.kept import Kept

Array = npt.NDArray[Any]
Image = str | Path | Array | ImageSource
"""A file, an array uint8 RGB (H, W, 3), or any source of a data set."""


@dataclass(frozen=True)
class Prepared:
    """An image, ready for a detector.

    Attributes:
        name: its path, or what it is called.
        key: hash of its content.
        input: uint8 RGB (h, w, 3) in the detector's geometry.
        size: height and width of the image itself.
        photo: uint8 RGB, the image at the size of pictures; None where none was asked for.
    """

    name: str
    key: str
    input: Array
    size: tuple[int, int]
    photo: Array | None = None


@dataclass(frozen=True)
class Answer:
    """A detector's answer to a batch: scores float64 (B,), maps float32 (B, h, w) or None, and the
    seconds it took from decoded pixels on."""

    scores: Array
    maps: Array | None
    seconds: float


@dataclass(frozen=True)
class Verdict:
    """A detector's verdict on an image.

    Attributes:
        name: the image's path, or what it is called.
        score: higher is more anomalous.
        threshold: scores above it are defective; None where the detector has none.
        milliseconds: from decoded pixels to the map, its share of the batch.
        size: height and width of the image.
        input_map: float32 (h, w), anomaly of the pixels of the detector's input; None without maps.
        geometry: how the image became the input.
    """

    name: str
    score: float
    threshold: float | None
    milliseconds: float
    size: tuple[int, int]
    input_map: Array | None
    geometry: Geometry

    @property
    def margin(self) -> float | None:
        """Score minus threshold."""
        return None if self.threshold is None else self.score - self.threshold

    @property
    def decision(self) -> Literal["good", "defective"] | None:
        """None where the detector has no threshold."""
        if self.threshold is None:
            return None
        return "defective" if self.score > self.threshold else "good"

    @property
    def map(self) -> Array | None:
        """The map at the image's own size, float32 (H, W); NaN outside of what the detector saw."""
        if self.input_map is None:
            return None
        return self.geometry.on_image(self.input_map, *self.size)


class Judge(ABC):
    """A kept detector that can be asked.

    Attributes:
        kept: what it is.
        batch_size: images that it is given together unless told otherwise.
    """

    kept: Kept
    batch_size: int = PREDICT_BATCH

    @abstractmethod
    def answer(self, inputs: Array, keys: Sequence[str]) -> Answer:
        """Score inputs uint8 RGB (B, h, w, 3), decoded and in the detector's geometry.

        Raises:
            DetectorError: values that are no numbers.
        """

    @abstractmethod
    def closeness(self) -> str:
        """Say in a sentence how close its scores are to those of its record."""

    def predict(self, images: Iterable[Image], batch_size: int = 0) -> list[Verdict]:
        """Judge images, all in memory; :meth:`verdicts` goes through any number of them.

        Args:
            images: paths, arrays uint8 RGB (H, W, 3) of any size, or a data set's sources.
            batch_size: images judged together; 0 is :attr:`batch_size`, as in the run. The test
                images of its record, in its order, get bit-equal scores and maps with that, on the
                same device with the same number of threads.

        Returns:
            One verdict per image, in order.

        Raises:
            DataError: an image cannot be decoded, or its input would have another size.
        """
        return list(self.verdicts(images, batch_size))

    def verdicts(self, images: Iterable[Image], batch_size: int = 0) -> Iterator[Verdict]:
        """Judge images one batch after the other; as :meth:`predict`, in bounded memory."""
        geometry, size = self.kept.geometry, self.kept.size
        numbered = enumerate(images)
        prepared = in_parallel(lambda p: prepare(p[1], geometry, size, f"image {p[0]}"), numbered)
        while batch := list(islice(prepared, batch_size or self.batch_size)):
            yield from self.judge(batch)

    def judge(self, batch: Sequence[Prepared]) -> list[Verdict]:
        """Judge prepared images together."""
        found = self.answer(np.stack([p.input for p in batch]), [p.key for p in batch])
        share = 1000 * found.seconds / len(batch)
        maps = [None] * len(batch) if found.maps is None else found.maps
        return [
            Verdict(
                image.name,
                float(score),
                self.kept.threshold,
                share,
                image.size,
                anomaly,
                self.kept.geometry,
            )
            for image, score, anomaly in zip(batch, found.scores, maps, strict=True)
        ]

    def judge_each(self, batch: Sequence[Prepared]) -> list[Verdict | BenchError]:
        """As :meth:`judge`, where an image that fails costs only itself."""
        try:
            return list(self.judge(batch))
        except BenchError as error:
            if len(batch) == 1:
                return [error]
            return [found for image in batch for found in self.judge_each([image])]


def prepare(
    image: Image, geometry: Geometry, size: tuple[int, int], called: str, photo_side: int = 0
) -> Prepared:
    """Decode an image and bring it to a detector's geometry.

    Args:
        image: a path, an array uint8 RGB (H, W, 3), or a source.
        geometry: the detector's.
        size: height and width that its input must have.
        called: what messages call an array.
        photo_side: longest side of the copy for pictures; 0 for none.

    Raises:
        DataError: not decodable, or the input would have another size.
    """
    if isinstance(image, str | Path):
        image = FileSource(expanded(image))
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise DataError(
                f"{called}: an array of {image.dtype} {image.shape}; give uint8 RGB (height, width, "
                "3), or a path"
            )
        name, pixels = called, image
        key = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:16]
    else:
        name, pixels, key = image.name(), image.pixels(), content_key(image)
    seen = geometry.image(pixels)
    if seen.shape[:2] != size:
        raise DataError(
            f"{name}: {pixels.shape[1]}×{pixels.shape[0]} pixels become an input of "
            f"{seen.shape[1]}×{seen.shape[0]}, and the detector was fitted on {size[1]}×{size[0]}; "
            "give images of the same proportions, or run with --image-size N and keep that detector"
        )
    height, width = pixels.shape[:2]
    return Prepared(name, key, seen, (height, width), _photo(pixels, photo_side))


def _photo(pixels: Array, side: int) -> Array | None:
    """Shrink an image to a longest side."""
    if not side:
        return None
    from PIL import Image as Pillow

    height, width = pixels.shape[:2]
    if max(height, width) <= side:
        return pixels
    share = side / max(height, width)
    wanted = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(Pillow.fromarray(pixels).resize(wanted, Pillow.Resampling.BILINEAR))
