"""What a context lends: seeds and checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark import Context
from benchmark.detector.context import Checkpoint
from benchmark.errors import StoreError
from benchmark.texts import seed_of


def test_seeds_of_purposes_do_not_touch_each_other() -> None:
    context = Context.alone()
    a = context.rng("a").random()
    assert a == context.rng("a").random() != context.rng("b").random()
    assert seed_of("a", "bc") != seed_of("ab", "c")
    assert torch.equal(torch.rand(3, generator=context.generator("x")),
                       torch.rand(3, generator=context.generator("x")))  # fmt: skip


def test_checkpoints_are_replaced_whole(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "deep" / "c.checkpoint")
    assert checkpoint.load() is None
    checkpoint.save({"step": 3, "weights": {"w": torch.ones(2)}})
    back = checkpoint.load()
    assert (
        back is not None and back["step"] == 3 and torch.equal(back["weights"]["w"], torch.ones(2))
    )
    (tmp_path / "deep" / "c.checkpoint").write_bytes(b"half")
    with pytest.raises(StoreError, match="delete it to start over"):
        checkpoint.load()
    checkpoint.delete()
    assert checkpoint.load() is None
