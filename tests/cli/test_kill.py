"""``kill -9`` at any moment: what exists is whole, and resuming ends where an undisturbed run does.

``BENCH_KILLS=30`` repeats it as often; the default keeps the test short.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmark.records import store

KILLS = int(os.environ.get("BENCH_KILLS", "3"))
PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "mean_colour.py"


def command(toy: Path, results: Path) -> list[str]:
    """12 cells: two categories, six seeds."""
    seeds = [str(seed) for seed in range(6)]
    return [
        sys.executable, "-m", "benchmark", "run", "--methods", "mean_colour", "--plugin",
        str(PLUGIN), "--dataset", "folder", "--data-root", str(toy), "--results", str(results),
        "--seeds", *seeds,
    ]  # fmt: skip


def stripped(results: Path) -> dict[str, object]:
    """Record by path, without costs, times and where it ran."""
    out: dict[str, object] = {}
    for path in results.rglob("*-seed*.json"):
        record = json.loads(path.read_text())
        out[str(path.relative_to(results))] = {
            k: v for k, v in record.items() if k not in ("cost", "environment")
        }
    return out


def check_whole(results: Path) -> int:
    """Every record parses, and every score file it cites is there with the digest cited."""
    count = 0
    for path in results.rglob("*-seed*.json"):
        record = json.loads(path.read_text())
        assert record["status"] == "ok"
        store.Scores.read(path.parent, record["files"]["scores"])
        maps = store.read_maps(path.parent, record["files"]["maps"])
        assert np.isfinite(maps).all()
        count += 1
    return count


def test_kills_never_leave_half_a_record(toy: Path, tmp_path: Path) -> None:
    start = time.perf_counter()
    undisturbed = tmp_path / "undisturbed"
    subprocess.run(command(toy, undisturbed), check=True, capture_output=True)
    whole_run = time.perf_counter() - start
    rng = random.Random(0)
    killed_early = 0
    results = tmp_path / "killed"
    for i in range(KILLS):
        process = subprocess.Popen(
            command(toy, results), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # half of the kills fall into the time after start-up, where the writing happens
        time.sleep(rng.uniform(0.5 if i % 2 else 0.0, 1.0) * whole_run)
        killed_early += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = check_whole(results) if results.exists() else 0
        if done == 12:  # nothing left to disturb: begin again in a new folder
            assert stripped(results) == stripped(undisturbed)
            results = tmp_path / f"killed-{i}"
    assert killed_early
    subprocess.run(command(toy, results), check=True, capture_output=True)
    assert check_whole(results) == 12
    assert stripped(results) == stripped(undisturbed)
    assert not [*results.rglob("*.part")]
    assert len([*results.rglob("*.npz")]) == 12
