"""OC-SVM on pixels: one-class support vector machine on whole images (a one-class baseline)."""

from __future__ import annotations

from typing import Any, Self

from benchmark import Batch, Context, Detector, Images, Prediction
from benchmark.errors import SettingsError

from ._parts.one_class_svm import fit_support, outside
from ._parts.pixels import NATIVE, all_pixels, pixel_axes, pixels, reduced


class OcSvmPixels(Detector):
    """OC-SVM on pixels: how far an image lies outside of the normal ones' support.

    Schölkopf et al., "Estimating the Support of a High-Dimensional Distribution", 2001, with a
    Gaussian kernel, on the principal components that hold 95 % of the variance of the pixels. A
    baseline of the one-class tables of MNIST and its kin. Some papers choose the kernel's width on
    labelled images; here it follows from the training images alone.

    Args:
        nu: share of the training images that may lie outside.
        gamma: of the kernel exp(-g |x - y|²), in units of 1 / (dimensions × variance).
        variance: share that is kept by the principal component analysis; None keeps the pixels.
            The components of few images do not see what lies outside of their span.
        side: larger images are averaged down to side × side pixels.
    """

    title = "OC-SVM (pixels)"
    citation = "Schölkopf et al. 2001"
    paper = NATIVE
    draws = False
    smoke = {"variance": None, "gamma": 0.3}

    def __init__(
        self,
        *,
        nu: float = 0.1,
        gamma: float = 1.0,
        variance: float | None = 0.95,
        side: int = 32,
    ) -> None:
        self.nu = nu
        self.gamma = gamma
        self.variance = variance
        self.side = side
        if not 0 < nu <= 1 or not 0 < (variance or 1) <= 1 or side < 1 or gamma <= 0:
            raise SettingsError(
                f"oc_svm_pixels: nu is {nu}, variance {variance}: allowed are shares above 0 and up "
                f"to 1; side is {side}: at least 1 is needed; gamma is {gamma}: it must be positive"
            )

    def fit(self, train: Images, context: Context) -> Self:
        rows = all_pixels(train, self.side, context)
        self.mean_, self.axes_ = pixel_axes(rows, self.variance)
        rows = reduced(rows, self.mean_, self.axes_)
        self.support_, self.weights_, self.kernel_ = fit_support(rows, self.nu, self.gamma)
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        rows = reduced(pixels(batch, self.side), self.mean_, self.axes_)
        return Prediction(outside(rows, self.support_, self.weights_, self.kernel_))

    def facts(self) -> dict[str, Any]:
        return {"dimensions": list(self.axes_.shape), "support": len(self.support_)}
