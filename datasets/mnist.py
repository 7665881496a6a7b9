"""MNIST under the one-class protocol: one digit is normal, the nine others are anomalies."""

from __future__ import annotations

from ._digits import Digits
from ._one_class import per_class

_COUNTS = (
    (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
)


class Mnist(Digits):
    """MNIST: one digit is normal, the nine others are not; ten categories, ``0`` to ``9``."""

    title = "MNIST"
    licence = "CC BY-SA 3.0, as commonly given"
    citation = (
        "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document "
        "recognition. Proceedings of the IEEE 1998"
    )
    origin = "download the four idx files of MNIST, for instance with torchvision"
    classes = tuple("0123456789")
    stem = "mnist"
    torchvision = "MNIST"
    counts = _COUNTS
    official = per_class(classes, _COUNTS)
    checksums = {
        "train_images": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "train_labels": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "test_images": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "test_labels": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    }
