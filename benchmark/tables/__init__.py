"""Tables of results: live ones of whatever was run, and the papers' own.

``TABLES`` lists them by name. Layouts are data; everything that needs pandas loads when a table is
made.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from benchmark.tables.dsr import DSR_3
from benchmark.tables.igd import IGD_1, IGD_2, IGD_3, IGD_4, IGD_5
from benchmark.tables.layout import Layout, Live
from benchmark.tables.rd4ad import RD4AD_2, RD4AD_3
from benchmark.tables.spade import SPADE_3, SPADE_4

_ALL: tuple[Layout | Live, ...] = (
    Live("per-category", "categories × methods for one metric, mean ± std over seeds"),
    Live("summary", "methods × metrics, averaged over categories, mean ± std over seeds"),
    Live("bibliography", "the papers as BibTeX, for the citations of a table of yours"),
    IGD_1,
    IGD_2,
    IGD_3,
    IGD_4,
    IGD_5,
    SPADE_3,
    SPADE_4,
    DSR_3,
    RD4AD_2,
    RD4AD_3,
)
TABLES: dict[str, Layout | Live] = {table.name: table for table in _ALL}


def make(name: str, *, form: str = "markdown", **options: Any) -> str:
    """A table as text.

    Args:
        name: a key of :data:`TABLES`, or a YAML file of your own.
        form: ``markdown``, ``latex``, ``csv`` or ``html``.
        options: the other fields of :class:`benchmark.tables.request.Request`.

    Raises:
        BenchError: an unknown name, or records that cannot make this table.
    """
    from benchmark.tables import request

    return request.make(request.Request(name, **options), form)


def table(given: Namespace) -> int:
    """``bench table``."""
    from benchmark.tables import command

    return command.table(given)
