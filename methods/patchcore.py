"""PatchCore: towards total recall in industrial anomaly detection (Roth et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark import (
    Batch,
    Context,
    Detector,
    FeatureSpec,
    Geometry,
    Images,
    Prediction,
    smooth,
    upsample,
)
from benchmark.errors import SettingsError

from ._parts.coreset import farthest_first
from ._parts.neighbours import nearest_squared, searchable
from ._parts.patches import check_maps, flattened, picked, stacked

WIDTH = 1024
"""Channels of a patch descriptor under ``aggregation="flattened"``."""
PROJECTION = 128
"""Dimensions of the random projection that the coreset is chosen in."""
STARTS = 10
"""Random points whose mean distance stands for the distance to a coreset that is still empty."""


class Patchcore(Detector):
    """PatchCore: distance to the nearest of a coreset of all normal patch descriptors.

    Paper: Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022, arXiv
    2106.08265, section 3; defaults as in the official code, whose numbers are the published ones.
    A descriptor sums up 3 × 3 positions of every layer, coarser layers interpolated to the finest
    grid. The coreset is chosen greedily, farthest first, in a random projection. The map holds the
    squared distances, upsampled and smoothed; the score is the largest one of a patch.

    Where paper and code differ: the code pools channels and positions along one flattened axis to
    1024 numbers (``aggregation="flattened"``, the default), the paper averages over the positions
    (``"mean"``). The paper multiplies the score with a weight (equation 7) and takes plain
    distances; the code does neither (``reweight=0``). The paper leaves open how many neighbours
    the weight looks at; reimplementations use 9.

    All descriptors are never held: they are computed a second time to pick the coreset's.

    Args:
        backbone: frozen network.
        layers: resolutions or modules, finest first.
        aggregation: see above.
        coreset: share of the descriptors that is kept; None keeps all.
        reweight: neighbours of equation 7; 0 leaves the weight out.
        sigma: of the Gaussian smoothing of maps, in input pixels.
    """

    title = "PatchCore"
    citation = "Roth et al. 2022"
    paper = Geometry(resize=256, crop=224)
    smoke = {"backbone": "resnet18"}
    presets = {
        "patchcore_1": {"coreset": 0.01},
        "patchcore_reweighted": {"aggregation": "mean", "reweight": 9},
    }

    def __init__(
        self,
        *,
        backbone: str = "wide_resnet50_2",
        layers: tuple[int | str, ...] = (2, 3),
        aggregation: Literal["flattened", "mean"] = "flattened",
        coreset: float | None = 0.1,
        reweight: int = 0,
        sigma: float = 4.0,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.aggregation = aggregation
        self.coreset = coreset
        self.draws = coreset is not None
        self.reweight = reweight
        self.sigma = sigma
        check_maps("patchcore", layers)
        if (coreset is not None and not 0 < coreset <= 1) or reweight < 0:
            raise SettingsError(
                f"patchcore: coreset is {coreset}: allowed is a share above 0 and up to 1, or None; "
                f"reweight is {reweight}: allowed is 0 or a number of neighbours"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, self.layers, rereads=True)]

    def fit(self, train: Images, context: Context) -> Self:
        if self.coreset is None:
            patches = self._describe(train.batch([0]), context)[0].shape[1]
            places = torch.arange(len(train) * patches)
        else:
            points = self._projected(train, context)
            starts = torch.from_numpy(context.rng("starts").permutation(len(points))[:STARTS])
            count = max(1, int(len(points) * self.coreset))
            chosen = farthest_first(points, count, starts, context.progress)
            places = chosen.cpu().sort().values
            del points
        bank = picked(
            train, context, lambda b: self._describe(b, context)[0], places, "memory bank"
        )
        self.centre_ = bank.mean(0)
        self.bank_ = searchable(bank - self.centre_)  # (M, C + 1)
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        queries, grid = self._describe(batch, context)
        queries -= self.centre_.to(queries.device)
        distances = nearest_squared(queries.flatten(0, 1), [self.bank_]).view(queries.shape[:2])
        if self.reweight:
            distances = distances.sqrt()
        scores, places = distances.max(1)
        if self.reweight:
            worst = queries[torch.arange(queries.shape[0]), places]
            scores = scores * torch.stack([self._weight(query) for query in worst])
        maps = upsample(distances.view(-1, *grid), batch.size)
        return Prediction(scores, smooth(maps, self.sigma))

    def facts(self) -> dict[str, Any]:
        return {"memory_bank": len(self.bank_)}

    def _projected(self, train: Images, context: Context) -> Tensor:
        """Return all descriptors, image by image, in a random projection: (N, PROJECTION)."""
        generator = context.generator("projection")
        projected, start = torch.empty(0), 0
        for batch in context.progress.track(train.batches(16), "projection", -(-len(train) // 16)):
            rows = self._describe(batch, context)[0].flatten(0, 1)
            if start == 0:
                count, width = len(rows) // len(batch) * len(train), rows.shape[1]
                drawn = torch.rand(width, PROJECTION, generator=generator).to(rows.device) * 2 - 1
                projected = rows.new_zeros(count, PROJECTION)
            projected[start : start + len(rows)] = rows @ (drawn / width**0.5)
            start += len(rows)
        return projected

    def _describe(self, batch: Batch, context: Context) -> tuple[Tensor, torch.Size]:
        """Patch descriptors (B, P, C) and their grid."""
        layers = context.features(batch, self.needs()[0])
        grid = layers[0].shape[2:]
        if self.aggregation == "mean":
            return stacked([F.avg_pool2d(layer, 3, 1, 1) for layer in layers]), grid
        return flattened(layers, WIDTH), grid

    def _weight(self, query: Tensor) -> Tensor:
        """Equation 7: near 1 if the query is far from the neighbours of its nearest entry too."""
        bank = self.bank_.to(query.device)
        nearest = bank[(bank[:, :-1] @ query + bank[:, -1]).argmin(), :-1] / -2
        around = (bank[:, :-1] @ nearest + bank[:, -1]).topk(
            min(self.reweight, len(bank)), largest=False
        )
        distances = (bank[around.indices, :-1] / -2 - query).norm(dim=1)
        return 1 - torch.softmax(distances, 0)[0]
