"""What a run keeps: features that will be read again, maps that somebody looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch

from benchmark import Batch, Context, Dataset, Detector, Images, Prediction, Sample
from benchmark.console import PlainConsole
from benchmark.data.dataset import ArraySource, Category
from benchmark.features.cache import FrozenFeatures
from benchmark.plugins.registry import Registry
from benchmark.runner.config import RunConfig
from benchmark.runner.plan import Asked, prepare
from benchmark.runner.run import execute

from ..conftest import write_category

TINY = {
    "padim": {"backbone": "resnet18", "layers": (1,), "channels": 4},
    "stfpm": {"layers": (1,), "epochs": 2, "batch": 4},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_category(root, "nut", train=6, good=2, bad=2)
    return root


@pytest.mark.parametrize(
    ("methods", "seeds", "kept", "passed"),
    [
        (["padim"], [0], 0, 6 + 4 + 1),  # a first look at one image's channels
        (["padim"], [0, 1], 10, 10),
        (["stfpm"], [0], 5, 5 + 1 + 4),  # one image is held out
        (["padim", "stfpm"], [0], 10, 10),
    ],
)
def test_features_are_kept_where_they_are_read_again(
    methods: list[str],
    seeds: list[int],
    kept: int,
    passed: int,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = set()
    original = FrozenFeatures._put

    def spy(self: FrozenFeatures, tag: Any, row: torch.Tensor) -> None:
        put.add(tag)
        original(self, tag, row)

    monkeypatch.setattr(FrozenFeatures, "_put", spy)
    given: dict[str, Any] = {
        "methods": methods,
        "dataset": "folder",
        "data_root": str(data),
        "seeds": seeds,
    }
    given |= {"weights": "random", "results": str(tmp_path), "set": {m: TINY[m] for m in methods}}
    plan = prepare(RunConfig.build(given), Registry(), PlainConsole())
    results = execute(plan)
    assert [r.outcome for r in results] == ["ok"] * len(methods) * len(seeds)
    assert len(put) == kept and plan.features.counts.images == passed


class Shown(Detector):
    """Gives maps, whether or not anybody wants them, and says whether."""

    title = "Shown"
    draws = False

    def fit(self, train: Images, context: Context) -> Self:
        self.wanted_ = context.wants_maps
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        maps = batch.pixels.mean(1)
        return Prediction(maps.amax((1, 2)), maps)

    def facts(self) -> dict[str, Any]:
        return {"wanted": self.wanted_}


class Unmasked(Dataset):
    """Noise without masks."""

    title = licence = citation = origin = "made up"
    needs_root = False

    def categories(self) -> list[str]:
        return ["noise"]

    def category(self, name: str) -> Category:
        rng = np.random.default_rng(0)
        samples = [
            Sample(
                str(i), ArraySource(rng.integers(0, 255, (16, 16), np.uint8), str(i)), int(i > 2)
            )
            for i in range(4)
        ]
        return Category(name, samples[:2], samples[2:])


class OneClass(Unmasked):
    """The same as one of the one-class sets."""

    small = True


@pytest.mark.parametrize(
    ("dataset", "maps", "wanted"),
    [(Unmasked, True, True), (Unmasked, False, False), (OneClass, True, False)],
)
def test_maps_are_left_out_where_nobody_looks_at_them(
    dataset: type[Dataset], maps: bool, wanted: bool, tmp_path: Path
) -> None:
    config = RunConfig.build({"methods": ["shown"], "results": str(tmp_path), "maps": maps})
    registry = Registry()
    registry.add_method(Shown)
    plan = prepare(config, registry, PlainConsole(), "made", [Asked("shown")], dataset())
    (result,) = execute(plan)
    assert result.record is not None, result.message
    assert result.record["facts"]["wanted"] == wanted
    assert (result.record["files"]["maps"] is not None) == wanted
