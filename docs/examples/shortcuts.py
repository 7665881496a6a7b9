"""Can a category be solved without looking at defects?

``python docs/examples/shortcuts.py mvtec ~/data/mvtec`` prints how well the mean
brightness of an image alone separates good from defective test images, and how bright the good images
of both splits are: image AUROCs near 0 or 1 are a property of the data.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmark import Sample
from benchmark.metrics import image_metrics
from benchmark.plugins.registry import Registry


def brightness(samples: Sequence[Sample]) -> np.ndarray:
    """Mean of all pixels, 0 to 255: (N,)."""
    return np.array([sample.image.pixels().mean() for sample in samples])


def main(name: str, root: Path) -> None:
    dataset = Registry().dataset(name)(root)
    print(f"{'category':12}{'AUROC':>7}{'train good':>12}{'test good':>12}{'defective':>12}")
    for title in dataset.categories():
        category = dataset.category(title)
        train, test = brightness(category.train), brightness(category.test)
        bad = np.array([sample.label for sample in category.test], bool)
        auroc = image_metrics(test, bad).image_auroc
        means = (part.mean() for part in (train, test[~bad], test[bad]))
        print(f"{title:12}{auroc:7.3f}" + "".join(f"{mean:12.1f}" for mean in means))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
