"""A whole published table in one file: the textures of SPADE's Table 3, two methods of it."""

from benchmark.tables.layout import Layout, Method, Reference, Slot

TEXTURES = ("carpet", "grid", "leather", "tile", "wood")

SPADE_TEXTURES = Layout(
    name="spade-textures",
    title="SPADE, Table 3, textures: localisation on MVTec AD, PRO in percent",
    paper="spade",
    table="Table 3",
    methods=(
        Method("ℓ2-AE", "ℓ2-AE"),
        Method("SPADE", "SPADE", reference=Reference("spade")),
    ),
    slots=tuple(Slot(name.capitalize(), name, (name,), ("pro",)) for name in TEXTURES),
)
