"""MVTec AD: 15 categories of industrial surfaces and objects, with defect types and masks.

Bergmann, Fauser, Sattlegger, Steger: MVTec AD, a comprehensive real-world dataset for unsupervised
anomaly detection, CVPR 2019. Read as it is unpacked, at any resolution, grey or RGB::

    <root>/<category>/train/good/000.png
    <root>/<category>/test/good/000.png
    <root>/<category>/test/<defect>/000.png
    <root>/<category>/ground_truth/<defect>/000_mask.png
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from benchmark.data.images import FileSource

from ._official import Tree

# train, good test images, defective test images; in the row order of the RD4AD paper's tables
TEXTURES = {
    "carpet": (280, 28, 89),
    "grid": (264, 21, 57),
    "leather": (245, 32, 92),
    "tile": (230, 33, 84),
    "wood": (247, 19, 60),
}
OBJECTS = {
    "bottle": (209, 20, 63),
    "cable": (224, 58, 92),
    "capsule": (219, 23, 109),
    "hazelnut": (391, 40, 70),
    "metal_nut": (220, 22, 93),
    "pill": (267, 26, 141),
    "screw": (320, 41, 119),
    "toothbrush": (60, 12, 30),
    "transistor": (213, 60, 40),
    "zipper": (240, 32, 119),
}


class MvtecAD(Tree):
    """MVTec AD: the official folder tree; the categories that are there are the ones that can be run."""

    title = "MVTec AD"
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "P. Bergmann, M. Fauser, D. Sattlegger, C. Steger: MVTec AD — A Comprehensive Real-World "
        "Dataset for Unsupervised Anomaly Detection. CVPR 2019"
    )
    origin = (
        "download it from https://www.mvtec.com/company/research/datasets/mvtec-ad (free for "
        "research) and unpack it"
    )
    archives = ("mvtec_anomaly_detection*",)
    expected = """\
bottle/train/good/000.png
bottle/test/good/000.png
bottle/test/broken_large/000.png
bottle/ground_truth/broken_large/000_mask.png"""
    ending = "_mask"
    mask_source = FileSource
    groups: ClassVar[Mapping[str, Sequence[str]]] = {
        "Textures": tuple(TEXTURES),
        "Objects": tuple(OBJECTS),
    }
    official: Mapping[str, Mapping[str, int]] = {
        name: {"train": train, "good": good, "defective": defective}
        for name, (train, good, defective) in {**TEXTURES, **OBJECTS}.items()
    }
