"""What a run is asked to do, from the command line, a YAML file or Python: one set of names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

import yaml

from benchmark import settings as settings_of
from benchmark.errors import DataError, SettingsError, unknown
from benchmark.settings import coerce, parse_assignment

if TYPE_CHECKING:
    from benchmark.data.dataset import Dataset


@dataclass(frozen=True)
class RunConfig:
    """The settings of ``bench run``. Names are those of the command line's options, with ``_``."""

    methods: tuple[str, ...] = ()
    dataset: str = "synthetic"
    categories: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    device: str = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    protocol: Literal["standard", "paper"] = "standard"
    image_size: int | None = None
    holdout: float | None = None
    data_root: str | None = None
    weights_dir: str | None = None
    weights: Literal["auto", "random"] = "auto"
    assets_dir: str | None = None
    results: str = "results/runs"
    set: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    plugin: tuple[str, ...] = ()
    name: str | None = None
    force: bool = False
    maps: bool = True
    dry_run: bool = False
    threads: int = 0

    @classmethod
    def build(cls, given: Mapping[str, Any], file: Path | None = None) -> RunConfig:
        """Command-line values over a file's values over the defaults.

        Args:
            given: option name -> value, only those given; ``set`` as a list of ``OWNER.NAME=VALUE``
                or a nested mapping.
            file: a YAML file with the same names; ``set`` there is a mapping per method.

        Raises:
            SettingsError: unknown names or wrong types, saying what is allowed.
        """
        values: dict[str, Any] = _read_yaml(file) if file else {}
        sets: dict[str, dict[str, Any]] = settings_by_owner(values.pop("set", {}))
        for method, named in settings_by_owner(given.get("set", {})).items():
            sets.setdefault(method, {}).update(named)
        values |= {k: v for k, v in given.items() if k != "set"}
        hints = get_type_hints(cls)
        known = [f.name for f in fields(cls)]
        for name, value in values.items():
            if name not in known:
                raise SettingsError(unknown("option", name, known))
            values[name] = coerce(value, hints[name], name)
        config = cls(**values, set=sets)
        if not config.methods:
            raise SettingsError(
                "no methods given; name some with --methods (see bench list methods)"
            )
        if len(set(config.seeds)) != len(config.seeds) or not config.seeds:
            raise SettingsError(f"seeds {list(config.seeds)}: give at least one, each once")
        stray = sorted(sets.keys() - {*config.methods, config.dataset})
        if stray:
            raise SettingsError(
                f"settings for {', '.join(stray)}, which this run does not include "
                f"(methods: {', '.join(config.methods)}; data set: {config.dataset})"
            )
        return config


def folder_from(option: str | None, variable: str) -> Path | None:
    """A folder given by an option or, failing that, by an environment variable."""
    value = option or os.environ.get(variable)
    return Path(value).expanduser() if value else None


def data_folder(root: Path | None, names: list[str]) -> Path:
    """The data set's own folder: ``root`` itself, or the folder in it with the data set's name.

    Raises:
        DataError: no root given, or it does not exist.
    """
    if root is None:
        raise DataError(
            f"data set {names[0]!r} needs a folder; pass --data-root DIR or set BENCH_DATA "
            f"(its own folder, or one that holds it as {names[0]}/)"
        )
    if not root.is_dir():
        raise DataError(f"data root {root}: no such folder; check --data-root or BENCH_DATA")
    for name in names:
        if (root / name).is_dir():
            return root / name
    return root


def open_dataset(
    cls: type[Dataset], root: Path | None, name: str, given: Mapping[str, Any]
) -> tuple[Dataset, dict[str, Any]]:
    """A data set with its settings, and those of them that differ from its defaults.

    Args:
        cls: the class.
        root: a data root (see :func:`data_folder`); unused where it needs none.
        name: its name on the command line.
        given: its settings, those left out have their defaults.

    Raises:
        DataError: no root, or no such folder.
        SettingsError: unknown names or wrong types.
    """
    defaults = settings_of.resolve(partial(cls, None), {}, name)
    values = settings_of.resolve(partial(cls, None), given, name)
    folder = data_folder(root, [name]) if cls.needs_root else None
    changed = {key: value for key, value in values.items() if value != defaults[key]}
    return cls(folder, **changed), changed


def settings_by_owner(given: Any) -> dict[str, dict[str, Any]]:
    """Settings per method or asset, from ``OWNER.NAME=VALUE`` texts or a nested mapping."""
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


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"--config {file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"--config {file}: is not YAML ({error})") from error
    if not isinstance(values, dict):
        raise SettingsError(f"--config {file}: expected names and values, such as methods: [spade]")
    return {str(name).replace("-", "_"): value for name, value in values.items()}
