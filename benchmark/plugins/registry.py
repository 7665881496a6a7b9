"""Finds methods and data sets by name, without importing the others.

A name is a file or a folder in ``methods/`` or ``datasets/``, an installed package's entry point in
the group ``benchmark.methods`` or ``benchmark.datasets``, or a file the user names with ``--plugin``.
Files are listed from their source text, so that ``bench list`` needs no heavy library; only what a
run uses is imported.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from benchmark import places
from benchmark import settings as settings_of
from benchmark.errors import SettingsError, unknown
from benchmark.plugins.source import class_source

if TYPE_CHECKING:
    from benchmark.data.dataset import Dataset
    from benchmark.detector.asset import Asset
    from benchmark.detector.base import Detector

Kind = Literal["method", "dataset"]
KINDS: tuple[Kind, ...] = ("method", "dataset")
_BASE = {"method": "Detector", "dataset": "Dataset"}
_PACKAGE = {"method": "benchmark.methods", "dataset": "benchmark.datasets"}
_PLUGIN = "bench_plugin_"


@dataclass(frozen=True)
class Entry:
    """Something that can be named on the command line.

    Attributes:
        name: as typed.
        kind: ``method`` or ``dataset``.
        summary: first line of the class's or module's docstring; empty when not known unimported.
        origin: ``built in``, ``plugin FILE`` or ``package NAME``.
        preset: the named variant of its class that this is, if any.
        load: imports the module (or object) that defines it.
    """

    name: str
    kind: Kind
    summary: str
    origin: str
    load: Callable[[], Any]
    preset: str | None = None


class Registry:
    """All known names: built in, installed, and the plugin files of this run."""

    def __init__(self, plugins: Sequence[Path] = ()) -> None:
        self.entries: dict[Kind, dict[str, Entry]] = {"method": {}, "dataset": {}}
        for kind in KINDS:
            self._built_in(kind)
            self._installed(kind)
        for path in {Path(path).resolve(): path for path in plugins}.values():  # each file once
            self._plugin(Path(path))

    def names(self, kind: Kind) -> list[str]:
        return sorted(self.entries[kind])

    def entry(self, kind: Kind, name: str) -> Entry:
        """Raises SettingsError with the nearest known name."""
        if name not in self.entries[kind]:
            word = {"method": "method", "dataset": "data set"}[kind]
            raise SettingsError(unknown(word, name, self.names(kind)))
        return self.entries[kind][name]

    def method(self, name: str) -> tuple[type[Detector], dict[str, Any]]:
        """Import a method's class, and return it with the settings of the preset that ``name``
        stands for."""
        from benchmark.detector.base import Detector

        entry = self.entry("method", name)
        cls = _class_in(entry, Detector)
        return cls, dict(cls.presets[entry.preset]) if entry.preset else {}

    def add_method(self, cls: type[Detector]) -> None:
        """Enter a detector's class from Python code.

        Raises:
            SettingsError: another method has that name.
        """
        name = name_of(cls)
        if name not in self.entries["method"]:
            summary = (cls.__doc__ or cls.__name__).strip().splitlines()[0]
            self._add("method", name, summary, "given", lambda: cls, ())
        elif self.method(name)[0] is not cls:
            raise SettingsError(
                f"a class of the name {cls.__name__} would be the method {name!r}, which is another "
                "one; rename the class"
            )

    def source_of(self, name: str) -> str | None:
        """8 digits of the SHA-256 of a given class's source text; empty when there is none, None
        for a method that has a file of its own."""
        if self.entry("method", name).origin != "given":
            return None
        try:
            text = class_source(self.method(name)[0])
        except OSError:
            return ""
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def version_of(self, name: str) -> str:
        """Return a method's version; of a class without a file with a hash of its source."""
        version, source = self.method(name)[0].version, self.source_of(name)
        return version if source is None else f"{version}+{source or 'unknown'}"

    def dataset(self, name: str) -> type[Dataset]:
        """Import a data set's class."""
        from benchmark.data.dataset import Dataset

        cls: type[Dataset] = _class_in(self.entry("dataset", name), Dataset)
        return cls

    def assets(self) -> Mapping[str, type[Asset]]:
        """Collect every asset that some method asks for by default, by name. Imports all methods;
        one that cannot be imported has none."""
        found: dict[str, type[Asset]] = {}
        for name, entry in self.entries["method"].items():
            if entry.preset is None:
                with contextlib.suppress(SettingsError):
                    found |= {asset.name: asset for asset in self.method(name)[0]().assets()}
        return found

    def open_dataset(
        self,
        name: str,
        root: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Dataset:
        """Open a data set, found below ``root`` or ``BENCH_DATA``, with these of its settings.

        Raises:
            DataError: its folder is not there.
            SettingsError: a setting of another name or type.
        """
        cls = self.dataset(name)
        declared = partial(cls, None)  # the root is no setting
        defaults = settings_of.resolve(declared, {}, name)
        given = settings_of.resolve(declared, settings or {}, name)
        folder = places.dataset_folder(places.data_root(root), name) if cls.needs_root else None
        changed = {key: value for key, value in given.items() if value != defaults[key]}
        dataset = cls(folder, **changed)
        dataset.settings = changed
        return dataset

    def _built_in(self, kind: Kind) -> None:
        package = importlib.import_module(_PACKAGE[kind])
        for module in pkgutil.iter_modules(package.__path__):
            if module.name.startswith("_"):
                continue
            below = f"{module.name}/__init__.py" if module.ispkg else f"{module.name}.py"
            source = Path(package.__path__[0]) / below
            try:
                summary, presets = _described(source, kind)
            except SyntaxError as error:  # it costs itself; importing it says so, too
                summary, presets = f"cannot be read: line {error.lineno}: {error.msg}", ()
            load = partial(importlib.import_module, f"{_PACKAGE[kind]}.{module.name}")
            self._add(kind, module.name, summary, "built in", load, presets)

    def _installed(self, kind: Kind) -> None:
        for point in entry_points(group=_PACKAGE[kind]):
            origin = f"package {point.dist.name}" if point.dist else "package"
            self._add(kind, point.name, "", origin, point.load, ())

    def _plugin(self, path: Path) -> None:
        source = path / "__init__.py" if path.is_dir() else path
        if not source.is_file():
            raise SettingsError(f"--plugin {source}: no such file")
        try:
            found = [kind for kind in KINDS if _described(source, kind) != ("", ())]
        except SyntaxError as error:
            raise SettingsError(f"--plugin {source}: line {error.lineno}: {error.msg}") from error
        if not found:
            raise SettingsError(
                f"--plugin {path}: no class derived from Detector or Dataset in it; "
                "`bench new method NAME` writes a file to start from"
            )
        for kind in found:
            summary, presets = _described(source, kind)
            origin = f"plugin {path}"
            self._add(
                kind, path.stem, summary, origin, partial(_from_file, path.stem, source), presets
            )

    def _add(
        self,
        kind: Kind,
        name: str,
        summary: str,
        origin: str,
        load: Callable[[], Any],
        presets: Sequence[str],
    ) -> None:
        for title, preset in ((name, None), *((p, p) for p in presets)):
            if title in self.entries[kind]:
                raise SettingsError(
                    f"{kind} {title!r} from {origin} has the name of one that is "
                    f"{self.entries[kind][title].origin}; rename it"
                )
            text = summary if preset is None else f"{summary} (preset of {name})"
            self.entries[kind][title] = Entry(title, kind, text, origin, load, preset)


def name_of(cls: type) -> str:
    """Tell a class's name on the command line; one of its own making where it has no file there.

    >>> class MyMethod: ...
    >>> name_of(MyMethod)
    'my_method'
    """
    for package in _PACKAGE.values():
        if cls.__module__.startswith(f"{package}."):
            return cls.__module__.removeprefix(f"{package}.").partition(".")[0]
    if cls.__module__.startswith(_PLUGIN):
        return cls.__module__.removeprefix(_PLUGIN)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()


def _described(source: Path, kind: Kind) -> tuple[str, Sequence[str]]:
    """Read summary line and preset names of a file from its source text; ("", ()) if not of the
    kind."""
    tree = ast.parse(source.read_bytes(), filename=str(source))
    known = {_BASE[kind]}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            known |= {a.asname or a.name for a in node.names if _imports(node, a.name, kind)}
        if not isinstance(node, ast.ClassDef) or not known & _names(node.bases):
            continue
        known.add(node.name)
        if node.name.startswith("_"):
            continue
        text = ast.get_docstring(node) or ast.get_docstring(tree) or node.name
        presets: list[str] = []
        for item in node.body:
            target: ast.expr
            if isinstance(item, ast.AnnAssign):
                target, value = item.target, item.value
            elif isinstance(item, ast.Assign):
                target, value = item.targets[0], item.value
            else:
                continue
            if getattr(target, "id", "") == "presets" and isinstance(value, ast.Dict):
                presets = [str(k.value) for k in value.keys if isinstance(k, ast.Constant)]
        return text.splitlines()[0], presets
    return "", ()


def _imports(node: ast.ImportFrom, name: str, kind: Kind) -> bool:
    """Tell whether an import brings the base class, or a method or data set to derive from."""
    if node.level:  # a sibling's class, as far as the text can tell
        return name[:1].isupper()
    public = not any(part.startswith("_") for part in (node.module or "").split("."))
    package, module = _PACKAGE[kind], node.module or ""
    inside = module == package or module.startswith(f"{package}.")
    return name == _BASE[kind] or (inside and public)


def _names(bases: Sequence[ast.expr]) -> set[str]:
    """Collect the names in bases: ``Padim`` of ``Padim``; ``padim`` and ``Padim`` of
    ``padim.Padim``."""
    found = set()
    for base in bases:
        for part in ast.walk(base):
            name = part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "")
            found.add(name)
    return found


def _class_in(entry: Entry, base: type) -> Any:
    try:
        loaded = entry.load()
    except Exception as error:  # a plugin's own code may fail in any way
        raise SettingsError(
            f"{entry.kind} {entry.name!r} ({entry.origin}) cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    if isinstance(loaded, type):
        return loaded
    assert isinstance(loaded, ModuleType)
    classes = [
        value
        for name, value in vars(loaded).items()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == loaded.__name__
        and not name.startswith("_")
    ]
    if len(classes) != 1:
        raise SettingsError(
            f"{entry.kind} {entry.name!r} ({entry.origin}): the file has {len(classes)} public "
            f"{base.__name__} classes; it needs exactly one"
        )
    return classes[0]


def _from_file(stem: str, source: Path) -> ModuleType:
    name = f"{_PLUGIN}{stem}"
    below = [str(source.parent)] if source.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, source, submodule_search_locations=below)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and type hints look their module up
    spec.loader.exec_module(module)
    return module
