"""The commands that use a kept detector: predict, export."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

import benchmark as ib
from benchmark.errors import SettingsError

if TYPE_CHECKING:
    from benchmark.deploy.judge import Judge
    from benchmark.deploy.loaded import LoadedDetector


def predict(given: Namespace) -> int:
    """Judge images, or the record's test images again."""
    if (given.detector is None) == (given.onnx is None):
        raise SettingsError(
            "predict: name one detector, with --detector (kept by bench run --keep) or --onnx "
            "(written by bench export)"
        )
    if given.batch_size < 0:
        raise SettingsError(f"--batch-size {given.batch_size}: allowed are 1 and more")
    if given.prove:
        return _check(given)
    if not given.images or not given.out:
        raise SettingsError(
            "predict: name images or folders of them, and --out DIR for the verdicts"
        )
    from benchmark.deploy.predict import summary

    judge = _judge(given)
    outcome = ib.predict(
        judge,
        given.images,
        given.out,
        maps=given.maps,
        pictures=not given.no_pictures,
        batch_size=given.batch_size,
        force=given.force,
    )
    print(summary(outcome, judge))
    return 1 if outcome.failed else 0


def export(given: Namespace) -> int:
    """Write a kept detector as an ONNX graph."""
    options = {"data_root": given.data_root, "plugin": given.plugin, "threads": given.threads}
    print(ib.export(_loaded(given, "cpu"), given.out, **options).text())
    return 0


def _check(given: Namespace) -> int:
    if given.detector is None or given.images:
        raise SettingsError(
            "predict --check: give --detector, and no images: it takes the record's"
        )
    judge = _judge(given)
    proof = ib.prove(
        judge, data_root=given.data_root, plugin=given.plugin, batch_size=given.batch_size
    )
    print(f"{judge.kept.title}\n{proof.text()}\n{judge.closeness()}")
    return 0


def _judge(given: Namespace) -> Judge:
    if given.onnx is not None:
        return ib.load_onnx(given.onnx, threads=given.threads)
    return _loaded(given, given.device)


def _loaded(given: Namespace, device: str) -> LoadedDetector:
    return ib.load_detector(
        given.detector,
        dataset=given.dataset,
        category=given.category,
        seed=given.seed,
        results=given.results,
        device=device,
        weights_dir=given.weights_dir,
        plugin=given.plugin,
        threads=given.threads,
    )
