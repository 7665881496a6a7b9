"""Pages of the Python interface: python docs/api.py FOLDER (or make docs). A warning is an error."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import warnings
from pathlib import Path
from typing import get_type_hints

import pandas as pd
import pdoc

import benchmark

PACKAGES = ("benchmark", "benchmark.methods", "benchmark.datasets")


def main(folder: Path) -> None:
    warnings.filterwarnings("error", module=r"pdoc\.")
    # annotations say what a series holds, as its type stubs do; at run time it cannot be said
    pd.Series.__class_getitem__ = classmethod(lambda cls, _: cls)  # type: ignore[attr-defined]
    # a named tuple keeps the types of its fields as texts that only its own module can read
    modules = [m for name in PACKAGES for m in pdoc.extract.walk_specs([name])]
    for value in [v for name in modules for v in vars(importlib.import_module(name)).values()]:
        if isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields"):
            value.__new__.__annotations__.update(get_type_hints(value))
    public = sorted(benchmark._HOME)
    vars(benchmark).update({name: getattr(benchmark, name) for name in public})  # they load lazily
    rooms = [room.name for room in pkgutil.iter_modules(benchmark.__path__)]
    benchmark.__all__ = [*public, *(room for room in rooms if room != "__main__")]
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*PACKAGES, output_directory=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
