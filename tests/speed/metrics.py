"""How long the pixel metrics take, and how much memory, beside sorting and beside other packages.

Usage: python tests/speed/metrics.py [--case CASE] [--kind KIND] [--repeat N] [--no-slow] [--threads]

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
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float32]
Masks = NDArray[np.bool_]
Runner = Callable[[], Any]

CASES = {
    "42x256": (42, 256, 0.014),
    "160x256": (160, 256, 0.014),
    "160x256, 7 %": (160, 256, 0.07),
    "160x1024": (160, 1024, 0.014),
}


def workload(
    images: int, size: int, *, anomalous: float = 0.014, kind: str = "noise", seed: int = 0
) -> tuple[Maps, Masks]:
    """Maps (images, size, size) float32 and masks bool with about `anomalous` of them marked.

    Two thirds of the images carry one to four elliptic defects. "smooth" maps are what detectors
    make (coarse features, interpolated); "noise" maps draw each pixel by itself, which spoils every
    cache: the hardest case for a ranking.
    """
    rng = np.random.default_rng(seed)
    maps = np.empty((images, size, size), dtype=np.float32)
    masks = np.zeros((images, size, size), dtype=np.bool_)
    row, column = np.mgrid[:size, :size].astype(np.float32)
    for i in range(images):
        if i % 3:
            number = int(rng.integers(1, 5))
            # Shares of the image so that the mean over all images comes out as asked.
            area = 1.5 * anomalous * size * size * rng.dirichlet(np.full(number, 4.0))
            for pixels in area:
                aspect = rng.uniform(0.5, 2.0)
                high, wide = np.sqrt(pixels / np.pi * aspect), np.sqrt(pixels / np.pi / aspect)
                y, x = rng.uniform(0.1 * size, 0.9 * size, 2)
                masks[i] |= ((row - y) / high) ** 2 + ((column - x) / wide) ** 2 <= 1
        if kind == "noise":
            rng.standard_normal(out=maps[i], dtype=np.float32)
        else:
            maps[i] = _interpolate(rng.standard_normal((size // 8 + 1, size // 8 + 1)), size)
        maps[i] += np.float32(2.5) * masks[i]
    return maps, masks


def _interpolate(coarse: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Bilinear interpolation of a square grid to (size, size)."""
    place = np.linspace(0, len(coarse) - 1, size)
    low = np.minimum(place.astype(int), len(coarse) - 2)
    share = (place - low)[:, None]
    rows = coarse[low] * (1 - share) + coarse[low + 1] * share
    columns = rows[:, low] * (1 - share.T) + rows[:, low + 1] * share.T
    return np.asarray(columns)


def sort(maps: Maps, masks: Masks) -> Runner:
    return maps.reshape(-1).sort


def ours(**options: Any) -> Callable[[Maps, Masks], Runner]:
    def prepare(maps: Maps, masks: Masks) -> Runner:
        from benchmark.metrics import pixel_metrics

        return lambda: pixel_metrics(maps, masks, **options)

    return prepare


def with_spro(maps: Maps, masks: Masks) -> Runner:
    """All metrics of a cell whose defects are annotated one by one: here one per image."""
    from benchmark.data.masks import AnnotatedDefect
    from benchmark.metrics import pixel_metrics

    types = ["structural_anomalies", "logical_anomalies"] * len(maps)
    defects = [[AnnotatedDefect(k, int(k.sum()) // 2 + 1, "")] if k.any() else [] for k in masks]
    options: Any = {"types": types[: len(maps)], "defects": defects}
    return lambda: pixel_metrics(maps, masks, threads=1, threshold=1.0, **options)


def aupimo_alone(maps: Maps, masks: Masks) -> Runner:
    from benchmark.metrics.aupimo import aupimo_of_images, contributions

    marked = masks.any((1, 2))
    good = list(maps[~marked].reshape((~marked).sum(), -1))
    scores = [one[mask] for one, mask in zip(maps[marked], masks[marked], strict=True)]
    pixels = [len(one) for one in scores]

    def run() -> Any:
        return aupimo_of_images(contributions({maps[0].size: good}, len(good)), scores, pixels)

    return run


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
        vars(np)["trapz"] = np.trapezoid
    package: Any = import_module("adeval.mem_effic")
    return lambda: package.auroc_aupr_aupro(maps, masks.view(np.uint8))


def anomalib(maps: Maps, masks: Masks) -> Runner:
    import torch

    names = {"aupr": "_AUPR", "aupro": "_AUPRO", "auroc": "_AUROC"}
    metrics = [getattr(import_module(f"anomalib.metrics.{k}"), v) for k, v in names.items()]
    torch.set_num_threads(1)

    def run() -> None:
        for kind in metrics:
            metric = kind()
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
    measure: Any = import_module("skimage.measure")
    regions = [(m, *r.coords.T) for m, k in zip(maps, masks, strict=True)
               for r in measure.regionprops(measure.label(k))]  # fmt: skip
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
    "ours, all metrics of a cell": ours(variants=True, threads=1, threshold=1.0),
    "ours, and sPRO": with_spro,
    "ours, AUPIMO alone": aupimo_alone,
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
    if row.startswith("ours") and "without" not in row:
        # Loading numba and the compiled code, half a second once per process, is left out.
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


def two_threads(repeat: int) -> None:
    """Wall seconds of one thread over two, beside two sorts in turn and at once.

    The second line says what the machine had to give: below 1.9 it was busy with other things.
    """
    from concurrent.futures import ThreadPoolExecutor

    maps, masks = workload(160, 1024, kind="smooth")
    halves = maps.reshape(2, -1)[:, :4_000_000]

    def sorts(threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(np.sort, halves))

    rows: dict[str, Callable[[int], Any]] = {
        "ours": lambda threads: ours(variants=False, threads=threads)(maps, masks)(),
        "two sorts": sorts,
    }
    print(
        f"\n160x1024, one thread over two, wall, {repeat} rounds\n{'':16}{'median':>9}{'best':>9}"
    )
    for row, call in rows.items():
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for turn in range(repeat + 1):
            for threads in (1, 2):
                begin = time.perf_counter()
                call(threads)
                if turn:  # the first loads the compiled code
                    seconds[threads].append(time.perf_counter() - begin)
        median = statistics.median(seconds[1]) / statistics.median(seconds[2])
        print(f"{row:16}{median:9.2f}{min(seconds[1]) / min(seconds[2]):9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeat", type=int, default=5, help="rounds; the table shows medians")
    parser.add_argument("--case", choices=CASES, action="append", help="all by default")
    parser.add_argument(
        "--kind", choices=["noise", "smooth"], action="append", help="default: both"
    )
    parser.add_argument("--no-slow", action="store_true", help="leave out the slowest packages")
    parser.add_argument("--threads", action="store_true", help="only what a second thread gains")
    parser.add_argument("--one", nargs=3, metavar=("ROW", "CASE", "KIND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one)))
        return
    print(f"NumPy {np.__version__}, Python {sys.version.split()[0]}")
    if options.threads:
        two_threads(options.repeat)
        return
    rows = [row for row in ROWS if not (options.no_slow and row in SLOW)]
    for case in options.case or CASES:
        for kind in options.kind or ["noise", "smooth"]:
            table(case, kind, rows, options.repeat)


if __name__ == "__main__":
    main()
