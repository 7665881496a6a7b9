"""Trainings seldom wait for the device."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark import Context, Geometry
from benchmark.data.loading import DEVICE_SHARE
from benchmark.detector import training
from benchmark.machine import device_memory
from benchmark.plugins.registry import Registry

from ..helpers import noise

READS = ("_local_scalar_dense", "nonzero", "equal", "masked_select")
"""Operators whose results a processor must know before it goes on."""
EVERY = 4
"""Steps between two looks in these tests."""
METHODS: dict[str, dict[str, Any]] = {
    "stfpm": {"layers": (1,), "batch": 2},
    "rd4ad": {"backbone": "resnet18", "batch": 2},
    "igd": {"scales": ("local",), "encoder": "random", "patches": 1, "batch": 2},
    "dsr": {"vqvae": "colours", "codes": 16, "width": 8, "batch": 2, "samples": 4},
    "uninformed_students": {"teacher": "random", "fields": (17,), "students": 2, "stride": 8},
}


class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operators that read values back, but for optimisers' counts of their steps, which
    are the processor's own everywhere."""

    count: int = 0
    stepping: bool = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not self.stepping and any(name in str(func) for name in READS)
        return func(*args, **(kwargs or {}))


def waits(name: str, epochs: int, device: str) -> int:
    """How often a fit of so many epochs, of two steps each, waits for the device."""
    side = 32 if name == "uninformed_students" else 64
    context = Context.alone(device=device, geometry=Geometry(resize=side))
    room = int(DEVICE_SHARE * device_memory(context.device))
    images = noise(5 if name == "stfpm" else 4, side=side).on(context.device, room)
    cls, preset = Registry().method(name)
    detector = cls(**{**preset, **METHODS[name], "epochs": epochs})
    if device == "cpu":
        reads = Reads()  # type: ignore[no-untyped-call]
        hooks = [
            register_optimizer_step_pre_hook(lambda *_: setattr(reads, "stepping", True)),
            register_optimizer_step_post_hook(lambda *_: setattr(reads, "stepping", False)),
        ]
        with reads:
            detector.fit(images, context)
        for hook in hooks:
            hook.remove()
        return int(reads.count)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            detector.fit(images, context)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(w.message) for w in told)


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
        ),
    ],
)
@pytest.mark.parametrize("name", METHODS)
def test_a_training_waits_once_in_so_many_steps(
    name: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (name, device) == ("dsr", "cpu"):
        pytest.skip("half a minute; where there is a GPU it is tested")
    monkeypatch.setattr(training, "LOOK_EVERY", EVERY)
    short, longer = (waits(name, epochs, device) for epochs in (2, 6))
    further_looks = 2 * (6 - 2) / EVERY
    assert longer - short <= 2 * further_looks + 1
