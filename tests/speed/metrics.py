"""How long the pixel metrics take, and how much memory, beside sorting and beside other packages.

Usage: python tests/speed/metrics.py [--quick] [--repeat N] [--only SIZE] [--no-slow]

Each measurement is a process of its own, one after another, and the rounds take turns, so that a
busy machine troubles all alike; the table shows medians of CPU seconds and their ratio to one
in-place `np.sort` of the same scores in the same run. Other packages are measured where they can
be imported, otherwise the table says so:

    python -m venv peers && peers/bin/pip install -e . adeval anomalib && peers/bin/python ...

"usual AUPRO" is the common way, written here: thresholds swept in steps, overlaps per region. The
figures of the packages cover AUROC, AP and PRO, ours also F1-max and IoU-max.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))

from metrics_workload import workload

Maps = NDArray[np.float32]
Masks = NDArray[np.bool_]
Runner = Callable[[], Any]

CASES = {
    "42x256": (42, 256, 0.014),
    "160x256": (160, 256, 0.014),
    "160x256, 7 %": (160, 256, 0.07),
    "160x1024": (160, 1024, 0.014),
}


def sort(maps: Maps, masks: Masks) -> Runner:
    return maps.reshape(-1).sort


def ours(**options: Any) -> Callable[[Maps, Masks], Runner]:
    def prepare(maps: Maps, masks: Masks) -> Runner:
        from benchmark.metrics import pixel_metrics

        return lambda: pixel_metrics(maps, masks, **options)

    return prepare


def without_kernel(maps: Maps, masks: Masks) -> Runner:
    from benchmark.metrics import ranking

    ranking.KERNEL_FROM = ranking.KERNEL_ONCE_LOADED_FROM = sys.maxsize
    return ours(variants=False, threads=1, overwrite=False)(maps, masks)


def without_kernel_in_place(maps: Maps, masks: Masks) -> Runner:
    from benchmark.metrics import ranking

    ranking.KERNEL_FROM = ranking.KERNEL_ONCE_LOADED_FROM = sys.maxsize
    return ours(variants=False, threads=1, overwrite=True)(maps, masks)


def streamed(maps: Maps, masks: Masks) -> Runner:
    from benchmark.metrics import PixelMeter

    def run() -> Any:
        meter = PixelMeter(variants=False, threads=1, memory_limit=64 << 20)
        for one, mask in zip(maps, masks, strict=True):
            meter.add(one, mask)
        return meter.result()

    return run


def adeval(maps: Maps, masks: Masks) -> Runner:
    if not hasattr(np, "trapz"):  # adeval still calls it by the name NumPy 2.4 removed
        np.trapz = np.trapezoid  # type: ignore[attr-defined]
    from adeval import mem_effic  # type: ignore[import-not-found]

    return lambda: mem_effic.auroc_aupr_aupro(maps, masks.view(np.uint8))


def anomalib(maps: Maps, masks: Masks) -> Runner:
    import torch
    from anomalib.metrics.aupr import _AUPR  # type: ignore[import-not-found]
    from anomalib.metrics.aupro import _AUPRO  # type: ignore[import-not-found]
    from anomalib.metrics.auroc import _AUROC  # type: ignore[import-not-found]

    torch.set_num_threads(1)

    def run() -> None:
        for metric in (_AUROC(), _AUPR(), _AUPRO()):
            metric.update(torch.from_numpy(maps), torch.from_numpy(masks).int())
            metric.compute()

    return run


def scikit_learn(maps: Maps, masks: Masks) -> Runner:
    from sklearn.metrics import average_precision_score, roc_auc_score

    def run() -> None:
        roc_auc_score(masks.ravel(), maps.ravel())
        average_precision_score(masks.ravel(), maps.ravel())
        usual_aupro(maps, masks)

    return run


def usual_aupro(maps: Maps, masks: Masks, steps: int = 200, limit: float = 0.3) -> float:
    """PRO as most repositories compute it: `steps` thresholds, all regions at each."""
    from skimage.measure import label, regionprops

    regions = [(m, *r.coords.T) for m, k in zip(maps, masks, strict=True)
               for r in regionprops(label(k))]  # fmt: skip
    normal = ~masks
    rates, overlaps = [], []
    for threshold in np.linspace(maps.min(), maps.max(), steps, endpoint=False):
        called = maps > threshold
        overlaps.append(
            np.mean([np.mean(m[rows, columns] > threshold) for m, rows, columns in regions])
        )
        rates.append(np.logical_and(normal, called).sum() / normal.sum())
    rate, overlap = np.array(rates)[::-1], np.array(overlaps)[::-1]
    kept = rate < limit
    area = np.sum(np.diff(rate[kept]) * (overlap[kept][1:] + overlap[kept][:-1])) / 2
    return float(area / rate[kept].max())


ROWS: dict[str, Callable[[Maps, Masks], Runner]] = {
    "np.sort in place": sort,
    "ours": ours(variants=False, threads=1),
    "ours, overwrite": ours(variants=False, threads=1, overwrite=True),
    "ours, two threads": ours(variants=False, threads=2),
    "ours, with variants": ours(variants=True, threads=1),
    "ours, streamed, 64 MB": streamed,
    "ours without numba": without_kernel,
    "ours without numba, overwrite": without_kernel_in_place,
    "adeval (approximate)": adeval,
    "scikit-learn + usual AUPRO": scikit_learn,
    "anomalib": anomalib,
}
SLOW = ("scikit-learn + usual AUPRO", "anomalib")


def measure(row: str, case: str, kind: str) -> dict[str, float | str]:
    """CPU and wall seconds and extra memory of one call, in this process."""
    images, size, share = CASES[case]
    small, marks = workload(8, 128, anomalous=0.1, kind=kind)
    try:
        ROWS[row](small, marks)()  # imports, compiled code, thread pools
    except ImportError as error:
        return {"missing": str(error)}
    maps, masks = workload(images, size, anomalous=share, kind=kind)
    if maps.size >= 1 << 22 and row.startswith("ours") and "without" not in row:
        # Loading the compiled code is no part of the measurement: once per process.
        large, marks = workload(65, 256, kind=kind)
        ROWS[row](large, marks)()
    run = ROWS[row](maps, masks)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"cpu": cpu, "wall": wall, "memory": (after - before) / 1024}


def in_process(row: str, case: str, kind: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", row, case, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"missing": done.stderr.strip().splitlines()[-1][:90]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def table(case: str, kind: str, rows: list[str], repeat: int) -> None:
    found: dict[str, list[dict[str, Any]]] = {row: [] for row in rows}
    for turn in range(repeat):
        for row in rows:
            if turn and (row in SLOW or "missing" in found[row][0]):
                continue  # forty times the others: once is enough
            found[row].append(in_process(row, case, kind))
    print(f"\n{case}, {kind} maps, median of {repeat}")
    print(f"{'':32}{'CPU s':>9}{'wall s':>9}{'x sort':>9}{'extra MB':>10}")
    sorting = statistics.median(one["cpu"] for one in found["np.sort in place"])
    for row, runs in found.items():
        if "missing" in runs[0]:
            print(f"{row:32}  not measured: {runs[0]['missing']}")
            continue
        cpu, wall, memory = (
            statistics.median(run[name] for run in runs) for name in ("cpu", "wall", "memory")
        )
        print(f"{row:32}{cpu:9.3f}{wall:9.3f}{cpu / sorting:9.2f}{memory:10.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeat", type=int, default=5, help="rounds; the table shows medians")
    parser.add_argument("--case", choices=CASES, action="append", help="all by default")
    parser.add_argument(
        "--kind", choices=["noise", "smooth"], action="append", help="default: both"
    )
    parser.add_argument("--no-slow", action="store_true", help="leave out the slowest packages")
    parser.add_argument("--one", nargs=3, metavar=("ROW", "CASE", "KIND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one)))
        return
    print(f"NumPy {np.__version__}, Python {sys.version.split()[0]}")
    rows = [row for row in ROWS if not (options.no_slow and row in SLOW)]
    for case in options.case or CASES:
        for kind in options.kind or ["noise", "smooth"]:
            table(case, kind, rows, options.repeat)


if __name__ == "__main__":
    main()
