"""Fashion-MNIST under the one-class protocol: one garment is normal, the nine others anomalies."""

from __future__ import annotations

from ._digits import Digits
from ._one_class import per_class

_CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle_boot",
)
_COUNTS = ((6000,) * 10, (1000,) * 10)


class FashionMnist(Digits):
    """Fashion-MNIST: one garment is normal, the nine others are not; categories in the order of the official labels."""

    title = "Fashion-MNIST"
    licence = "MIT"
    citation = (
        "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking "
        "Machine Learning Algorithms. arXiv 1708.07747"
    )
    origin = "download it from https://github.com/zalandoresearch/fashion-mnist"
    classes = _CLASSES
    stem = "fashion_mnist"
    torchvision = "FashionMNIST"
    counts = _COUNTS
    official = per_class(_CLASSES, _COUNTS)
    checksums = {
        "train_images": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "train_labels": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "test_images": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "test_labels": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    }
