"""Measure whether every method's kept detector is the one that was measured, and what export changes.

    python tests/speed/kept.py run DIR [--methods padim ...] [--data-root ~/data] [--weights-dir ~/weights]
    python tests/speed/kept.py check DIR [--methods padim ...] [--no-export] [the same]

The first fits every method in seconds, under the settings of its contract tests, and keeps it: on a drawn
category, or on bottle of the MVTec AD below ``--data-root``, with random or the given weights. The
second (another process; move the folder first) judges the test images again, in the run's batches and
one by one, exports every detector, and prints a line each.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import benchmark as ib
from benchmark.errors import BenchError
from benchmark.plugins.registry import Registry
from benchmark.records.kept import list_kept

SIDE = 64


def run(given: argparse.Namespace) -> None:
    """Fit and keep methods with the settings of their contract tests."""
    registry = Registry()
    names = given.methods or registry.names("method")
    settings = {}
    for name in names:
        cls, preset = registry.method(name)
        settings[name] = {k: v for k, v in cls.smoke.items() if k not in preset}
    real = {"weights_dir": given.weights_dir} if given.weights_dir else {"weights": "random"}
    results = ib.run(
        names,
        "mvtec" if given.data_root else "synthetic",
        categories=["bottle" if given.data_root else "washer"],
        data_root=given.data_root,
        image_size=SIDE,
        results=str(given.folder),
        keep=True,
        threads=1,
        set=settings,
        **real,
    )
    for cell in results.cells:
        print(cell.cell.method.name, cell.outcome, cell.message)


def check(given: argparse.Namespace) -> None:
    """Judge and export every kept detector below a folder."""
    for kept in list_kept([given.folder]):
        name = kept.key["method"]
        if given.methods and name not in given.methods:
            continue
        weights = given.weights_dir
        detector = ib.load_detector(kept.path, device="cpu", weights_dir=weights, threads=1)
        same, alone = (
            ib.prove(detector, batch_size=size, data_root=given.data_root) for size in (0, 1)
        )
        line = f"{name:24} equal {same.equal!s:5} alone {alone.worst:.1e}"
        if not given.no_export:
            try:
                place = given.folder / "onnx" / name
                made = ib.export(detector, place, data_root=given.data_root, threads=1)
            except BenchError as error:
                line += f"  {str(error)[:600]}"
            else:
                proof = made.proof
                line += (
                    f"  graph {proof.worst:.1e} (of {made.tolerance:.1e}), {proof.swapped[0]} of "
                    f"{proof.swapped[1]} pairs swapped, "
                    + " ".join(f"{1000 * s:.2f}" for s in (*proof.seconds, *made.torch_seconds))
                    + " ms (graph alone, together; PyTorch alone, together)"
                )
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["run", "check"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", nargs="+", default=[])
    parser.add_argument("--data-root")
    parser.add_argument("--weights-dir")
    parser.add_argument("--no-export", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    {"run": run, "check": check}[given.what](given)


if __name__ == "__main__":
    main()
