"""Measure whether every method's kept detector is the one that was measured, and what export changes.

``python tests/speed/kept.py run DIR`` fits every method in seconds on a drawn category and keeps it;
``python tests/speed/kept.py check DIR`` (another process; move the folder first) judges the test
images again, in the run's batches and in others, exports every detector, and prints a line each.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import benchmark as ib
from benchmark.deploy.export import TOLERANCE
from benchmark.errors import BenchError
from benchmark.plugins.registry import Registry
from benchmark.records.kept import list_kept

CATEGORY, SIDE = "washer", 64


def run(folder: Path, methods: list[str]) -> None:
    """Fit and keep methods with the settings of their contract tests."""
    registry = Registry()
    names = methods or registry.names("method")
    settings = {}
    for name in names:
        cls, preset = registry.method(name)
        settings[name] = {k: v for k, v in cls.smoke.items() if k not in preset}
    results = ib.run(
        names,
        "synthetic",
        categories=[CATEGORY],
        image_size=SIDE,
        weights="random",
        results=str(folder),
        keep=True,
        threads=1,
        set=settings,
    )
    for cell in results.cells:
        print(cell.cell.method.name, cell.outcome, cell.message)


def check(folder: Path, methods: list[str], exports: bool) -> None:
    """Judge and export every kept detector below a folder."""
    for kept in list_kept([folder]):
        if methods and kept.key["method"] not in methods:
            continue
        detector = ib.load_detector(kept.path, device="cpu", threads=1)
        same, alone = (ib.prove(detector, batch_size=size) for size in (0, 1))
        line = f"{kept.key['method']:24} equal {same.equal!s:5} alone {alone.worst:.1e}"
        if exports:
            try:
                made = ib.export(detector, folder / "onnx" / kept.key["method"], threads=1)
            except BenchError as error:
                line += f"  {str(error).splitlines()[0][:400]}"
            else:
                proof = made.proof
                line += (
                    f"  graph {proof.worst:.1e} (of {TOLERANCE:g}), {proof.swapped[0]} of "
                    f"{proof.swapped[1]} pairs swapped, "
                    + " ".join(f"{1000 * s:.2f}" for s in (*proof.seconds, *made.torch_seconds))
                    + " ms (graph alone, together; PyTorch alone, together)"
                )
        print(line, flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    what, where, *chosen = sys.argv[1:]
    if what == "run":
        run(Path(where), chosen)
    else:
        check(Path(where), [c for c in chosen if c != "--no-export"], "--no-export" not in chosen)
