"""What there is to run, and whether it is as it should be: methods, data sets, pre-trained parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark import machine, places
from benchmark.errors import BenchError, DataError, SettingsError, unknown
from benchmark.plugins.registry import Registry, name_of

if TYPE_CHECKING:
    from benchmark.data.dataset import Dataset
    from benchmark.data.report import Report
    from benchmark.detector.base import Detector
    from benchmark.plugins.contract import Outcome

Plugins = Iterable[str | Path]


def available(
    what: Literal["methods", "datasets", "metrics", "tables"], *, plugin: Plugins = ()
) -> dict[str, str]:
    """List what there is by name, with a word on each.

    Args:
        what: methods, data sets, metrics or tables.
        plugin: files with further methods or data sets.
    """
    if what == "metrics":
        from benchmark.metrics.names import METRICS

        return {name: metric.text for name, metric in METRICS.items()}
    if what == "tables":
        from benchmark.tables import TABLES

        return {name: table.title for name, table in TABLES.items()}
    kinds: Mapping[str, Literal["method", "dataset"]] = {
        "methods": "method",
        "datasets": "dataset",
    }
    if what not in kinds:
        raise SettingsError(unknown("list", what, ("methods", "datasets", "metrics", "tables")))
    entries = Registry([Path(p) for p in plugin]).entries[kinds[what]]
    return {
        name: (entry.summary or "(described when imported)")
        + ("" if entry.origin == "built in" else f" [{entry.origin}]")
        for name, entry in sorted(entries.items())
    }


def verify(
    dataset: str | Dataset,
    *,
    data_root: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    download: bool = False,
    write: bool = False,
    mask_threshold: int | None = None,
    plugin: Plugins = (),
    say: Callable[[str], None] = print,
) -> Report:
    """Tell where a data set is looked for and how to get it, and check every image and mask.

    Args:
        dataset: a name (``bench list datasets``), or one that is open already.
        data_root: its folder, or the one above it.
        settings: of the data set.
        download: fetch it first, where that is allowed.
        write: write a ``folder.yaml`` that says how it is read now.
        mask_threshold: for grey masks, of 255.
        plugin: files with further data sets.
        say: told of title, licence, origin and place, before anything can fail.

    Returns:
        What was found, category by category; ``ok`` where nothing is wrong.

    Raises:
        DataError: it is not there.
    """
    from benchmark.console import open_console
    from benchmark.data.verify import verify as look

    registry = Registry([Path(p) for p in plugin])
    cls = registry.dataset(dataset) if isinstance(dataset, str) else type(dataset)
    facts = ("licence", "licence"), ("cite", "citation"), ("get it", "origin")
    lines = [f"  {word:<8} {getattr(cls, name, 'not stated')}" for word, name in facts]
    say("\n".join([getattr(cls, "title", cls.__name__), *lines]))
    if isinstance(dataset, str):
        folder = _found(dataset, cls, data_root, download, say) if cls.needs_root else None
        dataset = registry.open_dataset(dataset, folder, settings)
    if write:
        say(f"written: {dataset.write_roles()}; read it, and change what is not so")
    windows = {} if cls.small else _windows(registry)
    with open_console() as console:
        return look(dataset, console.fraction("checking"), windows, mask_threshold)


def shortcuts(
    dataset: str | Dataset,
    *,
    data_root: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    plugin: Plugins = (),
) -> dict[str, dict[str, float]]:
    """Measure how well scores that look at no defect tell good from defective test images.

    Args:
        dataset, data_root, settings, plugin: as in :func:`verify`.

    Returns:
        Per category by name (brightness, contrast, sharpness, colours, size of the file) the image
        AUROC in the better direction.

    Raises:
        DataError: it is not there, or an image cannot be read.
    """
    from benchmark.console import open_console
    from benchmark.data.shortcuts import of_samples

    if isinstance(dataset, str):
        registry = Registry([Path(p) for p in plugin])
        dataset = registry.open_dataset(dataset, data_root, settings)
    names = dataset.categories()
    with open_console() as console:
        return {
            name: of_samples(dataset.category(name).test, machine.cores())
            for name in console.track(names, "shortcuts", len(names))
        }


def check(
    name: str | Path | type[Detector],
    *,
    weights_dir: str | Path | None = None,
    data_root: str | Path | None = None,
) -> Iterator[Outcome]:
    """Test that a method or a data set keeps its contract, promise by promise.

    Args:
        name: a known name, a file of yours, or a detector's class.
        weights_dir: of pre-trained backbones; random ones unless told.
        data_root: for a data set that needs a folder.

    Yields:
        Each promise, and what was found where it is not kept.

    Raises:
        SettingsError: an unknown name.
    """
    from benchmark.features.weights import WeightsFrom
    from benchmark.plugins.contract import DatasetChecks, DetectorChecks, run_checks

    file = None if isinstance(name, type) or Path(name).suffix != ".py" else Path(name)
    registry = Registry([file] if file else [])
    if isinstance(name, type):
        registry.add_method(name)
        known = name_of(name)
    else:
        known = file.stem if file else str(name)
    weights = WeightsFrom(places.expanded(weights_dir)) if weights_dir else None
    suites: list[DetectorChecks | DatasetChecks] = []
    if known in registry.entries["method"]:
        suites.append(DetectorChecks(*registry.method(known), weights))
    if known in registry.entries["dataset"]:
        suites.append(DatasetChecks(registry.open_dataset(known, data_root)))
    if not suites:
        names = [*registry.names("method"), *registry.names("dataset")]
        raise SettingsError(unknown("method or data set", known, names))
    return (outcome for suite in suites for outcome in run_checks(suite))


def _found(
    name: str,
    cls: type[Dataset],
    data_root: str | Path | None,
    download: bool,
    say: Callable[[str], None],
) -> Path:
    """Say where a data set is looked for, download it if asked to, and find its folder."""
    root = places.data_root(data_root)
    where = root or "nowhere: neither --data-root nor BENCH_DATA is given"
    say(f"  looked   {where} (itself, or {name}/ in it)")
    if download:
        if root is None:
            raise DataError("nowhere to download to; pass --data-root DIR or set BENCH_DATA")
        root.mkdir(parents=True, exist_ok=True)
        cls(root).download()
    folder = places.dataset_folder(root, name)
    say(f"  found    {folder}")
    return folder


def _windows(registry: Registry) -> dict[str, Any]:
    """Collect the papers' geometries, by the names of the methods that share one."""
    names: dict[Any, list[str]] = {}
    for name, entry in registry.entries["method"].items():
        if entry.preset is not None:
            continue
        try:
            names.setdefault(registry.method(name)[0].paper, []).append(name)
        except BenchError:  # a method that cannot be imported says so when it is run
            continue
    return {", ".join(methods): geometry for geometry, methods in names.items()}
