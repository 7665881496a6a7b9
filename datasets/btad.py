"""BTAD: three industrial products of beanTech, body and surface defects, with masks.

Mishra, Verk, Fornasier, Piciarelli, Foresti: VT-ADL, a vision transformer network for image anomaly
detection and localization, ISIE 2021. Folders are called ok and ko; images are .bmp or .png and masks
.png or .bmp, one independent of the other::

    <root>/01/train/ok/0000.bmp
    <root>/01/test/ok/0000.bmp
    <root>/01/test/ko/0000.bmp
    <root>/01/ground_truth/ko/0000.png

The masks of category 02 are coarse; 03 has ten good test images for each defective one. Pages about
the data set give different totals (2540 and 2830 images); the counts here are the former's.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._official import Tree


class Btad(Tree):
    """Categories 01, 02 and 03."""

    title = "BTAD"
    licence = "not stated by its authors"
    citation = (
        "P. Mishra, R. Verk, D. Fornasier, C. Piciarelli, G. L. Foresti: VT-ADL: A Vision "
        "Transformer Network for Image Anomaly Detection and Localization. ISIE 2021"
    )
    origin = (
        "download btad.zip (SHA-256 461c9387e515bfed…) from https://avires.dimi.uniud.it/papers/btad/"
        " and unpack it; its folder is BTech_Dataset_transformed"
    )
    archives = ("btad*", "BTech*")
    expected = """\
01/train/ok/0000.bmp
01/test/ok/0000.bmp
01/test/ko/0000.bmp
01/ground_truth/ko/0000.png"""
    training = "train/ok"
    good = "ok"
    official: Mapping[str, Mapping[str, int]] = {
        "01": {"train": 400, "good": 21, "defective": 49},
        "02": {"train": 399, "good": 30, "defective": 200},
        "03": {"train": 1000, "good": 400, "defective": 41},
    }
