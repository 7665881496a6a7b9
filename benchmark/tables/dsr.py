"""The table of DSR (Zavrtanik, Kristan, Skocaj 2022)."""

from __future__ import annotations

from benchmark.tables.layout import Entry, Layout, Reference
from benchmark.tables.mvtec import ALL, mvtec_slots

ORDER = (
    "bottle",
    "capsule",
    "grid",
    "leather",
    "pill",
    "tile",
    "transistor",
    "zipper",
    "cable",
    "carpet",
    "hazelnut",
    "metal_nut",
    "screw",
    "toothbrush",
    "wood",
)
HEADS = {name: name for name in ORDER} | {"transistor": "trans.", "metal_nut": "m. nut"}

DSR_3 = Layout(
    name="dsr-3",
    title="DSR, Table 3: detection on MVTec AD, image AUROC in percent",
    paper="dsr",
    table="Table 3",
    entries=(
        Entry("[4]", "[4]", "US", reference=Reference("uninformed_students")),
        Entry("[22]", "[22]", "RIAD", reference=Reference("riad")),
        Entry("[17]", "[17]", "MAD"),
        Entry(
            "[7]",
            "[7]",
            "PaDiM",
            reference=Reference("padim"),
            note="a reimplementation's numbers, printed as the method's",
        ),
        Entry("[11]", "[11]", "CutPaste", reference=Reference("cutpaste")),
        Entry("[21]", "[21]", "DRAEM", reference=Reference("draem")),
        Entry("DSR", "DSR", reference=Reference("dsr")),
    ),
    slots=mvtec_slots(("image_auroc",), order=ORDER, heads=HEADS, average=("average", "mean", ALL)),
    entries_as="rows",
    stub=("Method",),
    notes=(
        (
            "Competitors are printed as reference numbers only; their names are added here. CutPaste's "
            "average is 96.2 by its cells."
        ),
    ),
)
