"""Plan -> cells -> fit -> predict -> store -> measure.

A run works category by category, so that pixels and features of one are shared by all its cells and
then forgotten. A cell that fails is recorded and never costs another; a finished cell is never
touched again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from benchmark import settings as settings_of
from benchmark.console import PlainConsole
from benchmark.data.dataset import Category, Dataset
from benchmark.data.geometry import Geometry
from benchmark.data.loading import Decoded, Keys, decode_category, hash_category
from benchmark.detector import asset as assets_of
from benchmark.detector.context import Checkpoint, Context, Meters
from benchmark.errors import AssetError, BenchError, DataError, StoreError, WeightsError, unknown
from benchmark.features.backbones import WeightsFrom
from benchmark.features.cache import EXTRACT_BATCH, FrozenFeatures, union
from benchmark.machine import choose_device, cores
from benchmark.plugins.registry import Registry
from benchmark.records import store
from benchmark.run.cell import Cell, MethodPlan, Work, run_cell, write_failure
from benchmark.run.config import RunConfig, folder_from, open_dataset
from benchmark.run.protocol import Protocol, divide

State = Literal["done", "todo", "failed", "differs"]


@dataclass
class Result:
    """How a cell ended in this run: ``ok`` (now), ``kept`` (before), ``failed`` or ``busy``."""

    cell: Cell
    outcome: Literal["ok", "kept", "failed", "busy"]
    record: dict[str, Any] | None = None
    message: str = ""


@dataclass
class Run:
    """Everything that a run's cells have in common."""

    config: RunConfig
    console: PlainConsole
    dataset: Dataset
    categories: list[str]
    protocol: Protocol
    features: FrozenFeatures
    methods: list[MethodPlan]
    results_dir: Path
    assets_dir: Path | None
    threads: int
    dataset_settings: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The data set's name in results; settings other than its defaults are part of it.

        They are other data, which is never put into one table with the default's.
        """
        changed = [f"-{name}{value}" for name, value in sorted(self.dataset_settings.items())]
        return self.config.name or "".join([self.config.dataset, *changed])

    def cells(self, category: str) -> list[Cell]:
        """The cells of one category, those of one method side by side."""
        return [
            self._cell(method, category, seed)
            for method in self.methods
            for seed in self.config.seeds
        ]

    def _cell(self, method: MethodPlan, category: str, seed: int) -> Cell:
        path = store.CellPath(
            self.results_dir,
            self.label,
            self.protocol.label,
            method.name,
            method.identity(),
            category,
            seed,
        )
        key = {
            "dataset": self.label,
            "source": self.config.dataset,
            "category": category,
            "method": method.name,
            "seed": seed,
            "protocol": {
                "name": self.protocol.name,
                "holdout": self.protocol.fraction(type(self.dataset)),
                "image_size": self.protocol.image_size,
            },
            "geometry": method.geometry.as_json(),
            "data": None,
            "settings": settings_of.as_json(method.settings),
            "version": method.cls.version,
            "weights": method.weights,
            "assets": method.assets,
            "precision": method.precision,
        }
        if self.dataset_settings:
            key["source_settings"] = settings_of.as_json(self.dataset_settings)
        return Cell(method, category, seed, path, key)


def prepare(config: RunConfig, registry: Registry, console: PlainConsole) -> Run:
    """Find everything that the configuration names.

    Raises:
        BenchError: something named is unknown, missing or unusable for the whole run. What only
            stops one method (its weights, its assets) is kept as that method's error.
    """
    cls = registry.dataset(config.dataset)
    root = folder_from(config.data_root, "BENCH_DATA")
    dataset, settings = open_dataset(cls, root, config.dataset, config.set.get(config.dataset, {}))
    categories = dataset.categories()
    for name in config.categories:
        store.path_component(name, "category")
        if name not in categories:
            raise DataError(unknown(f"category of {config.dataset}", name, categories))
    results_dir = Path(config.results)
    store.check_writable(results_dir)
    device = choose_device(config.device)
    weights = WeightsFrom(folder_from(config.weights_dir, "BENCH_WEIGHTS"), config.weights)
    threads = config.threads or cores()
    run = Run(
        config,
        console,
        dataset,
        list(config.categories) or categories,
        Protocol(config.protocol, config.holdout, config.image_size),
        FrozenFeatures(weights, device),
        [],
        results_dir,
        folder_from(config.assets_dir, "BENCH_ASSETS"),
        threads,
        settings,
    )
    for name in dict.fromkeys(config.methods):
        run.methods.append(_plan(run, registry, name))
    return run


def execute(run: Run) -> list[Result]:
    """Run every cell that is not done."""
    torch.set_num_threads(run.threads)
    run.console.cells(len(run.categories) * len(run.methods) * len(run.config.seeds))
    for category in run.categories:
        _category(run, category)
        run.features.clear()
    for result in [r for r in run.results if r.outcome == "busy"]:
        record = _existing(result.cell)  # another run may have finished it meanwhile
        if record is not None and state_of(result.cell, record) == "done":
            result.outcome, result.record = "kept", record
    return run.results


def state_of(cell: Cell, record: dict[str, Any] | None) -> State:
    """Whether a record is this cell's finished one."""
    if record is None:
        return "todo"
    if record.get("status") != "ok":
        return "failed"
    return "done" if record.get("key") == cell.key else "differs"


def load_category(run: Run, name: str) -> tuple[Category, Keys]:
    """A category's samples and hashes. Raises DataError."""
    store.path_component(name, "category")
    category = run.dataset.category(name)
    return category, hash_category(category, run.threads)


def new_context(run: Run, cell: Cell) -> Context:
    """What a cell's detector is lent."""
    return Context(
        run.features,
        cell.method.geometry,
        (str(cell.seed), run.config.dataset, cell.category, cell.method.name),
        device=run.features.device,
        precision=run.config.precision,
        progress=run.console,
        checkpoint=Checkpoint(cell.path.checkpoint(cell.key["data"])),
        meters=Meters(),
        assets_dir=run.assets_dir,
    )


def extract(run: Run, methods: Sequence[MethodPlan], geometry: Geometry, images: Decoded) -> None:
    """One backbone pass over a category's images for all that these methods will read."""
    specs = [s for m in methods if m.geometry == geometry for s in m.new().needs()]
    for spec in union(specs, run.features):
        parts = {"train": images.train, "test": images.test, "unlabelled": images.unlabelled}
        for title, part in parts.items():
            if part is None:
                continue
            steps = -(-len(part) // EXTRACT_BATCH)
            batches = run.console.track(
                part.batches(EXTRACT_BATCH), f"{spec.backbone} features, {title}", steps
            )
            layers = [str(layer) for layer in spec.layers]
            run.features.extract(batches, geometry, spec.backbone, layers, flips=spec.flips)


def _plan(run: Run, registry: Registry, name: str) -> MethodPlan:
    cls, preset = registry.method(name)
    given = {**preset, **run.config.set.get(name, {})}
    settings = settings_of.resolve(cls, given, name)
    geometry = run.protocol.geometry(type(run.dataset), cls.paper)
    plan = MethodPlan(name, cls, settings, geometry, precision=run.config.precision)
    detector = plan.new()
    published = True
    try:
        for spec in detector.needs():
            backbone = run.features.backbone(spec.backbone)
            layers = backbone.resolve(spec.layers)
            plan.weights.append(
                {
                    "backbone": spec.backbone,
                    "layers": list(layers),
                    "source": backbone.source,
                    "sha256": backbone.identity(layers),
                }
            )
            published = published and backbone.published
        plan.provenance["published_weights"] = published
        for asset in detector.assets():
            loaded = assets_of.load(asset, run.assets_dir)
            plan.assets[asset.name] = loaded.sha256
            kept = ("settings", "images", "backbones")
            origin = {name: loaded.info.get(name) for name in kept}
            plan.provenance.setdefault("assets", {})[asset.name] = origin
    except (WeightsError, AssetError) as error:
        plan.error = error
    return plan


def _category(run: Run, name: str) -> None:
    cells = run.cells(name)
    for cell in cells:
        if cell.method.error:
            _fail(run, cell, cell.method.error, None)
    cells = [cell for cell in cells if not cell.method.error]
    try:
        category, keys = load_category(run, name)
    except Exception as error:  # a data set plugin may fail in any way; other categories go on
        for cell in cells:
            _fail(run, cell, error, None)
        return
    todo = []
    for cell in cells:
        cell.key["data"] = keys.fingerprint
        if not _settled(run, cell):
            todo.append(cell)
    if not todo:
        return
    methods = list({cell.method.name: cell.method for cell in todo}.values())
    try:
        geometries = list(dict.fromkeys(method.geometry for method in methods))
        images = decode_category(category, keys, geometries, run.threads)
    except Exception as error:
        for cell in todo:
            _fail(run, cell, error, None)
        return
    fraction = run.protocol.fraction(type(run.dataset))
    try:
        train, held_out = divide(category, fraction, run.config.dataset, name)
    except BenchError as error:
        for cell in todo:
            _fail(run, cell, error, None)
        return
    extracted: set[Geometry] = set()
    for cell in todo:
        run.console.start(cell.title)
        geometry = cell.method.geometry
        context = new_context(run, cell)
        try:
            with cell.path.lock() as mine:
                if not mine:
                    message = "another run is working on it; run again when that has finished"
                    _finish(run, Result(cell, "busy", message=message))
                    continue
                if _settled(run, cell):  # finished by another run since the first look
                    continue
                if geometry not in extracted:
                    extract(run, methods, geometry, images[geometry])
                    extracted.add(geometry)
                work = Work(
                    category,
                    images[geometry],
                    train,
                    held_out,
                    context,
                    run.config.maps,
                    run.threads,
                    run.dataset.official.get(category.name),
                )
                _finish(run, Result(cell, "ok", run_cell(cell, work)))
        except Exception as error:  # whatever a method does, the other cells go on
            _fail(run, cell, _friendly(error), context)


def _settled(run: Run, cell: Cell) -> bool:
    """Report a cell that needs no work: done before, or not ours to replace."""
    if run.config.force:
        return False
    try:
        record = _existing(cell)
    except StoreError as error:
        _finish(run, Result(cell, "failed", message=str(error)))
        return True
    state = state_of(cell, record)
    if state == "done":
        _finish(run, Result(cell, "kept", record))
        return True
    if state == "differs":
        assert record is not None
        parts = "; ".join(store.differing(record["key"], cell.key))
        message = (
            f"{cell.path.record} belongs to something else ({parts}); choose another --name or "
            "--results for this one, or redo it with --force"
        )
        _finish(run, Result(cell, "failed", message=message))
        return True
    return False


def _existing(cell: Cell) -> dict[str, Any] | None:
    return store.read(cell.path.record)


def _fail(run: Run, cell: Cell, error: BaseException, context: Context | None) -> None:
    if not cell.method.error:
        try:
            write_failure(cell, error, context)
        except StoreError:  # a category that cannot name a file has no record either
            pass
    text = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
    _finish(run, Result(cell, "failed", message=text))


def _friendly(error: BaseException) -> BaseException:
    """Out of disk or memory, in words; anything else as it is."""
    if isinstance(error, OSError) and error.errno == 28:
        return StoreError(
            f"the disk is full ({error.filename or 'while writing scores'}); free some space or "
            "choose another --results, then run the same command again: finished cells are kept"
        )
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return BenchError(
            f"out of memory ({str(error).splitlines()[0] if str(error) else 'no detail'}); use a "
            "smaller --image-size or backbone, or fewer channels"
        )
    return error


def _finish(run: Run, result: Result) -> None:
    run.results.append(result)
    words = {"ok": "done", "kept": "already done", "failed": "FAILED", "busy": "busy elsewhere"}
    text = f"{result.cell.title}: {words[result.outcome]}"
    if result.outcome == "ok" and result.record:
        shown = [("image AUROC", "image_auroc"), ("pixel AUROC", "pixel_auroc"), ("PRO", "pro")]
        for title, name in shown:
            value = result.record["metrics"].get(name)
            text += f", {title} {'–' if value is None else f'{value:.3f}'}"
        text += f", {result.record['cost']['wall_seconds']:.1f} s"
    run.console.done(text + (f": {result.message}" if result.message else ""))
