"""MPDD: painted metal parts in six categories, several parts per image, with defect types and masks.

Jezek, Jonak, Burget, Dvorak, Skotak: Deep learning-based defect detection of metal parts, evaluating
current methods in complex conditions, ICUMT 2021. The tree is that of MVTec AD::

    <root>/<category>/{train/good,test/good,test/<defect>}/000.png
    <root>/<category>/ground_truth/<defect>/000_mask.png
"""

from __future__ import annotations

from collections.abc import Mapping

from ._official import Tree

# train, good test images, defective test images
COUNTS = {
    "bracket_black": (289, 32, 47),
    "bracket_brown": (185, 26, 51),
    "bracket_white": (110, 30, 30),
    "connector": (128, 30, 14),
    "metal_plate": (54, 26, 71),
    "tubes": (122, 32, 69),
}


class Mpdd(Tree):
    """The official folder tree."""

    title = "MPDD"
    licence = "CC BY-NC-SA 4.0, as commonly given"
    citation = (
        "S. Jezek, M. Jonak, R. Burget, P. Dvorak, M. Skotak: Deep Learning-Based Defect Detection "
        "of Metal Parts: Evaluating Current Methods in Complex Conditions. ICUMT 2021"
    )
    origin = "follow the link on https://github.com/stepanje/MPDD and unpack what it leads to"
    archives = ("MPDD*",)
    expected = """\
tubes/train/good/000.png
tubes/test/good/000.png
tubes/test/anomalous/000.png
tubes/ground_truth/anomalous/000_mask.png"""
    ending = "_mask"
    official: Mapping[str, Mapping[str, int]] = {
        name: {"train": train, "good": good, "defective": bad}
        for name, (train, good, bad) in COUNTS.items()
    }
