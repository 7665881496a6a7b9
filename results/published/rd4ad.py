"""The tables of RD4AD (Deng and Li 2022)."""

from __future__ import annotations

from benchmark.tables.layout import Layout, Method, Reference, Slot

from ._mvtec import ALL, OBJECTS, TEXTURES, mvtec_slots

PAIR = ("pixel_auroc", "pro")
OWN = {"pro": "pro_per_image"}
"""The paper's code averages the PRO of single images; its competitors' is that of MVTec AD."""
NUT = {"metal_nut": "Metal Nut"}
PRO_NOTE = (
    "Ours: PRO is the mean over defective images of each one's own; the other columns pool all "
    "images. The two are different quantities."
)


def _at(size: int, method: str, head: str, cite: str = "", key: str = "") -> Method:
    return Method(
        method,
        head,
        cite,
        setting=f"image size {size}",
        group=f"Image size {size}",
        reference=Reference(key) if key else None,
        competes=size == 256,
    )


RD4AD_2 = Layout(
    name="rd4ad-2",
    title="RD4AD, Table 2: localisation on MVTec AD, pixel AUROC/PRO in percent",
    paper="rd4ad",
    table="Table 2",
    methods=(
        Method(
            "MKD",
            "MKD",
            "[33]",
            setting="image size 128",
            group="Image size 128",
            reference=Reference("mkd", {"rescale": True}),
            variants={"pixel_auroc": "pixel_auroc_anomalous"},
            competes=False,
        ),
        Method(
            "Ours",
            "Ours",
            setting="image size 128",
            group="Image size 128",
            reference=Reference("rd4ad", image_size=128),
            variants=OWN,
            competes=False,
        ),
        _at(256, "US", "US", "[4]", "uninformed_students"),
        _at(256, "MF", "MF", "[40]"),
        _at(256, "SPADE", "SPADE", "[7]", "spade"),
        _at(256, "PaDiM", "PaDiM", "[8]", "padim"),
        _at(256, "RIAD", "RIAD", "[46]", "riad"),
        _at(256, "CutPaste", "CutPaste", "[23]", "cutpaste_patch"),
        Method(
            "Ours",
            "Ours",
            setting="image size 256",
            group="Image size 256",
            reference=Reference("rd4ad"),
            variants=OWN,
        ),
    ),
    slots=(
        *mvtec_slots(
            PAIR,
            order=TEXTURES,
            average=("Average", "mean_textures", TEXTURES),
            group="Textures",
        ),
        *mvtec_slots(
            PAIR,
            order=OBJECTS,
            average=("Average", "mean_objects", OBJECTS),
            group="Objects",
            heads=NUT,
        ),
        Slot("Total Average", "mean", ALL, PAIR, average=True),
    ),
    stub=("Category/Method",),
    notes=(
        PRO_NOTE,
        (
            "Best AUROC and best PRO of the columns at 256 in bold. SPADE's printed total AUROC, 96.5, "
            "is 96.0 by its own cells."
        ),
    ),
)

RD4AD_3 = Layout(
    name="rd4ad-3",
    title="RD4AD, Table 3: time, memory and quality of methods on pre-trained features, MVTec AD",
    paper="rd4ad",
    table="Table 3",
    methods=tuple(
        Method(
            f"{head} (WResNet50)",
            f"{head} (WResNet50)",
            setting="backbone WResNet50",
            reference=Reference(key),
            variants=OWN if head == "Ours" else {},
        )
        for head, key in (("SPADE", "spade"), ("PaDiM", "padim"), ("Ours", "rd4ad"))
    ),
    slots=(
        Slot("Infer. time (s)", "mean", ALL, ("infer_seconds",), decimals=2),
        Slot("Memory (MB)", "mean", ALL, ("memory_mb",), decimals=0),
        Slot("Performance (%)", "mean", ALL, ("image_auroc", *PAIR)),
    ),
    methods_as="rows",
    stub=("Method",),
    best="last",
    notes=(
        "Performance: image AUROC/pixel AUROC/PRO.",
        PRO_NOTE,
        (
            "Published times are those of an Intel i7, ours of the machine that the records name: no "
            "difference. Memory here is what a fitted method stores beyond the frozen backbone, in "
            "megabytes, mean over the categories."
        ),
    ),
)
