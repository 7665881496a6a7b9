"""Several processes on one results folder, and Ray: what they share out, wait for and lose.

    python tests/speed/sharing.py processes [--count 4]
    python tests/speed/sharing.py kills [--count 3] [--kills 20]
    python tests/speed/sharing.py ray [--side 96] [--train 60] [--seconds 5]

``processes`` starts N at once on twelve categories of a stand-in whose cells take 0.4 s whatever else
the machine does, and prints per process the cells it ran and the share of its time that it waited
while a category was to be had. ``kills`` kills one of them at random moments, starts another at once,
and checks that every record is whole, none is lost and no finished cell is run again. ``ray`` runs six
categories by three methods one after the other, then with two workers of Ray; compares the records;
then kills a worker in the middle and runs the same command again. With ``--seconds`` the methods are
stand-ins that take so long per cell, which shows what handing out costs on a machine that is busy.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import benchmark as ib
from benchmark.records import store

STAND_IN = '''
import time
from benchmark import Prediction, Detector
class StandIn{letter}(Detector):
    """Takes a fixed time."""
    def __init__(self, *, seconds: float = {seconds}):
        self.seconds = seconds
    def fit(self, train, context):
        time.sleep(self.seconds)
        self.fitted_ = True
        return self
    def predict(self, batch, context):
        return Prediction(batch.pixels.flatten(1).std(1))
'''
CHILD = """
import json, sys, time
import benchmark as ib
from benchmark.records import claims
from benchmark.runner import run
waits, real = [], run._wait
def wait(plan, left, known):
    left = list(left)
    free = [n for n in left if not claims.place(plan.folder, n).exists()]
    start = time.perf_counter()
    real(plan, left, known)
    waits.append((time.perf_counter() - start, len(free)))
run._wait = wait
start = time.perf_counter()
found = ib.run(**json.loads(sys.argv[1]))
wall = time.perf_counter() - start
print(json.dumps({
    "wall": wall, "waited": sum(s for s, _ in waits), "idle": sum(s for s, f in waits if f),
    "ran": [c.cell.title for c in found.cells if c.outcome == "ok"], "ok": found.ok,
}))
"""


def write_images(root: Path, categories: int, train: int, side: int) -> None:
    """MVTec-like categories of noisy stripes, with squares as defects."""
    for number in range(categories):
        rng = np.random.default_rng(number)
        folder = root / f"category_{number:02}"
        for part, count in (
            ("train/good", train),
            ("test/good", train // 5),
            ("test/x", train // 5),
        ):
            (folder / part).mkdir(parents=True)
            for i in range(count):
                x = np.linspace(0, 9, side)[None, :, None] + rng.uniform(0, 3)
                pixels = 120 + 40 * np.sin(x) + rng.normal(0, 12, (side, side, 3))
                if part == "test/x":
                    pixels[side // 3 : side // 2, side // 3 : side // 2] += 60
                    mask = np.zeros((side, side), np.uint8)
                    mask[side // 3 : side // 2, side // 3 : side // 2] = 255
                    truth = folder / "ground_truth/x" / f"{i:03}_mask.png"
                    truth.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(mask).save(truth)
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                image.save(folder / part / f"{i:03}.png")


def stand_in(work: Path, seeds: int) -> dict[str, Any]:
    """The options of a run of the stand-in on twelve small categories."""
    write_images(work / "data", 12, 10, 48)
    (work / "stand_in_a.py").write_text(STAND_IN.format(letter="A", seconds=0.4))
    return {
        "methods": ["stand_in_a"], "plugin": [str(work / "stand_in_a.py")], "dataset": "folder",
        "data_root": str(work / "data"), "seeds": list(range(seeds)), "results": str(work / "runs"),
    }  # fmt: skip


def start(options: dict[str, Any]) -> subprocess.Popen[str]:
    """Start a run in another process."""
    command = [sys.executable, "-c", CHILD, json.dumps(options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def whole(results: Path) -> dict[str, int]:
    """The finished records, each with the time it was written; all are whole."""
    out = {}
    for path in results.rglob("*-seed*.json"):
        record = json.loads(path.read_text())
        assert record["status"] == "ok", record
        store.Scores.read(path.parent, record["files"]["scores"])
        out[str(path)] = path.stat().st_mtime_ns
    return out


def processes(work: Path, count: int) -> None:
    """Start several at once, and print what each did."""
    options = stand_in(work, 3)
    running = [start(options) for _ in range(count)]
    told = [json.loads(p.communicate()[0].splitlines()[-1]) for p in running]
    for one in told:
        share = one["idle"] / one["wall"]
        print(
            f"ran {len(one['ran']):2} cells in {one['wall']:.1f} s; waited {one['waited']:.1f} s, "
            f"of these while a category was free {one['idle']:.1f} s ({share:.1%}); ok: {one['ok']}"
        )
    ran = [title for one in told for title in one["ran"]]
    print(f"{len(whole(work / 'runs'))} records; cells run {len(ran)}, different {len(set(ran))}")


def kills(work: Path, count: int, number: int) -> None:
    """Kill one of several at random moments and start another at once."""
    options = stand_in(work, 6)
    rng = random.Random(0)
    running = [start(options) for _ in range(count)]
    seen: dict[str, int] = {}
    kept = done = folders = 0
    while done < number:
        time.sleep(rng.uniform(0, 4))
        victim = rng.choice(running)
        alive = victim.poll() is None
        victim.send_signal(signal.SIGKILL)
        done += alive
        now = whole(work / "runs")
        assert all(now.get(path) == when for path, when in seen.items()), (
            "a finished cell was redone"
        )
        seen, kept = now, len(now)
        running[running.index(victim)] = start(options)  # at once: the dead one is not waited for
        victim.wait()
        if kept == 72:  # nothing left to disturb
            folders += 1
            for process in running:
                process.kill()
                process.wait()
            (work / "runs").rename(work / f"ended{folders}")
            seen = {}
            running = [start(options) for _ in range(count)]
    for process in running:
        process.communicate()
    now = whole(work / "runs")
    assert all(now.get(path) == when for path, when in seen.items()), "a finished cell was redone"
    rest = [p.name for p in (work / "runs").rglob("*") if p.suffix == ".part" or ".claim" in p.name]
    scores = len([*(work / "runs").rglob("*.npz")])
    print(f"{done} kills of {count} processes: {len(now)} of 72 records, {scores} score files, all "
          f"whole, none redone; left over: {rest or 'nothing'}; load {os.getloadavg()[0]:.1f}")  # fmt: skip


def stripped(results: Path) -> dict[str, Any]:
    """Records by path without costs, times and where they ran."""
    return {
        str(path.relative_to(results)): {
            k: v
            for k, v in json.loads(path.read_text()).items()
            if k not in ("cost", "environment")
        }
        for path in results.rglob("*-seed*.json")
    }


def ray(work: Path, train: int, side: int, seconds: float) -> None:
    """Compare a serial run with two workers, then lose one of them."""
    write_images(work / "data", 6, train, side)
    methods = ["padim", "spade", "patchcore_1"]
    command = [
        sys.executable, "-m", "benchmark", "run", "--methods", *methods, "--dataset", "folder",
        "--data-root", str(work / "data"), "--weights", "random", "--image-size", str(side),
        "--set", *(f"{m}.backbone=resnet18" for m in methods),
    ]  # fmt: skip
    if seconds:
        files = [work / f"stand_in_{letter}.py" for letter in "abc"]
        for file in files:
            letter = file.stem[-1].upper()
            file.write_text(STAND_IN.format(letter=letter, seconds=seconds))
        command[5:8] = [file.stem for file in files]
        command[command.index("--set") :] = ["--plugin", *map(str, files)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    spent = {}
    two = ["--ray", "local", "--cpus-per-worker", "1"]
    for name, more in (("serial", []), ("ray", two)):
        begin = time.perf_counter()
        there = [*command, *more, "--results", str(work / name)]
        subprocess.run(there, check=True, capture_output=True, env=environment)
        spent[name] = time.perf_counter() - begin
    same = stripped(work / "serial") == stripped(work / "ray")
    busy = {n: _work_seconds(work / n) for n in spent}
    print(
        f"6 categories x 3 methods, one thread: one process {spent['serial']:.1f} s, two workers "
        f"{spent['ray']:.1f} s, speed-up {spent['serial'] / spent['ray']:.2f}; in cells "
        f"{busy['serial']:.1f} s and {busy['ray']:.1f} s; records equal: {same}; load "
        f"{os.getloadavg()[0]:.1f}"
    )
    there = [*command, *two, "--results", str(work / "lost")]
    run = subprocess.Popen(there, stdout=subprocess.PIPE, text=True, env=environment)
    assert run.stdout is not None
    next(line for line in run.stdout if line.startswith("[2/"))
    claim = next((work / "lost").rglob(".*.claim"))
    os.kill(json.loads(claim.read_text())["process"], signal.SIGKILL)
    rest = run.stdout.read().splitlines()
    lost = [line for line in rest if line.startswith("failed:")]
    print(f"a worker killed in the middle: exit status {run.wait()}, {len(lost)} cells not run")
    print(*lost[:1], sep="\n")
    again = subprocess.run(there, capture_output=True, env=environment, check=False)
    same = stripped(work / "serial") == stripped(work / "lost")
    print(f"the same command again: exit status {again.returncode}; records equal: {same}")
    if again.returncode:
        print(again.stdout.decode()[-3000:], again.stderr.decode()[-3000:])


def _work_seconds(results: Path) -> float:
    frame = ib.load_results(results)
    return float(frame["wall_seconds"].sum())


def main() -> None:
    """Choose and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["processes", "kills", "ray"])
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--train", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.what == "processes":
            processes(Path(folder), given.count)
        elif given.what == "kills":
            kills(Path(folder), given.count, given.kills)
        else:
            ray(Path(folder), given.train, given.side, given.seconds)


if __name__ == "__main__":
    main()
