"""Write an MVTec-like category of large images: 391 train, 40 good and 70 defective test images.

python tests/speed/make_category.py FOLDER [--side 1024] [--train 391] [--good 40] [--bad 70]
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image


def write_image(path: Path, side: int, seed: int, defective: bool) -> None:
    """A smooth coloured surface with noise; a defective one gets a disc, and a mask beside it."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(60, 200, (8, 8, 3)).astype(np.uint8)
    surface = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
    noise = rng.integers(-8, 9, (side, side, 1), np.int16)
    pixels = (surface.astype(np.int16) + noise).clip(0, 255).astype(np.uint8)
    if defective:
        y, x = np.ogrid[:side, :side]
        centre, radius = rng.integers(side // 5, 4 * side // 5, 2), rng.integers(10, side // 10)
        disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
        pixels[disc] = rng.integers(0, 256, 3)
        mask = path.parents[2] / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(disc.astype(np.uint8) * 255).save(mask)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def main() -> None:
    """Write the category."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--train", type=int, default=391)
    parser.add_argument("--good", type=int, default=40)
    parser.add_argument("--bad", type=int, default=70)
    given = parser.parse_args()
    parts = [("train/good", given.train), ("test/good", given.good), ("test/disc", given.bad)]
    jobs = [
        (given.folder / part / f"{i:03}.png", given.side, 1000 * k + i, part == "test/disc")
        for k, (part, count) in enumerate(parts)
        for i in range(count)
    ]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda job: write_image(*job), jobs))


if __name__ == "__main__":
    main()
