"""Export with proof: the graph is kept only if it gives the record's numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.console import PlainConsole
from benchmark.deploy.card import card
from benchmark.deploy.graph import ExportError, OnnxDetector, set_info, trace
from benchmark.deploy.judge import prepare
from benchmark.deploy.loaded import LoadedDetector
from benchmark.deploy.proof import Proof, Tested, prove, tested, timing
from benchmark.errors import StoreError
from benchmark.records.kept import file_digest

GRAPH, CARD, ABOUT = "detector.onnx", "card.md", "detector.json"
TOLERANCE = 1e-3
"""Scores and maps of a graph may differ from the record's by this share of their range over the test
images; the ranks of images that are further apart than twice that are the same."""
LARGEST = 1e-2
"""The tolerance where a detector itself gives other numbers to one image alone than to 16 together, by
more than ``TOLERANCE``: twice that, up to this. Such are maps with a power of a similarity near 0."""

MOST_BYTES = 1_900_000_000
"""Protocol buffers, which ONNX files are, end at 2 GiB."""


@dataclass(frozen=True)
class Exported:
    """An exported detector.

    Attributes:
        folder: with the graph, its JSON and its card.
        proof: the graph beside the record.
        tolerance: as a share of the range.
        torch_seconds: the same images in PyTorch, per image alone and together, just now.
    """

    folder: Path
    proof: Proof
    tolerance: float
    torch_seconds: tuple[float, float]

    def text(self) -> str:
        """Write it for people."""
        alone, together = (1000 * seconds for seconds in self.torch_seconds)
        return (
            f"{self.proof.text()}\n  PyTorch  {alone:.1f} ms alone, {together:.1f} ms per image in "
            f"batches of {self.proof.together}\nwithin the tolerance of {self.tolerance:.2g} of the range: "
            f"{self.folder}: {GRAPH}, {ABOUT}, {CARD}"
        )


def export(
    loaded: LoadedDetector,
    out: Path,
    console: PlainConsole,
    *,
    data_root: str | Path | None = None,
    plugin: Iterable[str | Path] = (),
    threads: int = 0,
) -> Exported:
    """Write a detector as an ONNX graph, run it on its record's test images, and compare.

    Args:
        loaded: on the processor.
        out: folder of the graph, its JSON and ``card.md``.
        console: shows progress.
        data_root, plugin: where the test images are.
        threads: of onnxruntime; 0 is all cores.

    Raises:
        ExportError: the method cannot be traced, or the graph is beyond the tolerance; nothing is
            left in ``out`` then.
        DataError, StoreError: the record or its test images are not found: no proof, no export.
    """
    kept = loaded.kept
    size = kept.info["cost"]["stored_bytes"] + kept.info["cost"]["backbone_bytes"]
    if size > MOST_BYTES:
        raise ExportError(
            f"{kept.title}: state and backbone take {size / 1e9:.1f} GB, and one ONNX file holds "
            f"{MOST_BYTES / 1e9:.1f}; use a smaller backbone, fewer channels or a smaller coreset"
        )
    given = tested(kept, data_root, plugin)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{out}: cannot be written ({error.strerror}); choose --out") from error
    path = out / f".{GRAPH}.part"
    try:
        console.say("tracing the graph")
        first = [prepare(s.image, kept.geometry, kept.size, s.id) for s in given.category.test[:2]]
        inputs = np.stack([p.input for p in first * (3 - len(first))][:2])
        batch = trace(loaded, inputs, path)
        console.say("running it on the test images")
        proof = prove(OnnxDetector(path, threads), given)
        tolerance, alone = _tolerance(loaded, given, proof, console)
        seconds = timing(loaded, given)
        found = {"tolerance": tolerance, "alone": alone, "torch_seconds": seconds}
        info: dict[str, Any] = {
            **kept.info,
            "proof": proof.as_json() | found,
            "graph": {"input": ["batch", *kept.size, 3], "batch": batch},
        }
        set_info(path, info)
        path.replace(out / GRAPH)
    finally:
        path.unlink(missing_ok=True)
    info["graph"]["sha256"] = file_digest(out / GRAPH)
    (out / ABOUT).write_text(json.dumps(info, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (out / CARD).write_text(card(kept, info, loaded, plugin), encoding="utf-8")
    return Exported(out, proof, tolerance, seconds)


def _tolerance(
    loaded: LoadedDetector, given: Tested, proof: Proof, console: PlainConsole
) -> tuple[float, float]:
    """Return the tolerance that a graph has kept, and how far the detector itself differs image by
    image, 0 where nobody had to ask. Raises ExportError for a graph beyond it."""
    if proof.worst <= TOLERANCE:
        return TOLERANCE, 0.0
    console.say("running the detector itself, image by image")
    alone = prove(loaded, given, 1).worst
    tolerance = min(LARGEST, max(TOLERANCE, 2 * alone))
    if proof.worst <= tolerance:
        return tolerance, alone
    raise ExportError(
        f"{loaded.kept.title}: the exported graph gives other numbers than the record, by more than "
        f"{tolerance:.2g} of their range (image by image the detector itself gives others, by up to "
        f"{alone:.2g}); nothing was exported\n{proof.text()}"
    )
