"""OC-SVM: one-class support vector machine on patch descriptors (a baseline of many tables)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from benchmark import Context
from benchmark.errors import SettingsError

from ._parts.one_class_svm import fit_support, outside
from ._parts.patch_heads import PatchHead


class OcSvm(PatchHead):
    """OC-SVM: how far every patch descriptor lies outside of the normal ones' support.

    A baseline of Bergmann et al., "Uninformed Students", CVPR 2020, section 4.1, like 1-NN there:
    the same descriptors, drawn and reduced, and a one-class support vector machine (Schölkopf et
    al., 2001) with a Gaussian kernel. ``oc_svm_teacher`` uses the paper's teacher, ``oc_svm`` any
    backbone. How many descriptors are drawn, the kernel's width (1 / (dimensions × variance)) and
    nu are our choice. On whole images' pixels it is the method ``oc_svm_pixels``.

    Args:
        backbone, layers: of the descriptors, finest layer first; the others are interpolated.
        field: receptive field of the teacher that describes patches instead, or None.
        teacher: ``distilled``, the asset, or ``random``: an untrained one, for trying things out.
        samples: descriptors drawn from the training images; fitting grows with their square.
        variance: share that is kept by a principal component analysis of them.
        nu: share of the drawn descriptors that may lie outside.
        sigma: of the Gaussian smoothing of maps, in input pixels.
    """

    title = "OC-SVM"
    smoke = {"samples": 300, "teacher": "random"}
    presets = {"oc_svm_teacher": {"field": 65}}

    def __init__(
        self,
        *,
        backbone: str = "resnet18",
        layers: tuple[int | str, ...] = (2, 3),
        field: int | None = None,
        teacher: Literal["distilled", "random"] = "distilled",
        samples: int = 5000,
        variance: float = 0.95,
        nu: float = 0.1,
        sigma: float = 0.0,
    ) -> None:
        super().__init__("oc_svm", backbone, layers, field, teacher, samples, variance, sigma)
        self.nu = nu
        if not 0 < nu <= 1:
            raise SettingsError(f"oc_svm: nu is {nu}; allowed is a share above 0 and up to 1")

    def learn(self, rows: Tensor, context: Context) -> None:
        self.support_, self.weights_, self.kernel_ = fit_support(rows, self.nu)

    def distance(self, rows: Tensor) -> Tensor:
        return outside(rows, self.support_, self.weights_, self.kernel_)
