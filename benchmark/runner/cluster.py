"""``bench run --ray``: the categories of a run on several GPUs and machines, by Ray.

A task is a category with all its methods and seeds, since these share pixels and features. A worker
does what ``bench run`` does for it, claims included, and writes its own records; only what the
summary shows comes back. Ray places the tasks, and nothing is tried twice: what fails is a record,
and of a lost worker one category is left for the next run.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from benchmark import places
from benchmark.console import PlainConsole
from benchmark.data.stress import Stress
from benchmark.errors import SettingsError, sentence
from benchmark.plugins.registry import Registry
from benchmark.runner.config import RunConfig
from benchmark.runner.plan import Plan, prepare
from benchmark.runner.run import Result, results

T = TypeVar("T")
Told = tuple[list[tuple[str, str]], int, dict[str, Any]]
"""What a worker tells of a cell: lines for the console, the cell's place in the plan, its outcome."""
SHOWN = ("metrics", "undefined", "cost")


class Relay(PlainConsole):
    """A console of a worker, whose lines are shown where the run was started."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str]] = []

    def say(self, text: str) -> None:
        self.lines.append(("say", text))

    def done(self, text: str) -> None:
        self.lines.append(("done", text))

    def kept(self, text: str) -> None:
        self.lines.append(("kept", text))

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        yield from items


def execute(plan: Plan) -> list[Result]:
    """Run every cell that is not done on the workers of a cluster.

    Raises:
        SettingsError: Ray is missing or not to be reached, or has no room for a worker.
    """
    with _connected(plan.config.ray or "local") as ray:
        cpus, gpus = _share(plan.config, [n["Resources"] for n in ray.nodes() if n["Alive"]])
        task = ray.remote(work).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
        text = json.dumps(_sent(plan.config, cpus, "cuda" if gpus else "cpu"), sort_keys=True)
        left = {name: dict(enumerate(plan.cells(name))) for name in plan.categories}
        stress = plan.protocol.stress.as_json()
        tasks = {task.remote(text, plan.source, n, plan.began, stress): n for n in left}
        ended = []
        while tasks:
            (told, *_), _ = ray.wait(list(tasks), num_returns=1)
            cells = left[tasks[told]]
            try:
                lines, place, outcome = ray.get(next(told))
            except StopIteration:
                del tasks[told]
                continue
            except ray.exceptions.RayError as error:
                cause = getattr(error, "cause", None)  # what our own code raised in the worker
                why = (
                    f"not run ({sentence(cause)})" if cause else f"worker lost ({sentence(error)})"
                )
                for cell in cells.values():
                    ended.append(Result(cell, "failed", message=f"{why}; run the same again"))
                    plan.console.done(f"{cell.title}: FAILED: {why}")
                del tasks[told]
                continue
            for kind, line in lines:
                getattr(plan.console, kind)(line)
            ended.append(Result(cells.pop(place), **outcome))
        return sorted(ended, key=lambda result: plan.categories.index(result.cell.category))


def work(
    text: str, source: str, category: str, began: float, stress: Mapping[str, Any]
) -> Iterator[Told]:
    """Run a category in a worker.

    Args:
        text: the run's options as JSON.
        source, category: which data set and category.
        began: when the run did.
        stress: what makes the category harder.

    Yields:
        Per cell what the run shows of it.
    """
    plan, console = _plan(text, source)
    protocol = replace(plan.protocol, stress=Stress.from_json(stress))
    plan = replace(plan, categories=[category], began=began, protocol=protocol)
    order = {(id(m), s): (m, s) for m in plan.methods for s in plan.config.seeds}
    for result in results(plan):
        lines, console.lines = console.lines, []
        record = result.record and {name: result.record[name] for name in SHOWN}
        place = list(order).index((id(result.cell.method), result.cell.seed))
        outcome = {"outcome": result.outcome, "record": record, "message": result.message}
        yield lines, place, outcome


@lru_cache(maxsize=1)
def _plan(text: str, source: str) -> tuple[Plan, Relay]:
    """Prepare a run in a worker, once for all categories that it is given."""
    config, console = RunConfig.build(json.loads(text)), Relay()
    return prepare(config, Registry([Path(p) for p in config.plugin]), console, source), console


def _sent(config: RunConfig, cpus: int, device: str) -> dict[str, Any]:
    """Return the options as a worker, in another folder and environment, needs them."""
    found = {
        "data_root": places.data_root(config.data_root),
        "weights_dir": places.weights_dir(config.weights_dir),
        "assets_dir": places.assets_dir(config.assets_dir),
        "results": Path(config.results),
    }
    given = asdict(config) | {name: path and str(path.absolute()) for name, path in found.items()}
    given |= {"plugin": [str(Path(p).absolute()) for p in config.plugin]}
    given |= {"device": device, "threads": config.threads or cpus}
    given |= dict.fromkeys(("ray", "gpus_per_worker", "cpus_per_worker"))
    return {name: value for name, value in given.items() if value is not None}


def _share(config: RunConfig, machines: list[Mapping[str, float]]) -> tuple[int, float]:
    """Decide the cores and GPUs of a worker: as given, else a GPU with its share of the cores, or
    one core where there are no GPUs."""
    have = [m for m in machines if m.get("GPU", 0) > 0]
    gpus = config.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if have and config.device != "cpu" else 0.0
    cpus = config.cpus_per_worker
    if cpus is None:
        shares = [m.get("CPU", 0) * gpus / m["GPU"] for m in have] if gpus else []
        cpus = max(1, int(min(shares, default=1)))
    if not any(m.get("CPU", 0) >= cpus and m.get("GPU", 0) >= gpus for m in machines):
        there = "; ".join(f"{m.get('CPU', 0):g} cores, {m.get('GPU', 0):g} GPUs" for m in machines)
        raise SettingsError(
            f"no machine has the {cpus} cores and {gpus:g} GPUs of a worker (there are: {there}); "
            "see --cpus-per-worker and --gpus-per-worker"
        )
    return cpus, gpus


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Connect to Ray, or start it here for this run."""
    try:
        import ray
    except ImportError as error:
        raise SettingsError("--ray needs Ray; pip install 'iad-bench[ray]'") from error
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # no cluster there, or one that wants another token
        raise SettingsError(
            f"--ray {address}: {sentence(error)}; allowed are local, auto and HOST:PORT"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
