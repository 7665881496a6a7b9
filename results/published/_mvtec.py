"""The categories of MVTec AD as the papers' tables print them."""

from __future__ import annotations

from benchmark.tables.layout import Slot

TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
OBJECTS = (
    "bottle",
    "cable",
    "capsule",
    "hazelnut",
    "metal_nut",
    "pill",
    "screw",
    "toothbrush",
    "transistor",
    "zipper",
)
ALL = TEXTURES + OBJECTS


def mvtec_slots(
    metrics: tuple[str, ...],
    *,
    order: tuple[str, ...] = ALL,
    average: tuple[str, str, tuple[str, ...]] | None = ("Average", "mean", ALL),
    group: str = "",
    heads: dict[str, str] | None = None,
    decimals: int = 1,
) -> tuple[Slot, ...]:
    """List one slot per category in the order of print, then the average.

    Args:
        metrics: of every slot.
        order: the categories.
        average: its heading, its name in ``published.csv`` and what it averages.
        group: heading that they stand under.
        heads: how the paper writes a category, where it is not simply capitalised.
        decimals: of our own numbers.
    """
    heads = heads or {}
    slots = [
        Slot(
            heads.get(name, name.replace("_", " ").capitalize()),
            name,
            (name,),
            metrics,
            group=group,
            decimals=decimals,
        )
        for name in order
    ]
    if average:
        head, category, over = average
        slots.append(
            Slot(head, category, over, metrics, group=group, decimals=decimals, average=True)
        )
    return tuple(slots)
