"""The tables of SPADE (Cohen and Hoshen 2020, arXiv 2005.02357)."""

from __future__ import annotations

from benchmark.tables.layout import Layout, Method, Reference, Slot

from ._mvtec import ALL, mvtec_slots

SPADE_3 = Layout(
    name="spade-3",
    title="SPADE, Table 3: localisation on MVTec AD, PRO in percent",
    paper="spade",
    table="Table 3",
    methods=(
        Method("Student", "Student", reference=Reference("uninformed_students_single")),
        Method("1-NN", "1-NN", reference=Reference("one_nn_teacher")),
        Method("OC-SVM", "OC-SVM", reference=Reference("oc_svm_teacher")),
        Method("ℓ2-AE", "ℓ2-AE", reference=Reference("l2_ae")),
        Method("VAE", "VAE", reference=Reference("vae")),
        Method("SSIM-AE", "SSIM-AE", reference=Reference("ssim_ae")),
        Method("CNN-Dict", "CNN-Dict", reference=Reference("cnn_dict")),
        Method("SPADE", "SPADE", reference=Reference("spade")),
    ),
    slots=mvtec_slots(("pro",), average=("Average", "mean", ALL)),
    notes=("The printed averages 64 and 79 have no decimal; 51.5 and 69.4 are truncated.",),
)

SPADE_4 = Layout(
    name="spade-4",
    title="SPADE, Table 4: frame-level detection on ShanghaiTech Campus, AUROC in percent",
    paper="spade",
    table="Table 4",
    methods=(
        Method("TSC", "TSC", "[23]"),
        Method("StackRNN", "StackRNN", "[23]"),
        Method("AE-Conv3D", "AE-Conv3D", "[35]"),
        Method("MemAE", "MemAE", "[12]"),
        Method("AE(2D)", "AE(2D)", "[16]"),
        Method("ITAE", "ITAE", "[19]"),
        Method("SPADE", "SPADE", reference=Reference("spade")),
    ),
    slots=(Slot("AUROC", "mean", 1, ("image_auroc",), "shanghaitech", published="stc"),),
    stub=("",),
)
