"""Tables of results: live ones of whatever was run, and the published ones.

``TABLES`` lists them by name. A published table is a :class:`benchmark.tables.layout.Layout` in a
file of ``results/published``; the files are listed when ``TABLES`` is first asked for, so a new table
is one file there. Everything that needs pandas loads when a table is made.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.tables.layout import Layout, Live

    TABLES: dict[str, Layout | Live]


def __getattr__(name: str) -> object:
    """Make ``TABLES`` when it is first asked for: listing it imports the layouts, which import this
    package."""
    if name == "TABLES":
        return _tables()
    raise AttributeError(f"module 'benchmark.tables' has no attribute {name!r}")


def make(name: str, *, form: str = "markdown", **options: Any) -> str:
    """Make a table as text.

    Args:
        name: a key of :data:`TABLES`, or a YAML file of your own.
        form: ``markdown``, ``latex``, ``csv`` or ``html``.
        options: the other fields of :class:`benchmark.tables.request.Request`.

    Raises:
        BenchError: an unknown name, or records that cannot make this table.
    """
    from benchmark.tables import request

    return request.make(request.Request(name, **options), form)


@cache
def _tables() -> dict[str, Layout | Live]:
    import benchmark.published as folder
    from benchmark.tables.layout import Layout, Live

    found: list[Layout | Live] = [
        Live("per-category", "categories × methods for one metric, mean ± std over seeds"),
        Live("summary", "methods × metrics, averaged over categories, mean ± std over seeds"),
        Live("ranks", "methods ranked over categories, and which of them these tell apart"),
        Live("sensitivity", "what the order of methods hangs on: seed, category, metric"),
        Live("stress", "what falls by how much with few, dirty or corrupted images"),
        Live("bibliography", "the papers as BibTeX, for the citations of a table of yours"),
    ]
    for module in pkgutil.iter_modules(folder.__path__):
        if not module.name.startswith("_"):
            names = vars(importlib.import_module(f"{folder.__name__}.{module.name}"))
            layouts = [*names.values(), *names.get("LAYOUTS", ())]
            found += [value for value in layouts if isinstance(value, Layout)]
    return {table.name: table for table in found}
