"""What a run is asked to do, from the command line, a YAML file or Python: one set of names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

from benchmark.errors import SettingsError, unknown
from benchmark.places import RESULTS, expanded
from benchmark.settings import coerce_yaml, parse_assignment
from benchmark.texts import read_yaml, shown_name


@dataclass(frozen=True)
class RunConfig:
    """The settings of ``bench run``. Names are those of the command line's options, with ``_``."""

    methods: tuple[str, ...] = ()
    dataset: tuple[str, ...] = ("synthetic",)
    categories: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    device: str = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    backbone_precision: Literal["float32", "bfloat16"] = "float32"
    protocol: Literal["standard", "paper"] = "standard"
    image_size: int | str | None = None
    keep_aspect: bool = False
    holdout: float | None = None
    mask_threshold: int | None = None
    data_root: str | None = None
    weights_dir: str | None = None
    weights: Literal["auto", "random"] = "auto"
    assets_dir: str | None = None
    results: str = RESULTS
    set: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    plugin: tuple[str, ...] = ()
    name: str | None = None
    force: bool = False
    maps: bool = True
    keep: bool = False
    shots: tuple[int, ...] = ()
    contaminate: tuple[float, ...] = ()
    corrupt: tuple[str, ...] = ()
    threads: int = 0
    ray: str | None = None
    gpus_per_worker: float | None = None
    cpus_per_worker: int | None = None

    @classmethod
    def build(cls, given: Mapping[str, Any], file: Path | None = None) -> RunConfig:
        """Combine the options: command line over file over defaults.

        Args:
            given: option name -> value, only those given; ``set`` as a list of ``OWNER.NAME=VALUE``
                or a nested mapping.
            file: a YAML file with the same names; ``set`` there is a mapping per method.

        Raises:
            SettingsError: unknown names or wrong types, saying what is allowed.
        """
        values, written = _read_file(file) if file else ({}, {})
        sets: dict[str, dict[str, Any]] = settings_by_owner(values.pop("set", {}))
        for method, named in settings_by_owner(given.get("set", {})).items():
            sets.setdefault(method, {}).update(named)
        values |= {k: v for k, v in given.items() if k != "set"}
        if isinstance(values.get("dataset"), str):
            values["dataset"] = [values["dataset"]]
        hints = get_type_hints(cls)
        known = [f.name for f in fields(cls)]
        for name, value in values.items():
            if name not in known:
                raise SettingsError(unknown("option", name, known))
            text = None if name in given else written.get(name)
            values[name] = coerce_yaml(value, text, hints[name], name)
        config = cls(**_places(values), set=sets)
        if not config.methods:
            raise SettingsError(
                "no methods given; name some with --methods (see bench list methods)"
            )
        if config.threads < 0:
            raise SettingsError(
                f"threads {config.threads}: allowed are 1 and more; 0 for all cores"
            )
        if config.ray is None and (config.gpus_per_worker, config.cpus_per_worker) != (None, None):
            raise SettingsError("workers are Ray's; add --ray, or leave --..-per-worker out")
        if (config.gpus_per_worker or 0) < 0 or (config.cpus_per_worker or 1) < 1:
            raise SettingsError(
                f"a worker of {config.cpus_per_worker} cores and {config.gpus_per_worker} GPUs: "
                "allowed are 1 core and more, 0 GPUs and more, such as 0.5"
            )
        if len(set(config.seeds)) != len(config.seeds) or not config.seeds:
            raise SettingsError(f"seeds {list(config.seeds)}: give at least one, each once")
        if config.mask_threshold is not None and not 0 <= config.mask_threshold < 255:
            raise SettingsError(f"mask threshold {config.mask_threshold}: allowed are 0 to 254")
        return config


def settings_by_owner(given: Any) -> dict[str, dict[str, Any]]:
    """Sort settings by method or asset, from ``OWNER.NAME=VALUE`` texts or a nested mapping."""
    out: dict[str, dict[str, Any]] = {}
    if isinstance(given, Mapping):
        for method, named in given.items():
            if not isinstance(named, Mapping):
                raise SettingsError(
                    f"set.{method}: got {named!r}; write settings as a mapping, for instance "
                    "set: {spade: {k: 5}}"
                )
            out[str(method)] = dict(named)
        return out
    for text in given:
        method, name, value = parse_assignment(text)
        out.setdefault(method, {})[name] = value
    return out


def _read_file(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the options of a YAML file, and the same as they are written."""
    values, written = read_yaml(expanded(file), f"--config {file}")
    if not isinstance(values, dict):
        raise SettingsError(f"--config {file}: expected names and values, such as methods: [spade]")
    both = (values, written)
    values, written = ({str(k).replace("-", "_"): v for k, v in d.items()} for d in both)
    return values, written


def _places(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace ``~`` in the options' paths, and compose names as the data sets' are."""
    out = dict(values)
    for name in ("data_root", "weights_dir", "assets_dir", "results"):
        if out.get(name):
            out[name] = str(expanded(out[name]))
    if "plugin" in out:
        out["plugin"] = tuple(str(expanded(path)) for path in out["plugin"])
    if "categories" in out:
        out["categories"] = tuple(map(shown_name, out["categories"]))
    if out.get("name"):
        out["name"] = shown_name(out["name"])
    return out
