"""Small images, contexts and models that IGD is tested with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmark import Context, Geometry
from benchmark.data.loading import ImageSet
from benchmark.methods.igd.gsvdd import descriptor
from benchmark.methods.igd.model import ScaleModel

from ...helpers import noise

SMALL: dict[str, Any] = {"encoder": "random", "epochs": 2, "batch": 4}
TEACHER: dict[str, Any] = {
    "backbone": "squeezenet1_1",
    "steps": 3,
    "batch": 2,
    "teacher_side": 64,
}


def images(count: int, side: int = 28, seed: int = 0) -> ImageSet:
    return noise(count, seed, side)


def context(side: int = 28, seed: int = 0, assets_dir: Path | None = None) -> Context:
    return Context.alone(geometry=Geometry(resize=side), seed=seed, assets_dir=assets_dir)


def model(published: bool = False) -> ScaleModel:
    """A local model as initialised."""
    torch.manual_seed(0)
    gsvdd = descriptor("gsvdd", published, 0.5, 1.0)
    return ScaleModel("local", (32, 32), 512, gsvdd, published=published)
