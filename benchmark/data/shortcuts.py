"""Scores that look at no defect: how well exposure, sharpness or file size alone tell the labels apart.

A detector whose image AUROC a trivial score reaches may have learned the day on which the photographs
were taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from benchmark.data.dataset import Sample
from benchmark.data.images import FileSource, in_parallel
from benchmark.metrics import image_metrics

Array = npt.NDArray[Any]
TRIVIAL = ("brightness", "contrast", "sharpness", "redness", "greenness", "blueness")
"""Scores of pixels alone, see :func:`trivial`."""
FILE_SIZE = "file size"
TELLING = 0.9
"""From here on a trivial score is pointed out."""


def trivial(image: Array) -> Array:
    """Score an image without a look at what it shows.

    Args:
        image: uint8 RGB (H, W, 3).

    Returns:
        float64, in the order of :data:`TRIVIAL`: mean and standard deviation of the grey levels,
        mean absolute difference of neighbouring ones, and how far the mean of each colour lies above
        that of all.
    """
    colours = image.reshape(-1, 3).mean(0)
    grey = image.mean(2, dtype=np.float32)
    steps = np.abs(np.diff(grey, axis=0)).mean(), np.abs(np.diff(grey, axis=1)).mean()
    return np.array([colours.mean(), grey.std(), sum(steps) / 2, *(colours - colours.mean())])


def shortcuts(scores: Array, labels: Sequence[int]) -> dict[str, float]:
    """Measure each trivial score's image AUROC, in the direction that separates better.

    Args:
        scores: of N images, (N, K): those of :func:`trivial`, and the bytes of the files behind them
            where there are files.
        labels: 0 good, 1 defective; (N,).

    Returns:
        By name a number from 0.5, no use, to 1, the labels without a look at a defect; empty where
        one of the two kinds is missing.
    """
    if len(set(labels)) < 2:
        return {}
    found = {}
    for name, values in zip((*TRIVIAL, FILE_SIZE), scores.T, strict=False):
        auroc = image_metrics(values, np.asarray(labels)).image_auroc
        assert auroc is not None
        found[name] = max(auroc, 1 - auroc)
    return found


def of_samples(samples: Sequence[Sample], threads: int) -> dict[str, float]:
    """Measure the shortcuts of a test split at its images' own size. Raises DataError."""

    def scored(sample: Sample) -> Array:
        size = len(sample.image.content()) if isinstance(sample.image, FileSource) else 0
        return np.array([*trivial(sample.image.pixels()), size])

    scores = np.stack(list(in_parallel(scored, samples, threads)))
    files = isinstance(samples[0].image, FileSource)
    return shortcuts(scores if files else scores[:, :-1], [sample.label for sample in samples])


def of_pixels(images: Array, labels: Sequence[int]) -> dict[str, float]:
    """Measure the shortcuts of decoded test images, uint8 (N, H, W, 3); of large ones every second,
    third, … pixel counts."""
    step = max(1, min(images.shape[1:3]) // 256)
    return shortcuts(np.stack([trivial(image[::step, ::step]) for image in images]), labels)


def text(found: Mapping[str, Mapping[str, float]]) -> str:
    """Write a table: categories × trivial scores, those of 0.9 and more marked."""
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    rows = [
        [
            category,
            *(
                f"{one[n]:.3f}{'*' if one[n] >= TELLING else ''}" if n in one else "–"
                for n in names
            ),
        ]
        for category, one in found.items()
    ]
    table = tabulate(rows, ["category", *names], "simple", disable_numparse=True)
    return (
        "Image AUROC of scores that look at no defect (the better direction; * from "
        f"{TELLING:g}: a detector may have read this instead):\n\n{table}"
    )
