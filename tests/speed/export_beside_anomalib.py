"""Our exported PaDiM and PatchCore beside anomalib's exports of its own, in one process.

    python tests/speed/export_beside_anomalib.py ~/data/mvtec ~/weights [--category bottle]

All normal training images, ResNet-18, 256 × 256, PatchCore with 1 % of the patches. Ours are run and
kept by ``ib.run`` and exported by ``ib.export``; anomalib's are fitted by ``benchmark.methods.anomalib``
and exported by its own ``to_onnx``. Per export: the graph's scores against those of PyTorch over the
test images, and medians of the times of single images, graph and PyTorch in turn, threads as given.
Ours takes 8-bit pixels and returns maps of the images' size, anomalib's takes normalised floats.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tabulate import tabulate

import benchmark as ib
from benchmark.data.dataset import Sample, content_key
from benchmark.data.loading import ImageSet
from benchmark.deploy.export import GRAPH
from benchmark.deploy.graph import OnnxDetector
from benchmark.deploy.judge import Judge
from benchmark.features.cache import FrozenFeatures
from benchmark.features.weights import WeightsFrom
from benchmark.methods.anomalib import Anomalib
from benchmark.metrics import image_metrics
from benchmark.plugins.registry import Registry

GEOMETRY = ib.Geometry(resize=(256, 256))
Scores = npt.NDArray[Any]
Answers = Callable[[Scores], Scores]
TIMED = 24


def decoded(samples: Sequence[Sample]) -> Scores:
    """Decode samples to (N, 256, 256, 3), uint8."""
    return np.stack([GEOMETRY.image(sample.image.pixels()) for sample in samples])


def row(title: str, torch_: Answers, graph: Answers, pixels: Scores, labels: Scores) -> list[Any]:
    """Compare two judges of (B, H, W, 3) images and time them on single ones in turn."""
    alone = [pixels[i : i + 1] for i in range(len(pixels))]
    old, new = (np.concatenate([judge(one) for one in alone]) for judge in (torch_, graph))
    times: list[list[float]] = [[], []]
    for one in alone[:TIMED]:
        for judge, found in zip((torch_, graph), times, strict=True):
            start = time.perf_counter()
            judge(one)
            found.append(time.perf_counter() - start)
    order = np.sign(old[:, None] - old) * np.sign(new[:, None] - new)
    quality = [
        image_metrics(scores.astype(float), labels).values["image_auroc"] for scores in (old, new)
    ]
    gap = np.abs(old - new).max() / np.ptp(old)
    return [
        *(title, f"{gap:.1e}", int((order < 0).sum()) // 2, *quality),
        *(1000 * statistics.median(found) for found in times),
    ]


def ours(
    given: argparse.Namespace, folder: Path, pixels: Scores, labels: Scores
) -> list[list[Any]]:
    """Run, keep and export our two methods."""
    methods = ["padim", "patchcore_1"]
    results = ib.run(
        methods,
        "mvtec",
        categories=[given.category],
        data_root=str(given.root),
        weights_dir=str(given.weights),
        image_size=256,
        results=str(folder / "runs"),
        keep=True,
        maps=False,
        threads=given.threads,
        set={name: {"backbone": "resnet18"} for name in methods},
    )
    rows = []
    for cell in results.cells:
        assert cell.record is not None, cell.message
        name = cell.cell.method.name
        detector = ib.load_detector(
            cell.cell.path.record, device="cpu", weights_dir=given.weights, threads=given.threads
        )
        made = ib.export(detector, folder / name, data_root=str(given.root), threads=given.threads)
        onnx = OnnxDetector(made.folder / GRAPH, threads=given.threads)
        judges = (_scores(detector), _scores(onnx))
        rows.append(row(f"our {name}", *judges, pixels, labels))
    return rows


def _scores(judge: Judge) -> Answers:
    return lambda batch: judge.answer(batch, [str(i) for i in range(len(batch))]).scores


def theirs(
    given: argparse.Namespace, folder: Path, pixels: Scores, labels: Scores
) -> list[list[Any]]:
    """Fit and export anomalib's two models."""
    import anomalib.models
    import onnxruntime

    category = Registry().open_dataset("mvtec", given.root).category(given.category)
    train = ImageSet(decoded(category.train), [content_key(s.image) for s in category.train])
    features = FrozenFeatures(WeightsFrom(given.weights), torch.device("cpu"))
    context = ib.Context(features, GEOMETRY, ("0", "mvtec", given.category, "anomalib"))
    mean, sd = (np.array(v, np.float32) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    rows = []
    for name, more in (("Padim", ()), ("Patchcore", ("coreset_sampling_ratio=0.01",))):
        fitted = Anomalib(model=name, arguments=("backbone=resnet18", *more))
        fitted.fit(train, context)
        model = getattr(anomalib.models, name)(
            backbone="resnet18", pre_trained=False, pre_processor=False, post_processor=False,
            evaluator=False, visualizer=False,
        )  # fmt: skip
        model.load_state_dict(fitted.model_.state_dict(), strict=False)
        place = (
            folder / f"anomalib_{name}"
        )  # with a batch of any size, its graph takes two images alone
        file = model.eval().to_onnx(place, input_size=(256, 256), dynamic_shapes=None)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = given.threads
        session = onnxruntime.InferenceSession(str(file), options)
        entry = session.get_inputs()[0].name
        at = [out.name for out in session.get_outputs()].index("pred_score")

        def floats(batch: Scores) -> Scores:
            return np.ascontiguousarray(
                ((batch / np.float32(255) - mean) / sd).transpose(0, 3, 1, 2)
            )

        def eager(batch: Scores, module: Any = model.model) -> Scores:
            with torch.no_grad():
                found: Scores = (
                    module(torch.from_numpy(floats(batch))).pred_score.numpy().reshape(-1)
                )
            return found

        def graph(
            batch: Scores, run: Any = session.run, entry: str = entry, at: int = at
        ) -> Scores:
            found: Scores = run(None, {entry: floats(batch)})[at].reshape(-1)
            return found

        rows.append(row(f"anomalib's {name}", eager, graph, pixels, labels))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(given.threads)
    category = Registry().open_dataset("mvtec", given.root).category(given.category)
    pixels = decoded(category.test)
    labels = np.array([sample.label for sample in category.test], bool)
    with tempfile.TemporaryDirectory() as folder:
        rows = ours(given, Path(folder), pixels, labels) + theirs(
            given, Path(folder), pixels, labels
        )
    head = ["export", "gap of range", "pairs swapped", "AUROC", "graph's", "PyTorch ms", "graph ms"]
    align = ["left", *["right"] * 6]
    shown = [
        [r[0], r[1], r[2], *(f"{v:.4f}" for v in r[3:5]), *(f"{v:.1f}" for v in r[5:])]
        for r in rows
    ]
    print(tabulate(shown, head, colalign=align, disable_numparse=True))


if __name__ == "__main__":
    main()
