"""What a run says about a category before its cells: its files' roles, and what to be warned of."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.data.dataset import Category, Dataset
from benchmark.data.loading import Keys
from benchmark.data.roles import roles_line
from benchmark.data.survey import WARNINGS, Survey, require_values, survey
from benchmark.runner.plan import MethodPlan


def look_at(category: Category, keys: Keys, methods: Sequence[MethodPlan], threads: int) -> Survey:
    """Survey a category's files. Raises MaskValuesError for masks with values that are neither
    background nor defect."""
    geometries = list(dict.fromkeys(method.geometry for method in methods))
    found, grey = survey(category, keys, geometries, threads)
    require_values(category.name, grey, sum(s.mask is not None for s in category.test))
    return found


def remarks(dataset: Dataset, name: str, found: Survey, methods: Sequence[MethodPlan]) -> list[str]:
    """Write lines for the user: one of the roles, one for each kind of warning."""
    roles = dataset.roles(name)
    lines = [f"{name}: {roles_line(roles)}"] if roles else []
    lines += [
        f"{name}: warning: {kind}: {len(said)} {WARNINGS[kind]} ({said[0].text})"
        for kind, said in found.warnings.items()
    ]
    lost: dict[int, list[str]] = {}
    for method in methods:
        if count := found.outside[method.geometry]:
            lost.setdefault(count, []).append(method.name)
    return lines + [
        f"{name}: warning: {count} of {found.defects} defects have no pixel in what is measured with "
        f"{', '.join(names)}"
        for count, names in lost.items()
    ]
