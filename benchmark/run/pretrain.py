"""``bench pretrain``: build an asset once, from a folder of natural images."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from benchmark import settings as settings_of
from benchmark.console import open_console
from benchmark.data.dataset import Sample
from benchmark.data.geometry import Geometry
from benchmark.data.images import EXTENSIONS, FileSource
from benchmark.data.loading import ImageSet, decode_samples, hash_samples
from benchmark.detector import asset as assets
from benchmark.detector.context import Checkpoint, Context
from benchmark.errors import AssetError, DataError, unknown
from benchmark.features.backbones import WeightsFrom
from benchmark.features.cache import FrozenFeatures
from benchmark.machine import choose_device, cores, describe
from benchmark.plugins.registry import Registry
from benchmark.run.config import folder_from, settings_by_owner


def pretrain(given: Namespace) -> int:
    """Build the asset that the options describe; goes on where a killed build stopped."""
    known = Registry([Path(p) for p in given.plugin]).assets()
    if given.name not in known:
        raise AssetError(unknown("asset", given.name, known))
    cls = known[given.name]
    owners = settings_by_owner(given.set)
    if stray := owners.keys() - {given.name}:
        raise AssetError(f"--set names {', '.join(stray)}; write {given.name}.SETTING=VALUE")
    asset = cls(**settings_of.resolve(cls, owners.get(given.name, {}), given.name))
    folder = folder_from(given.assets_dir, "BENCH_ASSETS")
    if folder is None:
        raise AssetError("where to keep the asset? pass --assets-dir DIR (or set BENCH_ASSETS)")
    path = asset.path(folder)
    if path.exists() and not given.force:
        print(f"{path} exists already; --force builds it again")
        return 0
    images = _images(Path(given.images))
    threads = cores()
    keys, fingerprint = hash_samples(images, threads)
    geometry = Geometry(resize=cls.size, crop=cls.size)
    pixels = ImageSet(decode_samples(images, [geometry], threads)[geometry], keys)
    device = choose_device(given.device)
    weights = WeightsFrom(folder_from(given.weights_dir, "BENCH_WEIGHTS"), given.weights)
    features = FrozenFeatures(weights, device)
    with open_console() as console:
        context = Context(
            features,
            geometry,
            ("0", "pretrain", given.name, fingerprint),
            device=device,
            progress=console,
            checkpoint=Checkpoint(path.with_suffix(f".{fingerprint}.checkpoint")),
            assets_dir=folder,
        )
        state = asset.build(pixels, context)
    info = {
        "images": {"count": len(images), "fingerprint": fingerprint},
        "backbones": features.sources(),
        "curves": context.meters.curves,
        "environment": describe(device),
    }
    assets.save(asset, state, info, folder)
    context.checkpoint.delete()
    print(f"{given.name}: {path}")
    return 0


def _images(folder: Path) -> list[Sample]:
    if not folder.is_dir():
        raise DataError(f"--images {folder}: no such folder")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
    if not paths:
        raise DataError(
            f"--images {folder}: no images in it (looked for {', '.join(sorted(EXTENSIONS))})"
        )
    return [Sample(str(path.relative_to(folder)), FileSource(path)) for path in paths]
