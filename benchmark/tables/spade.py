"""The tables of SPADE (Cohen and Hoshen 2020, arXiv 2005.02357)."""

from __future__ import annotations

from benchmark.tables.layout import Entry, Layout, Reference, Slot
from benchmark.tables.mvtec import ALL, mvtec_slots

SPADE_3 = Layout(
    name="spade-3",
    title="SPADE, Table 3: localisation on MVTec AD, PRO in percent",
    paper="spade",
    table="Table 3",
    entries=(
        Entry("Student", "Student", reference=Reference("uninformed_students_single")),
        Entry("1-NN", "1-NN"),
        Entry("OC-SVM", "OC-SVM"),
        Entry("ℓ2-AE", "ℓ2-AE"),
        Entry("VAE", "VAE"),
        Entry("SSIM-AE", "SSIM-AE"),
        Entry("CNN-Dict", "CNN-Dict"),
        Entry("SPADE", "SPADE", reference=Reference("spade")),
    ),
    slots=mvtec_slots(("pro",), average=("Average", "mean", ALL)),
    notes=("The printed averages 64 and 79 have no decimal; 51.5 and 69.4 are truncated.",),
)

SPADE_4 = Layout(
    name="spade-4",
    title="SPADE, Table 4: frame-level detection on ShanghaiTech Campus, AUROC in percent",
    paper="spade",
    table="Table 4",
    entries=(
        Entry("TSC", "TSC", "[23]"),
        Entry("StackRNN", "StackRNN", "[23]"),
        Entry("AE-Conv3D", "AE-Conv3D", "[35]"),
        Entry("MemAE", "MemAE", "[12]"),
        Entry("AE(2D)", "AE(2D)", "[16]"),
        Entry("ITAE", "ITAE", "[19]"),
        Entry("SPADE", "SPADE", reference=Reference("spade")),
    ),
    slots=(Slot("AUROC", "mean", 1, ("image_auroc",), "shanghaitech", published="stc"),),
    stub=("",),
)
