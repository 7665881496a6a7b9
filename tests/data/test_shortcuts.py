"""Trivial scores find what is planted and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.data.dataset import ArraySource, Sample
from benchmark.data.images import FileSource
from benchmark.data.shortcuts import of_samples, text


def samples(shift: int, colour: int = 0, noise: float = 20) -> list[Sample]:
    rng = np.random.default_rng(0)
    out = []
    for i in range(60):
        bad = i % 2
        image = rng.normal(120, noise if bad else 20, (16, 16, 1)).repeat(3, 2) + rng.normal(0, 4)
        image += bad * shift
        image[..., 0] += bad * colour
        source = ArraySource(image.clip(0, 255).astype(np.uint8), str(i))
        out.append(Sample(str(i), source, bad, "dent" if bad else "good"))
    return out


@pytest.mark.parametrize(
    ("planted", "name"),
    [
        ({"shift": -30}, "brightness"),
        ({"shift": 0, "noise": 35}, "sharpness"),
        ({"shift": 0, "noise": 35}, "contrast"),
        ({"shift": 0, "colour": 30}, "redness"),
    ],
)
def test_what_is_planted_is_found_in_either_direction(planted: dict[str, int], name: str) -> None:
    assert of_samples(samples(**planted), 1)[name] == 1


def test_nothing_is_found_where_nothing_is_planted() -> None:
    found = of_samples(samples(0), 1)
    assert len(found) == 6 and all(0.5 <= value < 0.75 for value in found.values())
    assert "0.9" in text({"nut": found}) and "*" not in text({"nut": found}).split("nut")[1]


def test_the_size_of_files_counts_where_there_are_files(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from PIL import Image

    out = []
    for i, sample in enumerate(samples(0)):
        path = tmp_path / f"{i}.jpg"
        Image.fromarray(sample.image.pixels()).save(path, quality=95 if sample.label else 40)
        out.append(Sample(str(i), FileSource(path), sample.label))
    assert of_samples(out, 1)["file size"] == 1
    assert of_samples(out[::2], 1) == {}
