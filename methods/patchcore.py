"""PatchCore: towards total recall in industrial anomaly detection (Roth et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.data.geometry import Geometry
from benchmark.detector.base import Batch, Detector, Images, Prediction
from benchmark.detector.context import Context
from benchmark.detector.maps import smooth, upsample
from benchmark.errors import SettingsError
from benchmark.features.cache import FeatureSpec

from ._coreset import farthest_first
from ._neighbours import nearest_squared, searchable
from ._patches import check_maps, picked, stacked

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

    The flattened pooling is linear, so it is one convolution per layer, and interpolating its
    result is interpolating its inputs. All descriptors are never held: they are computed a second
    time to pick the coreset's.

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
        self.reweight = reweight
        self.sigma = sigma
        check_maps("patchcore", layers)
        if (coreset is not None and not 0 < coreset <= 1) or reweight < 0:
            raise SettingsError(
                f"patchcore: coreset is {coreset}: allowed is a share above 0 and up to 1, or None; "
                f"reweight is {reweight}: allowed is 0 or a number of neighbours"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, self.layers)]

    def fit(self, train: Images, context: Context) -> Self:
        layers = context.features(train.batch([0]), self.needs()[0])
        self.grid_ = list(layers[0].shape[2:])
        if self.coreset is None:
            places = torch.arange(len(train) * self.grid_[0] * self.grid_[1])
        else:
            places = self._coreset(train, context).cpu().sort().values
        bank = picked(train, context, lambda b: self._describe(b, context), places, "memory bank")
        self.centre_ = bank.mean(0)
        self.bank_ = searchable(bank - self.centre_)  # (M, C + 1)
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        queries = self._describe(batch, context)
        queries -= self.centre_.to(queries.device)
        distances = nearest_squared(queries.flatten(0, 1), [self.bank_]).view(len(batch), -1)
        if self.reweight:
            distances = distances.sqrt()
        scores, places = distances.max(1)
        if self.reweight:
            worst = queries[torch.arange(len(batch)), places]
            scores = scores * torch.stack([self._weight(query) for query in worst])
        maps = upsample(distances.view(len(batch), *self.grid_), batch.size)
        return Prediction(scores, smooth(maps, self.sigma))

    def facts(self) -> dict[str, Any]:
        return {"memory_bank": len(self.bank_)}

    def _coreset(self, train: Images, context: Context) -> Tensor:
        """Positions of the coreset among all descriptors, image by image."""
        assert self.coreset is not None
        generator = context.generator("projection")
        projected = torch.empty(0)
        steps = context.progress.track(train.batches(16), "projection", -(-len(train) // 16))
        start = 0
        for batch in steps:
            rows = self._describe(batch, context).flatten(0, 1)
            if start == 0:
                patches, width = len(rows) // len(batch), rows.shape[1]
                drawn = torch.rand(width, PROJECTION, generator=generator).to(rows.device) * 2 - 1
                projected = rows.new_empty(len(train) * patches, PROJECTION)
            projected[start : start + len(rows)] = rows @ (drawn / width**0.5)
            start += len(rows)
        projected = projected[:start]
        starts = torch.from_numpy(context.rng("starts").permutation(start)[:STARTS])
        count = max(1, int(start * self.coreset))
        return farthest_first(projected, count, starts, context.progress)

    def _describe(self, batch: Batch, context: Context) -> Tensor:
        """Patch descriptors (B, P, C)."""
        layers = context.features(batch, self.needs()[0])
        if self.aggregation == "mean":
            return stacked([F.avg_pool2d(layer, 3, 1, 1) for layer in layers])
        out = layers[0].new_zeros(len(batch), WIDTH, *self.grid_)
        weights = pooling(tuple(layer.shape[1] for layer in layers), WIDTH)
        for layer, weight in zip(layers, weights, strict=True):
            used = weight.flatten(1).any(1).nonzero().flatten()
            part = slice(int(used[0]), int(used[-1]) + 1)
            pooled = F.conv2d(layer, weight[part].to(layer.device), padding=1)
            out[:, part] += F.interpolate(pooled, size=self.grid_, mode="bilinear")
        return out.flatten(2).mT.contiguous()

    def _weight(self, query: Tensor) -> Tensor:
        """Equation 7: near 1 if the query is far from the neighbours of its nearest entry too."""
        bank = self.bank_.to(query.device)
        nearest = bank[(bank[:, :-1] @ query + bank[:, -1]).argmin(), :-1] / -2
        around = (bank[:, :-1] @ nearest + bank[:, -1]).topk(
            min(self.reweight, len(bank)), largest=False
        )
        distances = (bank[around.indices, :-1] / -2 - query).norm(dim=1)
        return 1 - torch.softmax(distances, 0)[0]


@lru_cache(maxsize=2)
def pooling(widths: tuple[int, ...], width: int) -> list[Tensor]:
    """The official code's two poolings of 3 × 3 patches as convolution weights, one per layer.

    Each layer's C × 9 numbers, channel by channel, are pooled along this axis to ``width``; the
    results, layer after layer, are pooled to ``width`` again.

    Returns:
        Per layer (width, C, 3, 3); the descriptor is the sum of the layers' convolutions.
    """
    again = torch.split(_pooling_matrix(len(widths) * width, width), width, 1)
    return [
        (second @ _pooling_matrix(channels * 9, width)).view(width, channels, 3, 3)
        for second, channels in zip(again, widths, strict=True)
    ]


def _pooling_matrix(length: int, width: int) -> Tensor:
    """Adaptive average pooling of ``length`` numbers to ``width`` as a matrix (width, length)."""
    out = torch.zeros(width, length)
    for i in range(width):
        window = slice(i * length // width, -(-(i + 1) * length // width))
        out[i, window] = 1 / (window.stop - window.start)
    return out
