"""The cells of a run, category by category.

Pixels and features of a category are shared by all its cells and then forgotten. A cell that fails is
recorded and never costs another; a finished cell is never touched again. Several processes may run
the same on one folder: a category is claimed by one of them, and what others hold is gone over again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from benchmark.data.dataset import Category
from benchmark.data.geometry import Geometry
from benchmark.data.loading import Decoded, Keys, check_samples, decode_category, hash_category
from benchmark.data.survey import with_threshold
from benchmark.detector.context import Checkpoint, Context, Meters
from benchmark.errors import AssetError, SettingsError, StoreError, WeightsError, in_words, sentence
from benchmark.records import claims, store
from benchmark.records.claims import Claim, ClaimLostError
from benchmark.runner.cell import copy_cell, run_cell, write_failure
from benchmark.runner.given import Inputs
from benchmark.runner.plan import Cell, MethodPlan, Plan
from benchmark.runner.remarks import look_at, remarks
from benchmark.runner.shared import LoadedCategory, keep_features
from benchmark.texts import path_component

CellState = Literal["done", "todo", "failed", "differs"]

POLL_SECONDS = 1.0
"""How often a process that finds every category claimed looks again."""


@dataclass
class Result:
    """The outcome of a cell: ``ok`` (in this run), ``kept`` (before, or by another run) or
    ``failed``."""

    cell: Cell
    outcome: Literal["ok", "kept", "failed"]
    record: dict[str, Any] | None = None
    message: str = ""


def execute(plan: Plan) -> list[Result]:
    """Run every cell that is not done."""
    return list(results(plan))


def results(plan: Plan) -> Iterator[Result]:
    """Yield the results of all cells in the order in which they end.

    A process begins with the first category that no other one holds; those that others held are gone
    over again until all are done.
    """
    torch.set_num_threads(plan.threads)
    left = {name: plan.cells(name) for name in plan.categories}
    known: dict[str, claims.Owner] = {}
    while left:
        before = sum(map(len, left.values()))
        for name in list(left):
            for result in _unless_claimed(plan, name, left[name]):
                left[name] = [cell for cell in left[name] if cell is not result.cell]
                yield result
            if not left[name]:
                del left[name]
        if left and sum(map(len, left.values())) == before:
            _wait(plan, left, known)


def _unless_claimed(plan: Plan, name: str, cells: Sequence[Cell]) -> Iterator[Result]:
    """Yield the results of a category's cells, or nothing while another process has it."""
    try:
        path = claims.place(plan.folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with claims.claimed(path) as claim:
            if claim is not None:
                yield from _category(plan, name, cells, claim)
    except ClaimLostError as error:  # what is left of it is gone over again
        plan.console.say(str(error))
    except (OSError, StoreError) as error:  # a name that no file can have, a folder gone
        for cell in cells:
            yield _failed(plan, cell, error)


def _wait(plan: Plan, left: Iterable[str], known: dict[str, claims.Owner]) -> None:
    """Wait a moment for those who hold what is left; says once whom."""
    for name in left:
        owner = claims.Owner.read(claims.place(plan.folder, name))
        if owner is not None and known.get(name) != owner:
            known[name] = owner
            plan.console.say(f"waiting for {name}, on which {owner} works")
    time.sleep(POLL_SECONDS)


def state_of(cell: Cell, record: dict[str, Any] | None) -> CellState:
    """Tell whether a record is this cell's finished one."""
    if record is None:
        return "todo"
    if record.get("status") != "ok":
        return "failed"
    if record.get("key") != cell.key:
        return "differs"
    # a finished record without the detector that is wanted: only another fit gives it
    return "done" if not cell.keep or (record.get("files") or {}).get("detector") else "todo"


def hashed(plan: Plan, name: str) -> tuple[Category, Keys]:
    """List and hash a category's samples. Raises DataError."""
    path_component(name, "category")
    category = plan.dataset.category(name)
    check_samples(category)
    category = with_threshold(category, plan.config.mask_threshold)
    category = plan.protocol.stress.altered(category, plan.source)
    return category, hash_category(category, plan.threads)


def load(
    plan: Plan, category: Category, keys: Keys, methods: Sequence[MethodPlan]
) -> LoadedCategory:
    """Look at a category's files, decode its images for these methods, and split them."""
    found = look_at(category, keys, methods, plan.threads)
    wanted = dict.fromkeys(method.geometry for method in methods)
    images, unusable = _decoded(plan, category, keys, list(wanted))
    train, held_out = plan.protocol.divide(category, type(plan.dataset), plan.source, category.name)
    return LoadedCategory(category, keys, images, unusable, train, held_out, found)


def inputs(plan: Plan, cell: Cell, loaded: LoadedCategory) -> Inputs:
    """Gather the inputs of a cell."""
    method = cell.method
    context = Context(
        plan.features,
        method.geometry,
        (str(cell.seed), plan.source, cell.category, method.name),
        tuple(name for name, of in plan.dataset.groups.items() if cell.category in of),
        device=plan.features.device,
        precision=plan.config.precision,
        wants_maps=loaded.category.has_masks or (plan.config.maps and not plan.dataset.small),
        progress=plan.console,
        checkpoint=Checkpoint(cell.path.checkpoint(cell.key["data"])),
        meters=Meters(),
        assets_dir=plan.assets_dir,
        asset_settings=method.asset_settings,
    )
    return Inputs(
        loaded.category,
        loaded.on(plan.features.device, method.geometry),
        loaded.train,
        loaded.held_out,
        context,
        plan.features,
        plan.config.maps,
        plan.threads,
        plan.dataset.official.get(cell.category),
        loaded.keys.masks or None,
        {**loaded.found.as_json(method.geometry), "shortcuts": loaded.shortcuts(method.geometry)},
    )


def _decoded(
    plan: Plan, category: Category, keys: Keys, geometries: Sequence[Geometry]
) -> tuple[dict[Geometry, Decoded], dict[Geometry, Exception]]:
    """Decode a category in every geometry of its methods, and say why that fails in some."""
    try:
        return decode_category(category, keys, geometries, plan.threads), {}
    except Exception as error:
        if len(geometries) == 1:
            return {}, {geometries[0]: error}
    images: dict[Geometry, Decoded] = {}
    errors: dict[Geometry, Exception] = {}
    for geometry in geometries:  # one by one, since what fails may be one geometry alone
        found, why = _decoded(plan, category, keys, [geometry])
        images, errors = images | found, errors | why
    return images, errors


def _category(plan: Plan, name: str, wanted: Sequence[Cell], claim: Claim) -> Iterator[Result]:
    """Yield the results of a category's cells, in the order in which they end."""
    cells = []
    for cell in wanted:
        if cell.method.error:
            yield _failed(plan, cell, cell.method.error)
        else:
            cells.append(cell)
    todo = cells
    try:
        category, keys = hashed(plan, name)
        todo = []
        for cell in cells:
            cell.key["data"] = keys.fingerprint
            if settled := _settled(plan, cell):
                yield settled
            else:
                todo.append(cell)
        if not todo:
            return
        methods = list({id(cell.method): cell.method for cell in todo}.values())
        loaded = load(plan, category, keys, methods)
        for line in remarks(plan.dataset, name, loaded.found, methods):
            plan.console.say(line)
    except Exception as error:  # a data set plugin may fail in any way; other categories go on
        for cell in todo:
            yield _failed(plan, cell, error)
        return
    try:
        for i in range(len(todo)):
            result = _run(plan, todo[i:], loaded, claim)
            if result.record and result.outcome == "ok":
                loaded.records.append(result.record)
            yield result
    finally:
        plan.features.clear()


def _run(plan: Plan, cells: Sequence[Cell], loaded: LoadedCategory, claim: Claim) -> Result:
    """Run the first of the cells left. Raises ClaimLostError when another process has taken the
    category over."""
    cell = cells[0]
    plan.console.start(cell.title)
    geometry = cell.method.geometry
    if geometry in loaded.unusable:
        return _failed(plan, cell, loaded.unusable[geometry])
    given = None
    try:
        given = inputs(plan, cell, loaded)
        cell.path.folder.mkdir(parents=True, exist_ok=True)
        anew = plan.config.force or not cell.method.reusable
        earlier = [] if anew else store.read_folder(cell.path.folder, cell.category)
        if not cell.method.draws and (twin := _twin(cell, [*loaded.records, *earlier])):
            return _ended(plan, Result(cell, "ok", copy_cell(cell, twin, claim)))
        keep_features(plan, cells, loaded)
        return _ended(plan, Result(cell, "ok", run_cell(cell, given, claim)))
    except ClaimLostError:
        raise
    except Exception as error:  # whatever a method does, the other cells go on
        return _failed(plan, cell, error, given.context if given else None)


def _twin(cell: Cell, records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Find a finished record that differs from this cell's in its seed alone, with the detector
    if that is wanted."""
    for record in records:
        key = record.get("key", {})
        same = record.get("status") == "ok" and {**key, "seed": cell.seed} == cell.key
        if same and (not cell.keep or (record.get("files") or {}).get("detector")):
            return record
    return None


def _settled(plan: Plan, cell: Cell) -> Result | None:
    """Return the result of a cell that needs no work: done before, not ours to replace, or ended by
    another process since this run began."""
    since = _written_since(plan, cell.path.record)
    if not cell.method.reusable or (plan.config.force and not since):
        return None
    try:
        record = store.read(cell.path.record)
    except StoreError as error:
        return _ended(plan, Result(cell, "failed", message=str(error)))
    state = state_of(cell, record)
    if state == "done":
        return _ended(plan, Result(cell, "kept", record))
    if state == "failed" and since and record is not None:
        message = f"{record['error']['message']} (in another process of this run)"
        return _ended(plan, Result(cell, "failed", message=message))
    if state == "differs":
        assert record is not None
        parts = "; ".join(store.differing(record["key"], cell.key))
        message = (
            f"{cell.path.record} belongs to something else ({parts}); choose another --name or "
            "--results for this one, or redo it with --force"
        )
        if {**record["key"], "data": cell.key["data"]} == cell.key:
            message += "; where only masks were corrected, bench evaluate measures it again"
        return _ended(plan, Result(cell, "failed", message=message))
    return None


def _written_since(plan: Plan, record: Path) -> bool:
    """Tell whether a record has been written since the run began; by another process, then."""
    try:
        return record.stat().st_mtime > plan.began
    except OSError:
        return False


def _failed(plan: Plan, cell: Cell, error: BaseException, context: Context | None = None) -> Result:
    error = in_words(error)
    # missing weights or assets say nothing about the method, and would give it another identity
    if not (cell.method.error and isinstance(error, WeightsError | AssetError | SettingsError)):
        try:
            write_failure(cell, error, context)
        except StoreError:  # a category that cannot name a file has no record either
            pass
    return _ended(plan, Result(cell, "failed", message=sentence(error)))


def _ended(plan: Plan, result: Result) -> Result:
    """Tell the console how a cell ended."""
    words = {"ok": "done", "kept": "already done", "failed": "FAILED"}
    text = f"{result.cell.title}: {words[result.outcome]}"
    if result.outcome == "ok" and result.record:
        shown = [("image AUROC", "image_auroc"), ("pixel AUROC", "pixel_auroc"), ("PRO", "pro")]
        for title, name in shown:
            value = result.record["metrics"].get(name)
            text += f", {title} {'–' if value is None else f'{value:.3f}'}"
        text += f", {result.record['cost']['wall_seconds']:.1f} s"
    tell = plan.console.kept if result.outcome == "kept" else plan.console.done
    tell(text + (f": {result.message}" if result.message else ""))
    return result
