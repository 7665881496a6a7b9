"""The tables of IGD (Chen, Tian, Pang, Carneiro 2021, arXiv 2101.10043 v1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from benchmark.tables.layout import Layout, Method, Reference, Slot

from ._mvtec import ALL, mvtec_slots

ORDER = (
    "bottle",
    "hazelnut",
    "capsule",
    "metal_nut",
    "leather",
    "pill",
    "wood",
    "carpet",
    "tile",
    "grid",
    "cable",
    "transistor",
    "toothbrush",
    "screw",
    "zipper",
)
HEADS = {"metal_nut": "Metal Nut"}
CLASSES = 10


def _copied(
    *names: tuple[str, str], run_here: Mapping[str, Reference] | None = None
) -> tuple[Method, ...]:
    """List competitors by name and citation, with the configurations that stand for them here."""
    found = run_here or {}
    return tuple(Method(name, name, cite, reference=found.get(name)) for name, cite in names)


RUN_HERE = {
    "DAE": Reference("dae"),
    "VAE": Reference("vae"),
    "KDE": Reference("kde_pixels"),
    "OCSVM": Reference("oc_svm_pixels"),
    "DSVDD": Reference("deep_svdd"),
    "MemAE": Reference("memae"),
    "AE_SSIM": Reference("ssim_ae"),
}
HELD_OUT = {name: replace(of, holdout=0.1) for name, of in RUN_HERE.items()}
"""Where a threshold is wanted."""
SINGLE = _copied(
    ("DAE", "[24]"),
    ("VAE", "[32]"),
    ("KDE", "[11]"),
    ("OCSVM", "[65]"),
    ("AnoGAN", "[64]"),
    ("DSVDD", "[60]"),
    ("OCGAN", "[53]"),
    ("PixelCNN", "[72]"),
    ("CapsNet_PP", "[37]"),
    ("CapsNet_RE", "[37]"),
    ("ADGAN", "[14]"),
    ("LSA", "[1]"),
    ("MemAE", "[21]"),
    ("GradCon", "[34]"),
    ("λ-VAE_u", "[15]"),
    ("ULSLM", "[79]"),
    ("CAVGA-D_u", "[73]"),
    run_here=RUN_HERE,
)


IGD_1 = Layout(
    name="igd-1",
    title="IGD, Table 1: one-class detection, mean AUC over the classes of three data sets",
    paper="igd",
    table="Table 1",
    methods=(
        *(replace(e, setting="single", group="Single") for e in SINGLE),
        Method("Ours", "Ours", setting="single", group="Single", reference=Reference("igd")),
        Method(
            "Student-Teacher",
            "Student-Teacher",
            "[8]",
            setting="ensemble",
            group="Ensemble",
            reference=Reference("uninformed_students_one_class"),
        ),
        Method(
            "Ours",
            "Ours",
            setting="ensemble",
            group="Ensemble",
            reference=Reference("igd", ensemble=5),
        ),
    ),
    slots=tuple(
        Slot(head, "mean", CLASSES, ("image_auroc",), dataset=dataset, decimals=4)
        for head, dataset in (
            ("MNIST", "mnist"),
            ("CIFAR10", "cifar10"),
            ("FMNIST", "fashion_mnist"),
        )
    ),
    methods_as="rows",
    stub=("Method",),
    percent=False,
    best="within 0.01",
    notes=("Bold: within 0.01 of the best of the block.",),
)

IGD_2 = Layout(
    name="igd-2",
    title="IGD, Table 2: detection on MVTec AD, mean accuracy",
    paper="igd",
    table="Table 2",
    methods=(
        *_copied(
            ("AVID", "[62]"),
            ("AE_SSIM", "[9]"),
            ("DAE", "[24]"),
            ("AnoGAN", "[64]"),
            ("λ-VAE_u", "[15]"),
            ("LSA", "[1]"),
            ("CAVGA-D_u", "[73]"),
            ("CAVGA-R_u", "[73]"),
            run_here=HELD_OUT,
        ),
        Method("Ours", "Ours", reference=Reference("igd", holdout=0.1)),
        Method(
            "",
            "Ours, oracle",
            reference=Reference("igd", holdout=0.1),
            variants={"image_accuracy": "image_balanced_accuracy_oracle"},
            competes=False,
            note="at the best threshold on the test images: an upper bound, not a result",
        ),
    ),
    slots=mvtec_slots(
        ("image_accuracy",), order=ORDER, heads=HEADS, average=("mean", "mean", ALL), decimals=2
    ),
    percent=False,
    no_verdict="the paper does not say how its threshold is set (rule unpublished)",
    notes=(
        (
            "The printed accuracies are mean accuracies of good and defective images, by all signs. "
            "Numbers run here use a threshold set on the 10 % of the training images that are held out."
        ),
    ),
)
IGD_2 = replace(
    IGD_2,
    methods=tuple(
        e if e.variants else replace(e, variants={"image_accuracy": "image_balanced_accuracy"})
        for e in IGD_2.methods
    ),
)

IGD_3 = Layout(
    name="igd-3",
    title="IGD, Table 3: detection on MVTec AD, mean AUC",
    paper="igd",
    table="Table 3",
    methods=(
        Method("AnoGAN", "AnoGAN", "[64]"),
        Method(
            "GANomaly",
            "GANomaly",
            "[2]",
            reference=Reference("ganomaly"),
            note="its code reports the best epoch on the test images, here the last one counts",
        ),
        *_copied(("Skip-GANomaly", "[3]"), ("U-Net", "[59]"), ("DAGAN", "[68]")),
        Method("Ours", "Ours", reference=Reference("igd")),
    ),
    slots=mvtec_slots(
        ("image_auroc",), order=ORDER, heads=HEADS, average=("mean", "mean", ALL), decimals=3
    ),
    percent=False,
    notes=("Ours: the public code logs the best epoch on the test images.",),
)

UNTOLD = {"pixel_auroc_per_image": "unknown"}

IGD_4 = Layout(
    name="igd-4",
    title="IGD, Table 4: localisation on MVTec AD, mean pixel AUC of the defective images",
    paper="igd",
    table="Table 4",
    methods=(
        *(
            replace(e, variants=UNTOLD)
            for e in _copied(
                ("DAE", "[24]"),
                ("AE_SSIM", "[9]"),
                ("AVID", "[62]"),
                ("LSA", "[1]"),
                ("λ-VAE_u", "[15]"),
                ("AnoGAN", "[64]"),
                ("ADVAE", "[38]"),
                ("CAVGA-D_u", "[73]"),
                ("CAVGA-R_u", "[73]"),
                run_here=RUN_HERE,
            )
        ),
        Method("Ours", "Ours", reference=Reference("igd")),
    ),
    slots=(Slot("MVTec AD", "mean", ALL, ("pixel_auroc_per_image",), decimals=2),),
    methods_as="rows",
    stub=("Method",),
    percent=False,
    notes=("Whether the copied numbers are of the same metric is not known.",),
)

PARTS = ("MS-SSIM", "KD", "DSVDD", "GSVDD", "INTER")
ABLATION = {
    "MS-SSIM": "igd_msssim",
    "MS-SSIM+KD": "igd_kd",
    "MS-SSIM+KD+DSVDD": "igd_kd_dsvdd",
    "MS-SSIM+KD+GSVDD": "igd_kd_gsvdd",
    "MS-SSIM+KD+GSVDD+INTER": "igd",
}

IGD_5 = Layout(
    name="igd-5",
    title="IGD, Table 5: ablation on CIFAR10, mean AUC",
    paper="igd",
    table="Table 5",
    methods=tuple(
        Method(
            "Ours",
            setting,
            setting=setting,
            labels=tuple("✓" if part in setting.split("+") else "" for part in PARTS),
            reference=Reference(method),
        )
        for setting, method in ABLATION.items()
    ),
    slots=(
        Slot("AUC - CIFAR10", "mean", CLASSES, ("image_auroc",), dataset="cifar10", decimals=3),
    ),
    methods_as="rows",
    stub=PARTS,
    percent=False,
)
