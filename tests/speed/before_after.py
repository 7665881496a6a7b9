"""What whole runs cost before a change and after it: wall and CPU seconds, peak memory, metrics.

    python tests/speed/before_after.py --before OTHER/.venv/bin/python --data-root DATA
        [--weights-dir WEIGHTS] [--categories bottle screw] [--methods padim spade stfpm]
        [--backbones resnet18 wide_resnet50_2] [--large 100] [--rounds 3] [--beside COMMAND]

``--before`` is the interpreter of another checkout in which this package is installed. Every run is a
process of its own, before and after in turn; each figure is the median of the rounds. Backbones
without a file in ``--weights-dir`` get random weights. ``--large N`` adds a made category of N training
images of 1024 × 1024 pixels. ``--beside`` times any other command in the same way, for instance
another library's PaDiM on the same images. Memory is also given above that
of importing timm and torchvision alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

METRICS = ("image_auroc", "pixel_auroc", "pro")
SETTINGS = {"stfpm": ("stfpm.epochs=5",)}
IMPORTS = "import timm, torchvision"


class Cost(NamedTuple):
    """Of one process: seconds on the wall and of processors, peak resident bytes."""

    wall: float
    cpu: float
    peak: int


def timed(command: Sequence[str]) -> Cost:
    """Run a command to its end. Raises CalledProcessError with what it said."""
    with tempfile.TemporaryFile("w+") as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, said.read())
    kilo = 1 if sys.platform == "darwin" else 1024
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * kilo)


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    walls, cpus, peaks = zip(*costs, strict=True)
    return Cost(statistics.median(walls), statistics.median(cpus), statistics.median_high(peaks))


def run_command(
    python: str, given: argparse.Namespace, method: str, backbone: str, data: str, folder: Path
) -> list[str]:
    """The command of one cell; ``data`` is a category of MVTec AD or the folder of a made one."""
    weights = Path(given.weights_dir or "")
    found = given.weights_dir and any(weights.glob(f"{backbone}.*"))
    made = Path(data).is_dir()
    return [
        *(str(Path(python).with_name("bench")), "run"),
        *("--methods", method, "--results", str(folder)),
        *("--dataset", "folder" if made else "mvtec"),
        *("--data-root", data if made else given.data_root),
        *([] if made else ["--categories", data]),
        *(["--weights-dir", str(weights)] if found else ["--weights", "random"]),
        *("--set", f"{method}.backbone={backbone}", *SETTINGS.get(method, ())),
    ]


def recorded(folder: Path) -> tuple[list[float], int]:
    """Metrics and peak bytes of the one record below a folder.

    A run resets the system's count of its peak when a cell begins, and the system may forget an
    earlier one: the larger of both counts is the peak.
    """
    (file,) = (p for p in folder.rglob("*-seed0.json"))
    record = json.loads(file.read_text())
    found = [record["metrics"][name] for name in METRICS]
    return [value for value in found if value is not None], record["cost"]["peak_bytes"] or 0


def compared(
    given: argparse.Namespace, method: str, backbone: str, data: str, imports: Sequence[int]
) -> list[object]:
    """One row of the table."""
    costs: list[list[Cost]] = [[], []]
    values: list[list[float]] = []
    for _ in range(given.rounds):
        for side, python in enumerate((given.before, sys.executable)):
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder)
                cost = timed(run_command(python, given, method, backbone, data, place))
                found, peak = recorded(place)
                costs[side].append(cost._replace(peak=max(cost.peak, peak)))
                values.append(found)
    gap = max(abs(a - b) for found in values[1:] for a, b in zip(values[0], found, strict=True))
    old, new = map(median, costs)
    above = [cost.peak - base for cost, base in zip((old, new), imports, strict=True)]
    return [
        *(method, backbone, Path(data).name),
        *(old.wall, new.wall, new.wall / old.wall, old.cpu, new.cpu, new.cpu / old.cpu),
        *(old.peak / 1e9, new.peak / 1e9, above[0] / 1e9, above[1] / 1e9, above[1] / above[0]),
        f"{gap:.1e}",
    ]


def main() -> None:
    """Measure and print, row by row as they come and all together at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", required=True)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--weights-dir")
    parser.add_argument("--categories", nargs="*", default=["bottle"])
    parser.add_argument("--methods", nargs="+", default=["padim", "spade", "stfpm"])
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "wide_resnet50_2"])
    parser.add_argument("--large", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside")
    given = parser.parse_args()
    pythons = (given.before, sys.executable)
    imports = [median([timed([python, "-c", IMPORTS])]).peak for python in pythons]
    print(f"imports alone: {imports[0] / 1e9:.2f} GB before, {imports[1] / 1e9:.2f} GB after")
    head = ["method", "backbone", "category", "wall s", "after", "ratio", "CPU s", "after", "ratio"]
    head += ["peak GB", "after", "above imports", "after", "ratio", "largest gap"]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = list(given.categories)
        if given.large:
            script = Path(__file__).with_name("make_category.py")
            more = ["--train", str(given.large), "--good", "20", "--bad", "20"]
            subprocess.run([sys.executable, str(script), f"{folder}/large", *more], check=True)
            data.append(f"{folder}/large")
        for backbone in given.backbones:
            for method in given.methods:
                for place in data:
                    rows.append(compared(given, method, backbone, place, imports))
                    print(*rows[-1], flush=True)
    print(tabulate(rows, head, floatfmt=".2f"))
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    if given.beside:
        cost = median([timed(shlex.split(given.beside)) for _ in range(given.rounds)])
        print(f"{given.beside}: {cost.wall:.1f} s, {cost.cpu:.1f} CPU s, {cost.peak / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
