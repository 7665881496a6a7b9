"""Using kept detectors: loading, judging new images, proving, exporting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmark import places
from benchmark.console import open_console

if TYPE_CHECKING:
    from benchmark.api.views import Folder
    from benchmark.deploy.export import Exported
    from benchmark.deploy.graph import OnnxDetector
    from benchmark.deploy.judge import Judge
    from benchmark.deploy.loaded import LoadedDetector
    from benchmark.deploy.predict import Outcome
    from benchmark.deploy.proof import Proof


def load_detector(
    detector: str | Path,
    *,
    dataset: str | None = None,
    category: str | None = None,
    seed: int | None = None,
    results: Folder | Iterable[Folder] = places.RESULTS,
    device: str = "auto",
    weights_dir: str | Path | None = None,
    plugin: Iterable[str | Path] = (),
    threads: int = 0,
) -> LoadedDetector:
    """Load a detector that ``bench run --keep`` kept.

    >>> loaded = ib.load_detector("PatchCore (resnet18)", category="bottle")  # doctest: +SKIP
    >>> for verdict in loaded.predict(["a.png", pixels]):  # doctest: +SKIP
    ...     print(verdict.name, verdict.score, verdict.decision, verdict.map.shape)

    Args:
        detector: a record, the JSON of a kept detector, a folder that holds one, or a method or
            readable name that is looked for in ``results``.
        dataset, category, seed: which one, where there are several.
        results: folders of records.
        device, weights_dir, plugin, threads: as in :func:`run`.

    Returns:
        What ``predict`` (a list), ``verdicts`` (one after the other, for any number of images) and
        :func:`predict` judge images with.

    Raises:
        StoreError: there is none, or several: lists them; its files are damaged.
        WeightsError: other weights than those it was fitted with.
    """
    from benchmark.api.views import folders
    from benchmark.deploy.loaded import load
    from benchmark.records.kept import find

    found = find(detector, folders(results), dataset=dataset, category=category, seed=seed)
    return load(found, device=device, weights_dir=weights_dir, plugin=plugin, threads=threads)


def load_onnx(path: str | Path, *, threads: int = 0) -> OnnxDetector:
    """Load a graph that :func:`export` wrote: the folder, or the file. Used like a detector."""
    from benchmark.deploy.export import GRAPH
    from benchmark.deploy.graph import OnnxDetector

    place = places.expanded(path)
    return OnnxDetector(place / GRAPH if place.is_dir() else place, threads)


def predict(
    detector: Judge,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    maps: Literal["png", "npy", "none"] = "png",
    pictures: bool = True,
    batch_size: int = 0,
    force: bool = False,
) -> Outcome:
    """Judge image files into a folder: a table, maps, pictures, a contact sheet.

    Args:
        detector: from :func:`load_detector` or :func:`load_onnx`.
        images: files and folders.
        out: the folder; what it holds of the same detector is kept, and the rest is done.
        maps: 16-bit PNG, ``npy`` (float32), or none.
        pictures: whether photographs are drawn beside their maps, and a contact sheet.
        batch_size: images judged together; 0 as in the run.
        force: judge all anew.

    Raises:
        DataError: no image there.
        StoreError: ``out`` cannot be written, or holds verdicts of another detector.
    """
    from benchmark.deploy.pictures import Wanted
    from benchmark.deploy.predict import predict

    paths = [images] if isinstance(images, str | Path) else list(images)
    with open_console() as console:
        return predict(
            detector,
            paths,
            places.expanded(out),
            console,
            wanted=Wanted(maps, pictures),
            batch_size=batch_size,
            force=force,
        )


def prove(
    detector: Judge,
    *,
    data_root: str | Path | None = None,
    plugin: Iterable[str | Path] = (),
    batch_size: int = 0,
) -> Proof:
    """Judge the test images of a kept detector's record again, and compare with the record.

    Args:
        detector: from :func:`load_detector`.
        data_root, plugin: where the images are.
        batch_size: images judged together; 0 as in the run.
    """
    from benchmark.deploy.proof import prove, tested

    return prove(detector, tested(detector.kept, data_root, plugin), batch_size)


def export(
    detector: LoadedDetector,
    out: str | Path,
    *,
    data_root: str | Path | None = None,
    plugin: Iterable[str | Path] = (),
    threads: int = 0,
) -> Exported:
    """Write a kept detector as an ONNX graph, with its proof and its card.

    Args:
        detector: from :func:`load_detector` with ``device="cpu"``.
        out: the folder.
        data_root, plugin: where the record's test images are.
        threads: of onnxruntime; 0 is all cores.

    Raises:
        ExportError: the method cannot be traced, or the graph gives other numbers than the record.
    """
    from benchmark.deploy.export import export

    with open_console() as console:
        place = places.expanded(out)
        return export(detector, place, console, data_root=data_root, plugin=plugin, threads=threads)
