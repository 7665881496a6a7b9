"""``bench run --dry-run``: what there is to do, and how long it will take, from a few timed steps."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from tabulate import tabulate

from benchmark.console import duration
from benchmark.data.dataset import Category
from benchmark.data.loading import Decoded, ImageSet, Keys
from benchmark.detector.context import Checkpoint
from benchmark.errors import BenchError, sentence
from benchmark.records.store import read
from benchmark.runner import cost
from benchmark.runner.cell import fit
from benchmark.runner.plan import Cell, Plan
from benchmark.runner.remarks import look_at, remarks
from benchmark.runner.run import extract, hashed, inputs, load, state_of

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


def dry_run(plan: Plan) -> int:
    """Print the cells, their states and an estimate. Returns the exit status."""
    rows, missing, problems, notes = [], [], [], []
    found: dict[str, tuple[Category, Keys]] = {}
    for name in plan.categories:
        try:
            category, keys = hashed(plan, name)
            usable = [method for method in plan.methods if not method.error]
            seen = look_at(category, keys, usable, plan.threads)
            notes += remarks(plan.dataset, name, seen, usable)
            found[name] = category, keys
        except Exception as error:  # a data set plugin may fail in any way
            problems.append(f"{name}: {sentence(error)}")
        for cell in plan.cells(name):
            able = not cell.method.error and name in found
            state = _state(cell, found[name][1]) if able else "cannot run"
            rows.append([name, cell.method.name, cell.seed, state])
            if state in ("todo", "failed before"):
                missing.append(cell)
    problems += [f"{m.name}: {sentence(m.error)}" for m in plan.methods if m.error]
    print(tabulate(rows, ["category", "method", "seed", "state"], "simple"))
    seconds = _estimate(plan, missing, found, problems)
    done = sum(row[3] == "done" for row in rows)
    print(f"\n{len(rows)} cells: {done} done, {len(missing)} to run")
    if missing:
        per_method = [f"{name} {duration(s)}" for name, s in seconds.items()]
        total = sum(seconds.values())
        print(
            f"estimated time: {duration(total)} ({total / 3600:.2f} hours) on "
            f"{plan.features.device}: {', '.join(per_method)}"
        )
    for note in notes:
        print(note)
    for problem in problems:
        print(f"problem: {problem}")
    return 1 if problems else 0


def _state(cell: Cell, keys: Keys) -> str:
    cell.key["data"] = keys.fingerprint
    try:
        state = state_of(cell, read(cell.path.record))
    except BenchError as error:
        return f"unreadable record: {error}"
    words = {"failed": "failed before", "differs": "another key (see --name, --force)"}
    return words.get(state, state)


def _estimate(
    plan: Plan,
    missing: list[Cell],
    found: dict[str, tuple[Category, Keys]],
    problems: list[str],
) -> dict[str, float]:
    """Estimate seconds per method for all its missing cells, scaled by their numbers of images."""
    seconds: dict[str, float] = {}
    for name in dict.fromkeys(cell.method.name for cell in missing):
        mine = [cell for cell in missing if cell.method.name == name]
        if not mine[0].method.draws:  # its seeds share one fit
            mine = list({cell.category: cell for cell in mine}.values())
        sizes = [_count(found[cell.category][0]) for cell in mine]
        try:
            spent = _time_cell(plan, mine[0], *found[mine[0].category])
        except Exception as error:  # an estimate that fails is a problem to report, like any other
            problems.append(f"{name}: no estimate ({sentence(error)})")
            continue
        seconds[name] = spent * sum(sizes) / sizes[0]
    return seconds


def _time_cell(plan: Plan, cell: Cell, category: Category, keys: Keys) -> float:
    """Estimate the seconds of one cell from the steps of a run on few images and few iterations."""
    few = Category(category.name, category.train[:SAMPLE], category.test[:SAMPLE])
    few_keys = Keys(keys.train[:SAMPLE], keys.test[:SAMPLE], keys.fingerprint)
    count = _count(category)

    start = time.perf_counter()
    loaded = load(plan, few, few_keys, [cell.method])
    if cell.method.geometry in loaded.unusable:
        raise loaded.unusable[cell.method.geometry]
    images = loaded.images[cell.method.geometry]
    extract(plan, [cell.method], cell.method.geometry, images)
    before = (time.perf_counter() - start) / (len(few.train) + len(few.test)) * count

    # the method believes in the full number of images, so that its schedule is the real one
    kept = 1 - plan.protocol.fraction(type(plan.dataset))
    many = _repeat(images.train, max(1, round(len(category.train) * kept)))
    loaded.images[cell.method.geometry] = Decoded(many, images.test)
    given = inputs(plan, cell, loaded)
    progress = FewSteps()
    context = replace(given.context, progress=progress, checkpoint=Checkpoint())
    given = replace(given, context=context, train=list(range(len(many))))
    start = time.perf_counter()
    detector = fit(cell, given, cost.Clock(plan.features, context))
    fitting = time.perf_counter() - start + progress.rest
    batch = images.test.batch(range(len(images.test)))
    detector.predict(batch, context)
    start = time.perf_counter()
    detector.predict(batch, context)
    scored = len(category.validation) + len(category.test) + len(category.unlabelled)
    scoring = (time.perf_counter() - start) / len(batch) * scored
    plan.features.clear()
    return before + fitting + scoring


def _count(category: Category) -> int:
    return len(category.normal) + len(category.test) + len(category.unlabelled)


def _repeat(images: ImageSet, count: int) -> ImageSet:
    return images.subset([i % len(images) for i in range(count)])
