"""``bench run --dry-run``: what there is to do, and how long it will take, from a few timed steps."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from tabulate import tabulate

from benchmark.console import duration
from benchmark.data.dataset import Category
from benchmark.data.loading import ImageSet, Keys, decode_category
from benchmark.detector.context import Checkpoint, Context
from benchmark.errors import BenchError
from benchmark.records.store import read
from benchmark.run.cell import Cell
from benchmark.run.protocol import divide
from benchmark.run.runner import Run, extract, load_category, new_context, state_of

T = TypeVar("T")

STEPS = 3
"""Steps of each tracked loop that are run; the first warms up and does not count."""
SAMPLE = 8
"""Images that are decoded, extracted and scored."""


class FewSteps:
    """Progress that ends every loop after a few steps and adds up what the whole would have taken.

    Attributes:
        rest: seconds that the steps left out would have taken.
    """

    def __init__(self) -> None:
        self.rest = 0.0

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        times = []
        mark = time.perf_counter()
        for i, item in enumerate(items):
            yield item
            now = time.perf_counter()
            times.append(now - mark)
            mark = now
            if i + 1 == STEPS:
                break
        if total and len(times) > 1:
            self.rest += sum(times[1:]) / (len(times) - 1) * max(0, total - len(times))


def dry_run(run: Run) -> int:
    """Print the cells, their states and an estimate. Returns the exit status."""
    rows, missing, problems = [], [], []
    loaded: dict[str, tuple[Category, Keys]] = {}
    for name in run.categories:
        try:
            loaded[name] = load_category(run, name)
        except BenchError as error:
            problems.append(f"{name}: {error}")
        for cell in run.cells(name):
            state = (
                "cannot run" if cell.method.error or name not in loaded else _state(cell, loaded)
            )
            rows.append([name, cell.method.name, cell.seed, state])
            if state in ("todo", "failed before"):
                missing.append(cell)
    problems += [f"{m.name}: {m.error}" for m in run.methods if m.error]
    print(tabulate(rows, ["category", "method", "seed", "state"], "simple"))
    seconds = _estimate(run, missing, loaded, problems)
    done = sum(row[3] == "done" for row in rows)
    print(f"\n{len(rows)} cells: {done} done, {len(missing)} to run")
    if missing:
        per_method = [f"{name} {duration(s)}" for name, s in seconds.items()]
        total = sum(seconds.values())
        print(
            f"estimated time: {duration(total)} ({total / 3600:.2f} hours) on "
            f"{run.features.device}: {', '.join(per_method)}"
        )
    for problem in problems:
        print(f"problem: {problem}")
    return 1 if problems else 0


def _state(cell: Cell, loaded: dict[str, tuple[Category, Keys]]) -> str:
    cell.key["data"] = loaded[cell.category][1].fingerprint
    try:
        state = state_of(cell, read(cell.path.record))
    except BenchError as error:
        return f"unreadable record: {error}"
    return {"failed": "failed before", "differs": "another key (see --name, --force)"}.get(
        state, state
    )


def _estimate(
    run: Run,
    missing: list[Cell],
    loaded: dict[str, tuple[Category, Keys]],
    problems: list[str],
) -> dict[str, float]:
    """Seconds per method for all its missing cells, scaled by their numbers of images."""
    seconds: dict[str, float] = {}
    for name in dict.fromkeys(cell.method.name for cell in missing):
        mine = [cell for cell in missing if cell.method.name == name]
        category, keys = loaded[mine[0].category]
        try:
            spent, images = _time_cell(run, mine[0], category, keys)
        except Exception as error:  # an estimate that fails is a problem to report, like any other
            problems.append(f"{name}: no estimate ({type(error).__name__}: {error})")
            continue
        total = sum(_count(loaded[cell.category][0]) for cell in mine)
        seconds[name] = spent * total / images
    return seconds


def _time_cell(run: Run, cell: Cell, category: Category, keys: Keys) -> tuple[float, int]:
    """Seconds that one cell will take, and its number of images."""
    fraction = run.protocol.fraction(type(run.dataset))
    train, _ = divide(category, fraction, run.config.dataset, category.name)
    few = Category(category.name, category.train[:SAMPLE], category.test[:SAMPLE])
    few_keys = Keys(keys.train[:SAMPLE], keys.test[:SAMPLE], keys.fingerprint)
    count = _count(category)
    geometry = cell.method.geometry

    start = time.perf_counter()
    images = decode_category(few, few_keys, [geometry], run.threads)[geometry]
    extract(run, [cell.method], geometry, images)
    sampled = len(few.train) + len(few.test)
    before = (time.perf_counter() - start) / sampled * count

    # the method believes in the full number of images, so that its schedule is the real one
    repeated = _repeat(images.train, len(train))
    progress = FewSteps()
    context = _timing_context(run, cell, progress)
    detector = cell.method.new()
    start = time.perf_counter()
    detector.fit(repeated, context)
    fit = time.perf_counter() - start + progress.rest
    batch = images.test.batch(range(len(images.test)))
    detector.predict(batch, context)
    start = time.perf_counter()
    detector.predict(batch, context)
    scored = len(category.validation) + len(category.test) + len(category.unlabelled)
    score = (time.perf_counter() - start) / len(batch) * scored
    run.features.clear()
    return before + fit + score, count


def _count(category: Category) -> int:
    return len(category.normal) + len(category.test) + len(category.unlabelled)


def _repeat(images: ImageSet, count: int) -> ImageSet:
    return images.subset([i % len(images) for i in range(count)])


def _timing_context(run: Run, cell: Cell, progress: FewSteps) -> Context:
    return replace(new_context(run, cell), progress=progress, checkpoint=Checkpoint())
