"""A detector's state on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark import State
from benchmark.errors import StoreError


def test_state_holds_tensors_and_values(tmp_path: Path) -> None:
    state = State({"a": torch.arange(6).reshape(2, 3)}, {"grid": [2, 3], "none": None})
    state.save(tmp_path / "s.safetensors")
    back = State.load(tmp_path / "s.safetensors")
    assert torch.equal(back.tensors["a"], state.tensors["a"]) and back.values == state.values
    assert state.nbytes == 48
    (tmp_path / "s.safetensors").write_bytes(b"x")
    with pytest.raises(StoreError, match="safetensors"):
        State.load(tmp_path / "s.safetensors")
