"""The table of DSR (Zavrtanik, Kristan, Skocaj 2022)."""

from __future__ import annotations

from benchmark.tables.layout import Layout, Method, Reference

from ._mvtec import ALL, mvtec_slots

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
    methods=(
        Method("[4]", "US", "[4]", reference=Reference("uninformed_students")),
        Method("[22]", "RIAD", "[22]", reference=Reference("riad")),
        Method("[17]", "MAD", "[17]", reference=Reference("gaussian_ad")),
        Method(
            "[7]",
            "PaDiM",
            "[7]",
            reference=Reference("padim"),
            note="a reimplementation's numbers, printed as the method's",
        ),
        Method("[11]", "CutPaste", "[11]", reference=Reference("cutpaste")),
        Method("[21]", "DRAEM", "[21]", reference=Reference("draem")),
        Method("DSR", "DSR", reference=Reference("dsr")),
    ),
    slots=mvtec_slots(("image_auroc",), order=ORDER, heads=HEADS, average=("average", "mean", ALL)),
    methods_as="rows",
    stub=("Method",),
    notes=(
        (
            "Competitors are printed as reference numbers only; their names are added here. CutPaste's "
            "average is 96.2 by its cells."
        ),
    ),
)
