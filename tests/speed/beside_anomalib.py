"""Models of anomalib through our harness, beside anomalib's own numbers for the same fit.

    python tests/speed/beside_anomalib.py ~/data/mvtec ~/weights [--category bottle] [--seeds 0 1]

All normal training images, ResNet-18, 256 × 256 without a crop. Per model one fit by
``benchmark.methods.anomalib``, measured three times: by this project; by anomalib's engine, data
module and metrics on the raw scores (whose curves first pass scores outside of [0, 1] through a
sigmoid in float32, where high ones become ties); by the same with its default post-processor, which
scales them into [0, 1] by the test images. Below, our own PaDiM and PatchCore under the same geometry.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

import benchmark as ib
from benchmark.data.dataset import Category, content_key
from benchmark.data.loading import ImageSet
from benchmark.features.cache import FrozenFeatures
from benchmark.features.weights import WeightsFrom
from benchmark.methods.anomalib import Anomalib
from benchmark.methods.padim import Padim
from benchmark.methods.patchcore import Patchcore
from benchmark.plugins.registry import Registry

GEOMETRY = ib.Geometry(resize=(256, 256))
SHOWN = ("image_auroc", "pixel_auroc", "pro")


def images(samples: Any) -> ImageSet:
    """Decode samples to the geometry."""
    pixels = np.stack([GEOMETRY.image(sample.image.pixels()) for sample in samples])
    return ImageSet(pixels, [content_key(sample.image) for sample in samples])


def ours(detector: Any, category: Category, context: Any, test: ImageSet) -> list[Any]:
    """Score the test split and measure it with this project's metrics."""
    with torch.no_grad():
        found = [detector.predict(batch, context) for batch in test.batches(16)]
    scores = np.concatenate([out.scores.numpy() for out in found])
    maps = np.concatenate([out.maps.numpy() for out in found])
    masks = [
        np.zeros((256, 256), bool) if sample.mask is None else GEOMETRY.mask(sample.mask.mask())
        for sample in category.test
    ]
    metrics = ib.measure(scores, [sample.label for sample in category.test], maps, np.stack(masks))
    return [metrics[name] for name in SHOWN]


def theirs(fitted: Any, root: Path, category: str, processed: bool) -> list[Any]:
    """Measure a fitted model with anomalib's engine, data module and metrics."""
    import anomalib.models
    from anomalib.data import MVTecAD
    from anomalib.engine import Engine
    from anomalib.metrics import AUPRO, AUROC, Evaluator

    fields = {
        "image_": AUROC(fields=["pred_score", "gt_label"], prefix="image_"),
        "pixel_": AUROC(fields=["anomaly_map", "gt_mask"], prefix="pixel_"),
        "pro": AUPRO(fields=["anomaly_map", "gt_mask"], prefix="pixel_"),
    }
    model = getattr(anomalib.models, fitted.model)(
        backbone="resnet18",
        pre_trained=False,
        post_processor=processed,
        evaluator=Evaluator(test_metrics=list(fields.values())),
        visualizer=False,
    )
    model.load_state_dict(fitted.model_.state_dict(), strict=False)
    data = MVTecAD(root=root, category=category, num_workers=0, eval_batch_size=16)
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(
            default_root_dir=folder, logger=False, accelerator="cpu", enable_progress_bar=False
        )
        if processed:  # what a fit by the engine does after each pass: threshold, min and max
            engine.validate(model, datamodule=data, verbose=False)
        found = engine.test(model, datamodule=data, verbose=False)[0]
    return [found["image_AUROC"], found["pixel_AUROC"], found["pixel_AUPRO"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--models", nargs="+", default=["Padim", "Patchcore"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--coreset", type=float, default=0.01, help="share that PatchCore keeps")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    category = Registry().open_dataset("mvtec", given.root).category(given.category)
    train, test = images(category.train), images(category.test)
    features = FrozenFeatures(WeightsFrom(given.weights), torch.device("cpu"))
    rows = []

    def show(*row: Any) -> None:
        rows.append(row)
        print(*row, flush=True)

    def context(seed: int) -> Any:
        return ib.Context(features, GEOMETRY, (str(seed), "mvtec", given.category, "anomalib"))

    small = f"coreset_sampling_ratio={given.coreset}"
    for model in given.models:
        start = time.perf_counter()
        more = (small,) if model == "Patchcore" else ()
        detector = Anomalib(model=model, arguments=("backbone=resnet18", *more))
        detector.fit(train, context(0))
        title = f"anomalib {model}"
        show(title, "ours", *ours(detector, category, context(0), test))
        for how, processed in (("anomalib's, raw", False), ("anomalib's, default", True)):
            show(title, how, *theirs(detector, given.root, given.category, processed))
        print(f"{title}: {time.perf_counter() - start:.0f} s", flush=True)
    for seed in given.seeds:
        for detector in (
            Padim(backbone="resnet18"),
            Patchcore(backbone="resnet18", coreset=given.coreset),
        ):
            detector.fit(train, context(seed))
            title = f"our {detector.title}, seed {seed}"
            show(title, "ours", *ours(detector, category, context(seed), test))
    print(tabulate(rows, ["fit", "metrics", *SHOWN], floatfmt=".5f"))


if __name__ == "__main__":
    main()
