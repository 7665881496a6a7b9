"""What a run consists of: its methods, its categories, and the cells that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from benchmark import machine, places
from benchmark import settings as settings_of
from benchmark.console import PlainConsole
from benchmark.data.dataset import Dataset
from benchmark.data.geometry import Geometry
from benchmark.data.stress import Stress, corruptions
from benchmark.detector.asset import Asset
from benchmark.detector.base import Detector
from benchmark.errors import (
    AssetError,
    DataError,
    DetectorError,
    SettingsError,
    WeightsError,
    sentence,
    unknown,
)
from benchmark.features.cache import FrozenFeatures
from benchmark.features.spec import FeatureSpec
from benchmark.features.weights import WeightsFrom
from benchmark.plugins.registry import Registry
from benchmark.records import files, store
from benchmark.runner.config import RunConfig
from benchmark.runner.protocol import Protocol
from benchmark.texts import path_component, shown_name


@dataclass(frozen=True)
class Asked:
    """A method that a run is asked for: its name, and the settings of a detector that was given."""

    name: str
    settings: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, method: Detector | type[Detector], name: str) -> Self:
        """Take a detector with its settings, or a class with its defaults."""
        given = method.settings() if isinstance(method, Detector) else {}
        return cls(name, tuple(given.items()))


@dataclass
class MethodPlan:
    """A method as one run uses it.

    Attributes:
        name: as typed on the command line.
        cls, settings: the class and its resolved settings.
        geometry: of its input under the run's protocol.
        version: the class's; of a class without a file with a hash of its source.
        draws: whether a seed changes anything.
        reusable: whether a finished record may count as this method's.
        asset_classes, asset_settings: its pre-trained parts; per name the resolved settings.
        weights: per frozen backbone: name, layers, source, SHA-256 over the tensors used.
        assets: name -> SHA-256.
        provenance: where the pre-trained parts come from: whether the weights of every backbone are
            the published ones, and per asset its settings, images and backbones.
        error: why the method cannot run at all; its cells fail with it.
    """

    name: str
    cls: type[Detector]
    settings: Mapping[str, Any]
    geometry: Geometry
    version: str
    draws: bool = True
    reusable: bool = True
    asset_classes: Sequence[type[Asset]] = ()
    asset_settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    weights: list[dict[str, Any]] = field(default_factory=list)
    assets: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=lambda: {"published_weights": True})
    precision: str = "float32"
    error: Exception | None = None

    def new(self) -> Detector:
        """Make a fresh detector with these settings."""
        return self.cls(**self.settings)

    def recorded_settings(self) -> dict[str, Any]:
        """Return the settings as records hold them; those of assets under ``ASSET.NAME``."""
        return settings_of.as_json(
            {
                **self.settings,
                **{f"{a}.{k}": v for a, s in self.asset_settings.items() for k, v in s.items()},
            }
        )

    def description(self) -> dict[str, Any]:
        """Return what the class says today, for the record: title, citation, whether a seed changes
        anything, and the defaults of all recorded settings.

        A class that has inherited its title is shown under its own name.
        """
        title = vars(self.cls).get("title")
        preset = self.cls.presets.get(self.name)
        if title and preset is not None:
            title = f"{title} ({self.name})"
        defaults = settings_of.resolve(self.cls, preset or {}, self.name)
        for asset in self.asset_classes:
            found = settings_of.resolve(asset, {}, asset.name)
            defaults |= {f"{asset.name}.{k}": v for k, v in found.items()}
        return {
            "title": title or self.name,
            "citation": self.cls.citation,
            "draws": self.draws,
            "defaults": settings_of.as_json(defaults),
        }

    def identity(self) -> str:
        """Build its folder's name from settings, version, weights, assets and precision."""
        return store.identity(
            {
                "settings": settings_of.as_json(self.settings),
                "version": self.version,
                # where they came from does not change a number
                "weights": [{**w, "source": None} for w in self.weights],
                "assets": self.assets,
                "precision": self.precision,
            }
        )


@dataclass
class Cell:
    """The unit of work: data set × category × method × seed under a protocol.

    Attributes:
        method, category, seed: what is run.
        path: where its files are.
        key: what its record must equal to count as this cell's; ``data`` is filled in when the
            category has been hashed.
        keep: whether the fitted detector is to be kept.
        fitted: the cell whose kept detector judges this one's corrupted images; None where the cell
            fits its own.
    """

    method: MethodPlan
    category: str
    seed: int
    path: store.CellPath
    key: dict[str, Any]
    keep: bool = False
    fitted: store.CellPath | None = None

    @property
    def title(self) -> str:
        harder = self.key["protocol"].keys() & {"shots", "contaminate", "corrupt"}
        words = "".join(f", {name} {self.key['protocol'][name]}" for name in sorted(harder))
        return f"{self.method.name} {self.category} seed {self.seed}{words}"


@dataclass
class Plan:
    """Everything that the cells of a run on one data set have in common.

    Attributes:
        source, dataset: the data set's name, and the data set.
        began: when it was made, by the clock of the results folder.
    """

    config: RunConfig
    console: PlainConsole
    source: str
    dataset: Dataset
    categories: list[str]
    protocol: Protocol
    features: FrozenFeatures
    methods: list[MethodPlan]
    results_dir: Path
    assets_dir: Path | None
    threads: int
    began: float

    @property
    def label(self) -> str:
        """The data set's name in results; settings other than its defaults are part of it.

        They are other data, which is never put into one table with the default's.
        """
        changed = [f"-{name}{value}" for name, value in sorted(self.dataset.settings.items())]
        return self.config.name or "".join([self.source, *changed])

    def variants(self) -> list[Plan]:
        """List the run itself, and again for each way in which it is to be made harder.

        The detectors are kept where test images are to be corrupted: those judge the corrupted ones.

        Raises:
            SettingsError: shots, a share or a corruption that is not allowed.
        """
        config = self.config
        ways = [
            *(Stress(shots=count) for count in config.shots),
            *(Stress(contaminate=share) for share in config.contaminate),
            *(Stress(corrupt=text) for text in corruptions(config.corrupt)),
        ]
        harder = [replace(self, protocol=replace(self.protocol, stress=way)) for way in ways]
        return [
            replace(self, config=replace(config, keep=config.keep or bool(config.corrupt))),
            *harder,
        ]

    @property
    def folder(self) -> Path:
        """The folder of the data set and protocol among the results."""
        label = path_component(self.label, "data set")
        return self.results_dir / label / path_component(self.protocol.label, "protocol")

    @property
    def size(self) -> int:
        """The number of cells."""
        return len(self.categories) * len(self.methods) * len(self.config.seeds)

    def cells(self, category: str) -> list[Cell]:
        """List the cells of one category, those of one method side by side."""
        return [
            self._cell(method, category, seed)
            for method in self.methods
            for seed in self.config.seeds
        ]

    def _cell(self, method: MethodPlan, category: str, seed: int) -> Cell:
        def path(protocol: Protocol) -> store.CellPath:
            where = (self.results_dir, self.label, protocol.label, method.name)
            return store.CellPath(*where, method.identity(), category, seed)

        corrupt = bool(self.protocol.stress.corrupt)
        fitted = path(replace(self.protocol, stress=Stress())) if corrupt else None
        key = {
            "dataset": self.label,
            "source": self.source,
            "category": category,
            "method": method.name,
            "seed": seed,
            "protocol": self.protocol.as_json(type(self.dataset)),
            "geometry": method.geometry.as_json(),
            "data": None,
            "settings": settings_of.as_json(method.settings),
            "version": method.version,
            "weights": method.weights,
            "assets": method.assets,
            "precision": method.precision,
        }
        if self.config.mask_threshold is not None:
            key["mask_threshold"] = self.config.mask_threshold
        if self.dataset.settings:
            key["source_settings"] = settings_of.as_json(self.dataset.settings)
        keep = self.config.keep and not corrupt
        return Cell(method, category, seed, path(self.protocol), key, keep, fitted)


def prepare(
    config: RunConfig,
    registry: Registry,
    console: PlainConsole,
    source: str | None = None,
    asked: Sequence[Asked] | None = None,
    dataset: Dataset | None = None,
) -> Plan:
    """Find everything that the configuration names.

    Args:
        config: the run's options.
        registry: for names.
        console: shows the run.
        source: which of the configuration's data sets; None is the first.
        asked: the methods; None is those of the configuration.
        dataset: the data set, if it is open already.

    Raises:
        BenchError: something named is unknown, missing or unusable for the whole run. What only
            stops one method (its weights, its assets, its own code) is kept as that method's error.
    """
    source = source or config.dataset[0]
    wanted = asked if asked is not None else [Asked(name) for name in config.methods]
    if dataset is None:
        dataset = registry.open_dataset(source, config.data_root, config.set.get(source, {}))
    categories = dataset.categories()
    known = {shown_name(name): name for name in categories}
    for name in config.categories:
        path_component(name, "category")
        if shown_name(name) not in known:
            raise DataError(unknown(f"category of {source}", name, categories))
    for text in dataset.unread():
        console.say(f"warning: no category: {text}")
    results_dir = places.expanded(config.results)
    began = files.check_writable(results_dir)
    # with workers, theirs is another, and the memory of a GPU here is theirs, too
    device = machine.choose_device("cpu" if config.ray else config.device)
    weights = WeightsFrom(places.weights_dir(config.weights_dir), config.weights)
    plan = Plan(
        config,
        console,
        source,
        dataset,
        [known[shown_name(name)] for name in config.categories] or categories,
        Protocol(config.protocol, config.holdout, config.image_size, config.keep_aspect),
        FrozenFeatures(weights, device, precision=config.backbone_precision, keep=False),
        [],
        results_dir,
        places.assets_dir(config.assets_dir),
        config.threads or machine.cores(),
        began,
    )
    for method in dict.fromkeys(wanted):
        plan.methods.append(_method(plan, registry, method))
    if len(plan.methods) == 1 and isinstance(wrong := plan.methods[0].error, SettingsError):
        raise wrong  # a wrong value is put right at once where nothing else could run
    assets = (name for method in plan.methods for name in method.asset_settings)
    owners = {*config.methods, *config.dataset, *assets}
    if (stray := sorted(config.set.keys() - owners)) and not any(m.error for m in plan.methods):
        raise SettingsError(
            f"settings for {', '.join(stray)}, which this run does not include "
            f"(methods, their assets and the data set: {', '.join(sorted(owners))})"
        )
    return plan


def _method(plan: Plan, registry: Registry, asked: Asked) -> MethodPlan:
    config, name = plan.config, asked.name
    cls, preset = registry.method(name)
    chosen = {**preset, **config.set.get(name, {}), **dict(asked.settings)}
    settings = settings_of.resolve(cls, chosen, name)
    geometry = plan.protocol.geometry(type(plan.dataset), cls.paper)
    source = registry.source_of(name)
    version = registry.version_of(name)
    method = MethodPlan(name, cls, settings, geometry, version, precision=config.precision)
    if source == "":
        method.reusable = False
        plan.console.say(
            f"{name}: its source is not to be had, so its cells are run anew each time"
        )
    part = f"method {name}"
    try:
        detector = method.new()
        method.draws = detector.draws
        method.asset_classes = detector.assets()
        for asset in method.asset_classes:
            given = config.set.get(asset.name, {})
            method.asset_settings[asset.name] = settings_of.resolve(asset, given, asset.name)
        for spec in detector.needs():
            part = f"backbone {spec.backbone}"
            _add_weights(method, spec, plan.features)
        for asset in method.asset_classes:
            part = f"asset {asset.name}"
            _add_asset(method, asset, plan.assets_dir)
    except (WeightsError, AssetError, SettingsError) as error:
        method.error = error
    except Exception as error:  # whatever a method does, the others run
        method.error = DetectorError(f"{part} cannot be used here ({sentence(error)})")
        method.error.__cause__ = error
    return method


def _add_weights(method: MethodPlan, spec: FeatureSpec, features: FrozenFeatures) -> None:
    backbone = features.backbone(spec.backbone)
    method.weights.append(backbone.entry(backbone.resolve(spec.layers), spec.normalise))
    published = method.provenance["published_weights"]
    method.provenance["published_weights"] = published and backbone.published


def _add_asset(method: MethodPlan, cls: type[Asset], folder: Path | None) -> None:
    loaded = cls(**method.asset_settings[cls.name]).load(folder)
    method.assets[cls.name] = loaded.sha256
    origin = {name: loaded.info.get(name) for name in ("settings", "images", "backbones")}
    method.provenance.setdefault("assets", {})[cls.name] = origin
