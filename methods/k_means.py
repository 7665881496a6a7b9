"""K-Means: distance of a patch descriptor to its nearest cluster (a baseline of some tables)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from benchmark import Context
from benchmark.errors import SettingsError

from ._parts.neighbours import nearest_squared, searchable
from ._parts.patch_heads import PatchHead


class KMeans(PatchHead):
    """K-Means: distance of every patch descriptor to the nearest centre of normal ones.

    A baseline of Bergmann et al., "Uninformed Students", CVPR 2020, section 4.1, like 1-NN there:
    the same descriptors, drawn and reduced. ``k_means_teacher`` uses the paper's teacher, ``k_means``
    any backbone. How many descriptors are drawn and how many centres there are is our choice.

    Args:
        backbone, layers: of the descriptors, finest layer first; the others are interpolated.
        field: receptive field of the teacher that describes patches instead, or None.
        teacher: ``distilled``, the asset, or ``random``: an untrained one, for trying things out.
        samples: descriptors drawn from the training images.
        variance: share that is kept by a principal component analysis of them.
        clusters: number of centres, at most one per descriptor.
        sigma: of the Gaussian smoothing of maps, in input pixels.
    """

    title = "K-Means"
    smoke = {"samples": 300, "teacher": "random"}
    presets = {"k_means_teacher": {"field": 65}}

    def __init__(
        self,
        *,
        backbone: str = "resnet18",
        layers: tuple[int | str, ...] = (2, 3),
        field: int | None = None,
        teacher: Literal["distilled", "random"] = "distilled",
        samples: int = 10_000,
        variance: float = 0.95,
        clusters: int = 10,
        sigma: float = 0.0,
    ) -> None:
        super().__init__("k_means", backbone, layers, field, teacher, samples, variance, sigma)
        self.clusters = clusters
        if clusters < 1:
            raise SettingsError(f"k_means: clusters is {clusters}; at least one is needed")

    def learn(self, rows: Tensor, context: Context) -> None:
        self.centres_ = searchable(centres(rows, self.clusters, context).to(rows.device))

    def distance(self, rows: Tensor) -> Tensor:
        return nearest_squared(rows, [self.centres_]).sqrt()


def centres(rows: Tensor, count: int, context: Context) -> Tensor:
    """Centres of ``count`` clusters of rows (n, C): (count, C), or fewer if there are fewer rows."""
    from sklearn.cluster import KMeans as Clustering

    seed = int(context.rng("centres").integers(1 << 31))
    clustering = Clustering(min(count, len(rows)), n_init=3, random_state=seed)
    return torch.from_numpy(clustering.fit(rows.cpu().numpy()).cluster_centers_)
