"""By how much each method keeps the contract's promise that an obvious defect scores higher.

    python tests/speed/contract_margins.py [--seeds 10] [--methods padim spade]

Fits every method, presets included, under its smoke settings with each seed, which draws the images
and whatever the method draws. Prints per method the CPU seconds of a fit and three margins, each as
its lowest value and as its mean over its standard deviation over the seeds:

- scores: mean score with a spot minus mean score without,
- separation: the lowest score with a spot minus the highest without,
- maps: mean of the map on the spot minus that away from it.

A margin is a share of the larger of its two numbers (.5: half as much without the spot), since many
methods' scores have another unit after each training; last comes the ratio in the score's own unit.

A check that passes by a hair on this machine fails on another: the lowest separation and the lowest
map margin must be well above zero.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from tabulate import tabulate

from benchmark.plugins.contract import DetectorChecks, Obvious
from benchmark.plugins.registry import Registry


def margins(found: Obvious) -> dict[str, tuple[float, float]]:
    """Margins of one fit, by name: as a share of the larger number, and in the score's own unit."""
    pairs = {
        "scores": (found.odd.mean(), found.normal.mean()),
        "separation": (found.odd.min(), found.normal.max()),
    }
    if found.on is not None and found.off is not None:
        pairs["maps"] = (found.on.mean(), found.off.mean())
    own = {name: (float(odd), float(normal)) for name, (odd, normal) in pairs.items()}
    return {n: ((a - b) / max(abs(a), abs(b)), a - b) for n, (a, b) in own.items()}


def deviations(values: Sequence[float]) -> float:
    """How many standard deviations lie between their mean and zero."""
    return statistics.mean(values) / max(statistics.stdev(values), 1e-12)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--seeds", type=int, default=10, metavar="N")
    options.add_argument("--methods", nargs="+", metavar="NAME")
    given = options.parse_args()
    torch.set_num_threads(1)
    registry = Registry()
    rows = []
    for name in given.methods or registry.names("method"):
        cls, preset = registry.method(name)
        seconds, found = [], []
        for seed in range(given.seeds):
            checks = DetectorChecks(cls, preset, seed=seed)
            start = time.process_time()
            checks.fitted()
            seconds.append(time.process_time() - start)
            found.append(margins(checks.obvious()))
        row = [name, f"{statistics.median(seconds):.1f}"]
        for margin in found[0]:
            shares, own = zip(*(one[margin] for one in found), strict=True)
            row.append(f"{min(shares):.3f}, {deviations(shares):.1f} sd ({deviations(own):.1f})")
        rows.append(row)
        print(" ".join(row), flush=True)
    head = ["method", "fit s", "scores", "separation", "maps"]
    print(tabulate(rows, head, tablefmt="github"))


if __name__ == "__main__":
    main()
