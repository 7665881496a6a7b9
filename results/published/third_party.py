"""Reimplementations and their published numbers, one table per source of ``third_party.csv``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.tables import published
from benchmark.tables.layout import Layout, Method, Reference, Slot

from ._mvtec import ALL, OBJECTS, TEXTURES

AVERAGES = {
    "mean": ("Average", ALL),
    "mean_textures": ("Average of textures", TEXTURES),
    "mean_objects": ("Average of objects", OBJECTS),
}
UNTOLD = "the source does not tell its whole configuration"


def _source(
    name: str, paper: str, settings: Mapping[str, Mapping[str, Any]], no_verdict: str = ""
) -> Layout:
    """Lay out all numbers of a source.

    Args:
        name: of the table.
        paper: the source, as in ``third_party.csv``.
        settings: its name of a configuration -> what differs from the method's defaults; another
            configuration has no counterpart here.
        no_verdict: why its numbers cannot be called reproduced; empty if they can.
    """
    numbers = [n for n in published.load("third_party.csv") if n.paper == paper]
    methods = dict.fromkeys((n.method, n.setting, n.method_key) for n in numbers)
    metrics = tuple(dict.fromkeys(n.metric for n in numbers))
    variants = {n.metric: n.metric_variant for n in numbers if n.metric != n.metric_variant}
    slots = []
    for category in dict.fromkeys(n.category for n in numbers):
        head, over = AVERAGES.get(category, (category, (category,)))
        average = category in AVERAGES
        slots.append(Slot(head, category, over, metrics, decimals=3, average=average))
    return Layout(
        name=name,
        title=f"{paper}: {', '.join(metrics)} on MVTec AD",
        paper=paper,
        table="",
        methods=tuple(
            Method(
                method,
                f"{method} {setting}".strip(),
                setting=setting,
                reference=Reference(key, settings[setting]) if setting in settings else None,
                variants=variants,
            )
            for method, setting, key in methods
        ),
        slots=tuple(sorted(slots, key=lambda slot: slot.average)),
        percent=False,
        no_verdict=no_verdict,
    )


LAYOUTS = (
    _source(
        "padim-xiahaifeng",
        "xiahaifeng1995/PaDiM README",
        {"ResNet18-Rd100": {"backbone": "resnet18"}, "WRN50-Rd550": {}},
    ),
    _source("spade-pytorch", "byungjae89/SPADE-pytorch README", {"WRN50-2, K=5": {"k": 5}}),
    _source(
        "spade-copied", "SPADE paper, as copied in the SPADE-pytorch README", {"WRN50-2, K=50": {}}
    ),
    _source(
        "anomalib",
        "anomalib README @b72336861",
        {
            "ResNet-18": {"backbone": "resnet18"},
            "Wide ResNet-50": {"backbone": "wide_resnet50_2"},
            "EfficientAd-S": {},
            "": {},
        },
        "anomalib measures at 256 px without the papers' crops",
    ),
    _source("im-iad", "M-3LAB/IM-IAD README", {"open-iad default": {}}, UNTOLD),
    _source(
        "ader-last",
        "ADer log zhangzjn/data (last epoch)",
        {"ADer default": {}},
        "one model was trained for all categories",
    ),
    _source(
        "ader-best",
        "ADer log zhangzjn/data (best test epoch)",
        {"ADer default": {}},
        "one model was trained for all categories, and its epoch chosen on the test images",
    ),
    _source("draem-readme", "VitjanZ/DRAEM README", {"": {}}, UNTOLD),
    _source(
        "patchcore",
        "amazon-science/patchcore-inspection models/*/results.csv",
        {"IM224_WR50_L2-3_P01_D1024-1024_PS-3_AN-1": {}},
    ),
    _source("efficientad-pdn", "nelson1425/EfficientAD results json", {"PDN-S": {}}),
    _source(
        "simplenet-paper",
        "SimpleNet paper (best test epoch)",
        {"": {}},
        "the paper's epoch was chosen on the test images",
    ),
)
