"""``bench pretrain``: build an asset once, from a folder of natural images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from benchmark import machine, places
from benchmark import settings as settings_of
from benchmark.console import open_console
from benchmark.data.dataset import Sample
from benchmark.data.geometry import Geometry
from benchmark.data.images import EXTENSIONS, FileSource
from benchmark.data.loading import ImageSet, decode_samples, hash_samples
from benchmark.detector.context import Checkpoint, Context
from benchmark.errors import AssetError, DataError, unknown
from benchmark.features.cache import FrozenFeatures
from benchmark.features.weights import WeightsFrom
from benchmark.plugins.registry import Registry


def pretrain(
    name: str,
    images: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    assets_dir: str | Path | None = None,
    weights_dir: str | Path | None = None,
    weights: Literal["auto", "random"] = "auto",
    device: str = "auto",
    plugin: Iterable[str | Path] = (),
    force: bool = False,
) -> tuple[Path, bool]:
    """Build an asset; goes on where a killed build stopped.

    Args:
        name: of the asset, for instance ``igd-encoder``.
        images: a folder of natural images.
        settings: of the asset, where they differ from its defaults.
        assets_dir, weights_dir: see :mod:`benchmark.places`.
        weights: ``random`` for backbones that are not pre-trained.
        device: as in ``bench run``.
        plugin: files with further methods.
        force: build it again.

    Returns:
        Its file, and whether it was built now.

    Raises:
        AssetError: an unknown name, or no place to keep it.
        DataError: no images.
    """
    known = Registry([Path(p) for p in plugin]).assets()
    if name not in known:
        raise AssetError(unknown("asset", name, known))
    cls = known[name]
    asset = cls(**settings_of.resolve(cls, settings or {}, name))
    folder = places.assets_dir(assets_dir)
    if folder is None:
        raise AssetError("where to keep the asset? pass --assets-dir DIR (or set BENCH_ASSETS)")
    path = asset.path(folder)
    if path.exists() and not force:
        return path, False
    samples = _samples(places.expanded(images))
    threads = machine.cores()
    keys, fingerprint = hash_samples(samples, threads)
    geometry = Geometry(resize=cls.size, crop=cls.size)
    pixels = ImageSet(decode_samples(samples, [geometry], threads)[geometry], keys)
    place = machine.choose_device(device)
    features = FrozenFeatures(WeightsFrom(places.weights_dir(weights_dir), weights), place)
    with open_console() as console:
        context = Context(
            features,
            geometry,
            ("0", "pretrain", name, fingerprint),
            device=place,
            progress=console,
            checkpoint=Checkpoint(path.with_suffix(f".{fingerprint}.checkpoint")),
            assets_dir=folder,
        )
        state = asset.build(pixels, context)
    info = {
        "images": {"count": len(samples), "fingerprint": fingerprint},
        "backbones": features.sources(),
        "curves": context.meters.curves,
        "environment": machine.describe(place),
    }
    asset.save(state, info, folder)
    context.checkpoint.delete()
    return path, True


def _samples(folder: Path) -> list[Sample]:
    if not folder.is_dir():
        raise DataError(f"--images {folder}: no such folder")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
    if not paths:
        raise DataError(
            f"--images {folder}: no images in it (looked for {', '.join(sorted(EXTENSIONS))})"
        )
    return [Sample(str(path.relative_to(folder)), FileSource(path)) for path in paths]
