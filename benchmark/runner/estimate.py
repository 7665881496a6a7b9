"""``bench run --dry-run``: what there is to do, and how long it will take, from a few timed steps."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from tabulate import tabulate

from benchmark import machine
from benchmark.console import duration
from benchmark.data.dataset import Category
from benchmark.data.loading import MEMORY_BYTES, Decoded, ImageSet, Keys
from benchmark.detector.base import Detector
from benchmark.detector.context import Checkpoint, Context
from benchmark.errors import BenchError, is_lack_of_memory, sentence
from benchmark.features.cache import union
from benchmark.records.store import read
from benchmark.runner import cost
from benchmark.runner.cell import fit
from benchmark.runner.plan import Cell, Plan
from benchmark.runner.remarks import look_at, remarks
from benchmark.runner.run import hashed, inputs, load, state_of
from benchmark.runner.shared import extract

T = TypeVar("T")

STEPS = 3
"""Steps of each tracked loop that are run; the first warms up and does not count."""
LOOP_SECONDS = 2.0
"""A loop ends earlier once it has taken this long."""
STEP_SECONDS = 0.5
"""The steps of a training begin with two images and grow until one takes this long."""
SAMPLE = 8
"""Images that are decoded, extracted and scored at most."""
MEMORY_SHARE = 0.25
"""Of the machine's memory, that a rehearsal may ask for."""


@dataclass(frozen=True)
class Estimate:
    """What a cell is expected to take.

    Attributes:
        seconds: from the decoding to the last score.
        nbytes: of memory at its peak, or of a GPU's; None where the system does not tell.
        fit: seconds for the training images, from their files on.
        image: seconds to score an image, from its file on.
        kept: bytes of the fitted detector, its frozen backbones apart.
    """

    seconds: float
    nbytes: int | None
    fit: float
    image: float
    kept: int


class Rehearsal:
    """Progress that ends every loop after a few steps and adds up what the whole would have taken.

    Steps of a training take few images at first; what whole batches take follows from the last two
    sizes, in time and in memory.

    Attributes:
        rest: seconds that the steps left out would have taken.
        nbytes: memory at the most demanding of them.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.rest, self.nbytes = 0.0, 0
        self._next, self._taken, self._whole = 2, 0, 0

    def images(self, whole: int) -> int:
        """Tell how many of a batch's images the next step of a training takes."""
        self._taken, self._whole = min(whole, self._next), whole
        return self._taken

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        around = self._next, self._taken, self._whole  # of the loop that this one is inside of
        sizes, times, peaks = [], [], []
        began, self._next = time.perf_counter(), 2
        for item in items:
            self._taken = self._whole = 0
            machine.reset_peak_memory(self.device)
            start = time.perf_counter()
            yield item
            machine.wait(self.device)
            times.append(time.perf_counter() - start)
            peaks.append(_peak(self.device))
            sizes.append((self._taken, self._whole))
            if self._taken < self._whole:  # a training that may take a larger step
                if len(times) > 1:  # the first of a size warms up
                    self._next *= 2
                if times[-1] > STEP_SECONDS:
                    break
            elif len(times) >= STEPS or time.perf_counter() - began > LOOP_SECONDS:
                break
        self._next, self._taken, self._whole = around
        if not times:
            return
        taken, whole = sizes[-1]
        self.nbytes = max(self.nbytes, int(_at(whole, sizes, peaks)))
        if total:
            step = _at(whole, sizes, times) if taken < whole else _settled(times)
            self.rest += step * max(0, total - len(times))


def _settled(times: Sequence[float]) -> float:
    """Average the steps after the first, if there are any."""
    counted = times[1:] or times
    return sum(counted) / len(counted)


def _at(whole: int, sizes: Sequence[tuple[int, int]], values: Sequence[float]) -> float:
    """Extend what the last two sizes of steps took to whole batches."""
    taken, last = sizes[-1][0], values[-1]
    if taken == whole:
        return last
    before = [(n, value) for (n, _), value in zip(sizes, values, strict=True) if n < taken]
    if not before:  # one size alone: all is taken to grow with it
        return last * whole / max(taken, 1)
    size, value = before[-1]
    return last + max(0.0, last - value) / (taken - size) * (whole - taken)


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
    found_out = _estimates(plan, missing, found, problems, notes)
    done = sum(row[3] == "done" for row in rows)
    print(f"\n{len(rows)} cells: {done} done, {len(missing)} to run")
    if missing:
        print(f"\n{_costs(found_out)}\n")
        total = sum(e.seconds for e in found_out.values())
        print(
            f"estimated time: {duration(total)} ({total / 3600:.2f} hours) on {plan.features.device}"
        )
    for note in notes:
        print(note)
    for problem in problems:
        print(f"problem: {problem}")
    return 1 if problems else 0


def _costs(found: dict[str, Estimate]) -> str:
    """Set what each method is expected to cost in columns: its cells in all, and one of them."""
    rows = [
        [
            *(name, duration(e.seconds), duration(e.fit), f"{1000 * e.image:.0f}"),
            *(f"{e.kept / 1e6:.1f}", "–" if e.nbytes is None else f"{e.nbytes / 1e9:.1f}"),
        ]
        for name, e in found.items()
    ]
    head = ["method", "all cells", "one fit", "ms per image", "kept MB", "memory GB"]
    return tabulate(rows, head, "simple", colalign=("left", *["right"] * 5), disable_numparse=True)


def _state(cell: Cell, keys: Keys) -> str:
    cell.key["data"] = keys.fingerprint
    try:
        state = state_of(cell, read(cell.path.record))
    except BenchError as error:
        return f"unreadable record: {error}"
    words = {"failed": "failed before", "differs": "another key (see --name, --force)"}
    return words.get(state, state)


def _estimates(
    plan: Plan,
    missing: list[Cell],
    found: dict[str, tuple[Category, Keys]],
    problems: list[str],
    notes: list[str],
) -> dict[str, Estimate]:
    """Estimate per method all its missing cells: seconds scaled by their numbers of images, and the
    memory of one."""
    out: dict[str, Estimate] = {}
    room = int(MEMORY_SHARE * machine.memory())
    names = list(dict.fromkeys(cell.method.name for cell in missing))
    for name in plan.console.track(names, "rehearsing methods", len(names)):
        mine = [cell for cell in missing if cell.method.name == name]
        if not mine[0].method.draws:  # its seeds share one fit
            mine = list({cell.category: cell for cell in mine}.values())
        sizes = [_count(found[cell.category][0]) for cell in mine]
        try:
            with machine.at_most(room):
                one = _rehearsed(plan, mine[0], *found[mine[0].category])
        except Exception as error:  # an estimate that fails is a problem to report, like any other
            if is_lack_of_memory(error):
                notes.append(
                    f"warning: {name}: no estimate, since a few steps of it would take more than "
                    f"{_gigabytes(room)}, a quarter of this machine's memory; use a smaller "
                    "--image-size or backbone if the run fails"
                )
            else:
                problems.append(f"{name}: no estimate ({sentence(error)})")
            continue
        finally:
            plan.features.clear()
        out[name] = replace(one, seconds=one.seconds * sum(sizes) / sizes[0])
        notes += _warning(plan, name, one)
    return out


def _warning(plan: Plan, name: str, expected: Estimate) -> list[str]:
    """Say that a run will not fit the memory there is, if so."""
    device = plan.features.device
    there = machine.device_memory(device) or machine.memory()
    if expected.nbytes is None or expected.nbytes <= there:
        return []
    text = (
        f"warning: {name} will need about {_gigabytes(expected.nbytes)} of memory, and there are "
        f"{_gigabytes(there)} on {device}; use a smaller batch, --image-size or backbone"
    )
    return [text]


def _rehearsed(plan: Plan, cell: Cell, category: Category, keys: Keys) -> Estimate:
    """Estimate one cell from the steps of a run on few images and few iterations."""
    few = Category(category.name, category.train[:SAMPLE], category.test[:SAMPLE])
    few_keys = Keys(keys.train[:SAMPLE], keys.test[:SAMPLE], keys.fingerprint)
    count = _count(category)
    geometry, device = cell.method.geometry, plan.features.device
    machine.reset_peak_memory(device)
    already, asked = _peak(device), machine.requested_memory()

    start = time.perf_counter()
    loaded = load(plan, few, few_keys, [cell.method])
    if geometry in loaded.unusable:
        raise loaded.unusable[geometry]
    images = loaded.on(device, geometry)
    specs = [spec for spec in cell.method.new().needs() if spec.read]
    for spec in union(specs, plan.features):
        extract(plan, spec, geometry, {"train": images.train, "test": images.test})
    before = (time.perf_counter() - start) / (len(few.train) + len(few.test))

    # the method believes in the full number of images, so that its schedule is the real one
    kept = 1 - plan.protocol.fraction(type(plan.dataset))
    many = _repeat(images.train, max(1, round(len(category.train) * kept)))
    given = inputs(plan, cell, loaded)
    rehearsal = Rehearsal(device)
    context = replace(
        given.context, progress=rehearsal, checkpoint=Checkpoint(), rehearsal=rehearsal.images
    )
    given = replace(
        given,
        images=Decoded(many, images.test),
        context=context,
        train=list(range(len(many))),
    )
    start = time.perf_counter()
    detector = fit(cell, given, cost.Clock(plan.features, context))
    fitting = time.perf_counter() - start + rehearsal.rest
    scored = len(category.validation) + len(category.test) + len(category.unlabelled)
    scoring = _seconds_per_image(detector, images.test, context, rehearsal)
    expected = Estimate(
        seconds=before * count + fitting + scoring * scored,
        nbytes=None,
        fit=before * len(category.train) + fitting,
        image=before + scoring,
        kept=cost.stored_bytes(detector, context)["stored_bytes"],
    )
    nbytes = max(rehearsal.nbytes, _peak(device))
    if device.type == "cpu":
        now = machine.requested_memory()
        if asked is None or now is None:
            return expected
        # what fit has asked for and not written to yet, such as a gallery of all images
        pixels = min(MEMORY_BYTES, count * 3 * math.prod(images.train.size))
        nbytes = max(nbytes, already + now - asked) + pixels
    return replace(expected, nbytes=nbytes)


def _seconds_per_image(
    detector: Detector, images: ImageSet, context: Context, rehearsal: Rehearsal
) -> float:
    """Time the scoring of one image, then of several where that is quick."""

    def timed(count: int) -> float:
        batch = images.batch(range(count))
        start, rest = time.perf_counter(), rehearsal.rest
        with torch.no_grad():
            detector.predict(batch, context)
        machine.wait(context.device)
        return (time.perf_counter() - start + rehearsal.rest - rest) / count

    first = timed(1)
    if first > LOOP_SECONDS:
        return first
    return timed(min(len(images), max(1, int(LOOP_SECONDS / first))))


def _peak(device: torch.device) -> int:
    found = machine.peak_memory(device)
    return found["peak_gpu_bytes"] or found["peak_bytes"] or 0


def _gigabytes(nbytes: int) -> str:
    return f"{nbytes / 1e9:.1f} GB"


def _count(category: Category) -> int:
    return len(category.normal) + len(category.test) + len(category.unlabelled)


def _repeat(images: ImageSet, count: int) -> ImageSet:
    return images.subset([i % len(images) for i in range(count)])
