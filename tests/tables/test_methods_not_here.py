"""docs/methods-not-here.md lists exactly the columns of the papers' tables that nothing stands for."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from benchmark.plugins.registry import Registry
from benchmark.tables import TABLES
from benchmark.tables.layout import Layout

PAGE = Path(__file__).parents[2] / "docs" / "methods-not-here.md"


def test_the_list_and_the_tables_agree_on_what_has_no_method() -> None:
    here = Registry().names("method")
    missing: dict[str, set[str]] = defaultdict(set)
    for layout in TABLES.values():
        if isinstance(layout, Layout) and layout.table:
            for method in layout.methods:
                if method.reference is not None:
                    assert method.reference.method in here, method.name
                else:
                    missing[method.name].add(layout.name)
    listed: dict[str, set[str]] = defaultdict(set)
    for line in PAGE.read_text("utf-8").splitlines():
        found = re.match(r"\| ([\w-]+(?:, [\w-]+)*) \| ([^|]+) \| ([^|]+) \|$", line)
        if found and found[1] not in ("Table", "---"):
            tables, column, reason = found.groups()
            assert len(reason) > 40, column
            assert not listed[column] & set(tables.split(", ")), f"{column} stands twice"
            listed[column] |= set(tables.split(", "))
    assert {k: sorted(v) for k, v in missing.items()} == {k: sorted(v) for k, v in listed.items()}
