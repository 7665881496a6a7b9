"""What every method costs at its own settings, in one table: from a dry run, so in minutes.

    python tests/speed/costs.py [--methods padim ...] [--data-root DATA --category bottle]

Each method keeps its paper's schedule, size and width; a ResNet-18 stands in for larger networks, and
what is built from photographs is untrained: neither weights nor images change the time (but random
weights have few principal components, so that heads behind them keep less). Frozen methods and
schedules are extended from a few timed steps (``bench run --dry-run``). Without a data root the
category is one of the built-in data set, at the papers' size. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import benchmark as ib
from benchmark import machine
from benchmark.plugins.registry import Registry

LEFT_OUT = "anomalib"
"""These need the extra, and cost what that library costs."""
FITTING: dict[str, dict[str, Any]] = {
    "anomaly_dino": {"layers": (3,)},
    "gaussian_ad": {"layers": (1, 2, 3)},
    "mkd": {"layers": (1, 2, 3, 4)},
    "mkd_one_class": {"layers": (1, 2, 3, 4)},
    "rad": {"layers": (2, 3), "descriptor": 3},
    "subspace_ad": {"layers": (2, 3), "combine": "concat"},
    "uninformed_students": {"stride": 4},
}
"""What suits the stand-in's layers; and a stride, without which one step needs tens of gigabytes."""


def stands_in(name: str, registry: Registry) -> dict[str, Any]:
    """Return the settings that let a method run without large networks and without assets."""
    cls, preset = registry.method(name)
    given = {k: v for k, v in cls.smoke.items() if isinstance(v, str) and k not in preset}
    given.pop("combine", None)
    return given | FITTING.get(name, {})


def main() -> None:
    """Rehearse all methods and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--methods", nargs="+", metavar="NAME")
    parser.add_argument("--data-root", metavar="DIR", help="with mvtec/ in it")
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--threads", type=int, default=None)
    given = parser.parse_args()
    registry = Registry()
    names = given.methods or [
        n for n in registry.names("method") if n.partition("_")[0] != LEFT_OUT
    ]
    with tempfile.TemporaryDirectory() as folder:
        ib.dry_run(
            names,
            "mvtec" if given.data_root else "synthetic",
            categories=[given.category if given.data_root else "washer"],
            data_root=given.data_root,
            protocol="paper",
            weights="random",
            threads=given.threads,
            results=folder,
            set={name: found for name in names if (found := stands_in(name, registry))},
        )
    print(f"{machine.device_name(machine.choose_device('auto'))}, {given.threads or 'all'} threads")


if __name__ == "__main__":
    main()
