"""PaDiM: a patch distribution modeling framework (Defard et al., ICPR 2021 workshops)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
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

PUBLIC_SEED = 1024
"""What the well-known code seeds Python's generator with before its draw of channels."""


class Padim(Detector):
    """PaDiM: one Gaussian per position over randomly drawn channels of frozen features.

    Paper: Defard et al., "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and
    Localization", arXiv 2011.08785, section III. The coarser layers are replicated to the finest
    grid; each position of it gets the mean and the sample covariance plus 0.01 I of its training
    features. The map is the Mahalanobis distance, upsampled and smoothed; its maximum is the score.

    Different from well-known code: no min-max over the test set (it changes no AUROC and leaks test
    statistics into thresholds), and no inverse per test image. Both solvers are exact:
    ``cholesky`` keeps one d × d factor per position, ``woodbury`` the N × d training features and an
    N × N factor (better when N is well below d); ``auto`` takes what needs less memory.

    The paper leaves the draw open, and figures depend on it: on a category with few channels that
    see the defect, one draw can be far from another. The well-known code draws once for all
    categories, which ``draw="public"`` repeats.

    Args:
        backbone: frozen network.
        layers: resolutions or modules, finest first.
        channels: how many channels are drawn; None follows the backbone: 100 for ResNet-18, 550 for
            WideResNet-50-2 (the paper's), else 100.
        draw: ``seed``: anew for each category and seed, by the run's generator. ``public``: that of
            the well-known code (xiahaifeng1995), the same for every category and seed: of C
            channels in all it takes Python's ``random.seed(1024)``, ``sample(range(C), channels)``.
        regulariser: added to the diagonal of every covariance.
        sigma: of the Gaussian smoothing, in input pixels.
        solver: see above.
    """

    title = "PaDiM"
    citation = "Defard et al. 2021"
    paper = Geometry(resize=256, crop=224)
    smoke = {"backbone": "resnet18", "channels": 20}

    def __init__(
        self,
        *,
        backbone: str = "wide_resnet50_2",
        layers: tuple[int | str, ...] = (1, 2, 3),
        channels: int | None = None,
        draw: Literal["seed", "public"] = "seed",
        regulariser: float = 0.01,
        sigma: float = 4.0,
        solver: Literal["auto", "cholesky", "woodbury"] = "auto",
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.channels = channels
        self.draw = draw
        self.regulariser = regulariser
        self.sigma = sigma
        self.solver = solver
        self.draws = draw == "seed"
        if (channels is not None and channels < 1) or regulariser <= 0:
            raise SettingsError(
                f"padim: channels is {channels}, regulariser {regulariser}: both must be positive"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, self.layers)]

    def fit(self, train: Images, context: Context) -> Self:
        layers = context.features(train.batch([0]), self.needs()[0])
        self.grid_ = list(layers[0].shape[2:])
        total = sum(layer.shape[1] for layer in layers)
        papers = {"resnet18": 100, "wide_resnet50_2": 550}
        count = min(self.channels or papers.get(self.backbone.partition(".")[0], 100), total)
        if self.draw == "public":
            drawn = random.Random(PUBLIC_SEED).sample(range(total), count)
        else:
            drawn = context.rng("channels").permutation(total)[:count].tolist()
        self.chosen_ = torch.tensor(sorted(drawn))
        self.solver_ = self.solver
        if self.solver == "auto":  # bytes per position: factor, or features and factor (float64)
            woodbury = 4 * len(train) * count + 8 * len(train) ** 2 < 4 * count**2
            self.solver_ = "woodbury" if woodbury else "cholesky"
        steps = context.progress.track(train.batches(16), "statistics", -(-len(train) // 16))
        batches = (self._drawn(batch, context) for batch in steps)
        if self.solver_ == "cholesky":
            self._fit_cholesky(batches, len(train), context)
        else:
            self._fit_woodbury(batches, len(train), context)
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        x = self._drawn(batch, context)
        solve = self._cholesky if self.solver_ == "cholesky" else self._woodbury
        squared = torch.cat([solve(x[part], part) for part in _chunks(len(x), len(self.chosen_))])
        maps = squared.clamp_(min=0).sqrt_().T.reshape(-1, *self.grid_)
        maps = smooth(upsample(maps, batch.size), self.sigma)
        return Prediction(maps.flatten(1).amax(1), maps)

    def facts(self) -> dict[str, Any]:
        return {"channels": self.chosen_.tolist(), "solver": self.solver_}

    def _drawn(self, batch: Batch, context: Context) -> Tensor:
        """Read the drawn channels on the finest grid, position by position: (P, B, d)."""
        out, start, chosen = [], 0, self.chosen_.tolist()
        for layer in context.features(batch, self.needs()[0]):
            mine = [place - start for place in chosen if start <= place < start + layer.shape[1]]
            if mine:  # of a few channels none may be this layer's
                some = layer[:, torch.tensor(mine, device=layer.device)]
                out.append(F.interpolate(some, size=self.grid_, mode="nearest"))
            start += layer.shape[1]
        return torch.cat(out, 1).flatten(2).permute(2, 0, 1).contiguous()

    def _fit_cholesky(self, batches: Iterable[Tensor], count: int, context: Context) -> None:
        """Sum moments in one pass, then turn them into whitening matrices in the same memory."""
        shift = total = moment = torch.empty(0)
        for i, x in enumerate(batches):
            if i == 0:  # moments around the first batch's mean: large means would cancel in float32
                shift = x.mean(1, keepdim=True)
                total = torch.zeros_like(shift)
                moment = x.new_zeros(len(x), x.shape[2], x.shape[2])
            x = x.sub_(shift)
            total += x.sum(1, keepdim=True)
            torch.baddbmm(moment, x.mT, x, out=moment)
        mean = total / count
        self.mean_ = (shift + mean).squeeze(1)  # (P, d)
        eye = torch.eye(moment.shape[2], dtype=torch.float64, device=mean.device)
        for part in self._tracked(len(moment), moment.shape[2], context):
            centre = mean[part].double()
            spread = moment[part].double() - count * (centre.mT @ centre)
            factor = torch.linalg.cholesky(spread / max(count - 1, 1) + self.regulariser * eye)
            # inverted once, in float64: a product per image instead of a slow triangular solve
            moment[part] = torch.linalg.solve_triangular(factor, eye, upper=False).float()
        self.whitener_ = moment  # (P, d, d), lower

    def _cholesky(self, x: Tensor, part: slice) -> Tensor:
        x = x - self.mean_[part, None].to(x.device)
        return (self.whitener_[part].to(x.device) @ x.mT).square().sum(1)

    def _fit_woodbury(self, batches: Iterable[Tensor], count: int, context: Context) -> None:
        """Keep the centred features A: the inverse of S = r I + A'A/(N-1) needs no other factor
        than one of N × N."""
        bank = torch.empty(0)
        for i, x in enumerate(batches):
            if i == 0:
                bank = x.new_empty(len(x), count, x.shape[2])
                start = 0
            bank[:, start : start + x.shape[1]] = x
            start += x.shape[1]
        self.mean_ = bank.mean(1)
        self.bank_ = bank.sub_(self.mean_[:, None])  # (P, N, d)
        self.gram_whitener_ = torch.empty(len(bank), count, count, dtype=torch.float64)
        eye = self.regulariser * max(count - 1, 1) * torch.eye(count, dtype=torch.float64)
        for part in self._tracked(len(bank), max(bank.shape[1:]), context):
            a = self.bank_[part].double()
            factor = torch.linalg.cholesky(a @ a.mT + eye.to(a.device))
            one = torch.eye(count, dtype=torch.float64, device=a.device)
            # inverted once, as in _fit_cholesky
            inverse = torch.linalg.solve_triangular(factor, one, upper=False)
            self.gram_whitener_[part] = inverse.cpu()

    @staticmethod
    def _tracked(count: int, side: int, context: Context) -> Iterator[slice]:
        parts = list(_chunks(count, side))
        return context.progress.track(parts, "factors", len(parts))

    def _woodbury(self, x: Tensor, part: slice) -> Tensor:
        x = (x - self.mean_[part, None].to(x.device)).double()  # float64: the difference cancels
        projected = self.bank_[part].to(x.device).double() @ x.mT
        inside = self.gram_whitener_[part].to(x.device) @ projected
        return ((x.square().sum(2) - inside.square().sum(1)) / self.regulariser).float()


def _chunks(count: int, side: int) -> Iterator[slice]:
    """Yield positions a few at a time: matrices of this side in float64 stay within 8 MB, of which
    a solution needs several."""
    size = max(1, (8 << 20) // (8 * side**2))
    return (slice(start, start + size) for start in range(0, count, size))
