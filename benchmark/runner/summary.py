"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from benchmark.metrics.names import SHOWN
from benchmark.runner.plan import Plan
from benchmark.runner.run import Result


def summarise(plan: Plan, results: Sequence[Result]) -> str:
    """List the cells with their metrics, why some are undefined, what failed, and where results
    are."""
    rows = []
    for result in results:
        cell = result.cell
        metrics = (result.record or {}).get("metrics", {})
        values = [metrics.get(name) for name in SHOWN]
        rows.append(
            [cell.category, cell.method.name, cell.seed]
            + [("–" if v is None else f"{v:.3f}") for v in values]
            + ["" if result.outcome in ("ok", "kept") else result.outcome]
        )
    head = ["category", "method", "seed", *SHOWN]
    align = ["left", "left", "right", *["right"] * len(SHOWN)]
    if any(row[-1] for row in rows):
        head, align = [*head, "state"], [*align, "left"]
    else:
        rows = [row[:-1] for row in rows]
    lines = ["", tabulate(rows, head, "simple", colalign=align, disable_numparse=True), ""]
    notes = {
        f"{name}: {reason}"
        for result in results
        for name, reason in ((result.record or {}).get("undefined") or {}).items()
        if name in SHOWN
    }
    lines += [f"– {note}" for note in sorted(notes)]
    if any(w["source"] == "random" for m in plan.methods for w in m.weights):
        lines.append(
            "RANDOM WEIGHTS: the backbones are not pre-trained; these numbers say nothing "
            "about the methods' published quality."
        )
    failed = [r for r in results if r.outcome == "failed"]
    lines += [f"{r.outcome}: {r.cell.title}: {r.message}" for r in failed]
    folder = plan.results_dir / plan.label / plan.protocol.label
    lines.append(f"records and scores: {folder}")
    if plan.config.keep and len(failed) < len(results):
        lines.append(f"new images: bench predict IMAGES --detector {folder} --out DIR")
    return "\n".join(lines)
