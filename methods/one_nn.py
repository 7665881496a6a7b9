"""1-NN: distance of a patch descriptor to its nearest normal one (a baseline of many tables)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from benchmark import Context

from ._parts.neighbours import nearest_squared, searchable
from ._parts.patch_heads import PatchHead


class OneNn(PatchHead):
    """1-NN: distance of every patch descriptor to the nearest of some normal ones.

    A baseline of Bergmann et al., "Uninformed Students", CVPR 2020, section 4.1, repeated in other
    papers' tables: descriptors of the paper's teacher at randomly drawn places of the training
    images, reduced to the principal components that hold 95 % of their variance. ``one_nn_teacher``
    is that; ``one_nn`` describes patches by any backbone. How many are drawn is our choice.

    Args:
        backbone, layers: of the descriptors, finest layer first; the others are interpolated.
        field: receptive field of the teacher that describes patches instead, or None.
        teacher: ``distilled``, the asset, or ``random``: an untrained one, for trying things out.
        samples: descriptors drawn from the training images.
        variance: share that is kept by a principal component analysis of them.
        sigma: of the Gaussian smoothing of maps, in input pixels.
    """

    title = "1-NN"
    smoke = {"samples": 300, "teacher": "random"}
    presets = {"one_nn_teacher": {"field": 65}}

    def __init__(
        self,
        *,
        backbone: str = "resnet18",
        layers: tuple[int | str, ...] = (2, 3),
        field: int | None = None,
        teacher: Literal["distilled", "random"] = "distilled",
        samples: int = 10_000,
        variance: float = 0.95,
        sigma: float = 0.0,
    ) -> None:
        super().__init__("one_nn", backbone, layers, field, teacher, samples, variance, sigma)

    def learn(self, rows: Tensor, context: Context) -> None:
        self.bank_ = searchable(rows)

    def distance(self, rows: Tensor) -> Tensor:
        return nearest_squared(rows, [self.bank_]).sqrt()
