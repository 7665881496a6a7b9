"""A whole method in one file: how far each pixel's colour is from its mean over normal images."""

from typing import Self

import torch

from benchmark import Batch, Context, Detector, Images, Prediction, smooth


class MeanColour(Detector):
    """Mean colour: distance to the mean normal image, pixel by pixel. A floor, not a method.

    Args:
        sigma: of the Gaussian smoothing of maps, in input pixels.
    """

    title = "Mean colour"

    def __init__(self, *, sigma: float = 4.0) -> None:
        self.sigma = sigma

    def fit(self, train: Images, context: Context) -> Self:
        total = sum(batch.pixels.sum(0) for batch in train)
        self.mean_ = torch.as_tensor(total / len(train))
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        maps = smooth((batch.pixels - self.mean_).square().sum(1).sqrt(), self.sigma)
        return Prediction(maps.flatten(1).amax(1), maps)
