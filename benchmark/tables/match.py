"""Which records stand for a table's method, and how they differ from its reference configuration."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.errors import StoreError
from benchmark.records.ensemble import ensembles
from benchmark.records.names import setting_text
from benchmark.settings import as_json
from benchmark.tables.layout import Layout, Method, Reference

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Match:
    """The records of one configuration.

    Attributes:
        rows: its records; None when there are none.
        differences: in words; none means that its numbers may be held against the published ones.
    """

    rows: pd.DataFrame | None = None
    differences: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        return self.rows is not None

    @property
    def comparable(self) -> bool:
        return self.found and not self.differences


def match(frame: pd.DataFrame, layout: Layout, method: Method, dataset: str) -> Match:
    """Find the one configuration that stands for a method on a data set.

    One that equals the reference is taken; else the only one that differs, protocol ``paper``
    before others. Scores play no part in it.

    Raises:
        StoreError: several differ, and none is nearer to the reference than the others.
    """
    reference = method.reference
    if reference is None:
        return Match()
    rows = frame[(frame["method"] == reference.method) & (frame["source"] == dataset)]
    if reference.ensemble:
        rows = ensembles(rows, reference.ensemble)
    found = [
        Match(part, _differences(part, reference))
        for _, part in rows.groupby(["dataset", "protocol", "config"], sort=True)
    ]
    for tier in (
        [m for m in found if not m.differences],
        [m for m in found if _same_protocol(m, reference, dataset)],
        found,
    ):
        if len(tier) == 1:
            return tier[0]
        if tier:
            raise StoreError(_several(layout, method, tier))
    return Match()


def _differences(rows: pd.DataFrame, reference: Reference) -> tuple[str, ...]:
    """List the differences of a configuration, and of the images in any of its categories."""
    found = differences(rows.iloc[0], reference)
    return (*found, *sorted({text for _, row in rows.iterrows() for text in _images(row)}))


def differences(row: Mapping[str, Any] | pd.Series[Any], reference: Reference) -> list[str]:
    """List how a record's configuration differs from a reference, in words.

    The reference is the record's own defaults with the reference's settings.
    """
    out = []
    if row["dataset"] != row["source"]:
        out.append(f"run under the name {row['dataset']}")
    wanted = {**(row["defaults"] or {}), **as_json(reference.settings)}
    if row["defaults"] is None:
        out.append("the record does not keep the method's defaults, so nothing says what differs")
    for name, value in sorted(row["settings"].items()):
        if name in wanted and wanted[name] != value:
            theirs = setting_text(name, wanted[name])
            out.append(f"{setting_text(name, value)} instead of {theirs}")
    out += _pretrained(row)
    if row["protocol_name"] != reference.protocol:
        out.append(f"protocol {row['protocol_name']}")
    if row["holdout"] != reference.holdout:
        out.append(
            f"{row['holdout']:.0%} of the training images held out"
            + (f" instead of {reference.holdout:.0%}" if reference.holdout else "")
        )
    size = image_size(row)
    if row["keep_aspect"]:
        out.append("the images' own aspect")
    if size != reference.image_size:
        theirs = f"{reference.image_size} px" if reference.image_size else "the paper's size"
        out.append(f"{f'{size} px' if size else 'its own size'} instead of {theirs}")
    if row["precision"] != "float32":
        out.append(str(row["precision"]))
    if row["backbone_precision"] != "float32":
        out.append(f"{row['backbone_precision']} backbone")
    return out


def _pretrained(row: Mapping[str, Any] | pd.Series[Any]) -> list[str]:
    """Say how the pre-trained parts differ from the published ones."""
    if row["random_weights"]:
        return ["random weights: the backbone is not pre-trained"]
    out = []
    files = [w["source"] for w in row["weights"] if w["source"] != "hub"]
    if files and not row["provenance"].get("published_weights"):
        out.append(f"weights from {', '.join(files)}, not known to be the published ones")
    assets = row["provenance"].get("assets") or {}
    for name in row["assets"]:
        info = assets.get(name) or {}
        if (info.get("settings") or {}).get("official"):
            continue
        count = (info.get("images") or {}).get("count")
        out.append(f"{name} built here" + (f" from {count} images" if count else ""))
    return out


def _images(row: Mapping[str, Any] | pd.Series[Any]) -> Iterator[str]:
    """Say of which images a category has more or fewer than officially."""
    images = row["provenance"].get("images") or {}
    official = images.get("official") or {}
    for name, count in official.items():
        if (found := images["found"].get(name, 0)) != count:
            what = name.replace("_", " ") if name.endswith("groups") else f"{name} images"
            yield f"{row['category']}: {found} of officially {count} {what}"


def needed(
    layout: Layout, methods: Collection[str], seeds: Sequence[int] = (0,)
) -> list[dict[str, Any]]:
    """List what ``bench run`` must be given for a table's own columns, one mapping per run.

    Keys are the names of :class:`benchmark.runner.config.RunConfig`; options left at its defaults are
    absent.

    Args:
        layout: which table.
        methods: those that there are; a layout may name others.
        seeds: of every cell.
    """
    runs: dict[tuple[Any, ...], dict[str, Any]] = {}
    for dataset in dict.fromkeys(slot.dataset for slot in layout.slots):
        references = [
            _frozen(e.reference)
            for e in layout.methods
            if e.reference and e.reference.method in methods
        ]
        for method, settings, protocol, holdout, size, seeded in dict.fromkeys(references):
            # one method under two settings makes two runs: a run has one of each
            key = (dataset, protocol, holdout, size, method if settings else "")
            run = runs.setdefault(
                key,
                {
                    "methods": (),
                    "dataset": dataset,
                    "protocol": protocol,
                    "seeds": tuple(seeds),
                    **({"holdout": holdout} if holdout else {}),
                    **({"image_size": size} if size else {}),
                },
            )
            run["seeds"] = tuple(dict.fromkeys((*run["seeds"], *range(seeded))))
            if method not in run["methods"]:
                run["methods"] += (method,)
            if settings:
                run["set"] = {method: dict(settings)}
    return list(runs.values())


def _frozen(reference: Reference) -> tuple[str, tuple[Any, ...], str, float, int | None, int]:
    return (
        reference.method,
        tuple(sorted(reference.settings.items())),
        reference.protocol,
        reference.holdout,
        reference.image_size,
        reference.ensemble,
    )


def _same_protocol(found: Match, reference: Reference, dataset: str) -> bool:
    assert found.rows is not None
    row = found.rows.iloc[0]
    if row["keep_aspect"]:
        return False
    return (row["dataset"], row["protocol_name"], row["holdout"], image_size(row)) == (
        dataset,
        reference.protocol,
        reference.holdout,
        reference.image_size,
    )


def image_size(row: Mapping[str, Any] | pd.Series[Any]) -> int | str | None:
    """Return the --image-size of a record: one number, ``HEIGHTxWIDTH``, or none."""
    value = row["image_size"]
    if value is None or isinstance(value, str):
        return value
    return None if math.isnan(value) else int(value)


def _several(layout: Layout, method: Method, tier: Sequence[Match]) -> str:
    lines = [
        f"  --methods {m.rows['name'].iloc[0]!r} --dataset {m.rows['dataset'].iloc[0]} "
        f"--protocol {m.rows['protocol'].iloc[0]}: {'; '.join(m.differences) or 'the reference'}"
        for m in tier
        if m.rows is not None
    ]
    return (
        f"table {layout.name}, {method.head}: several configurations could stand here and none is "
        "nearer to the paper's; say which:\n" + "\n".join(lines)
    )
