"""Both ways of counting, so that every test of a metric checks each."""

import importlib.util

import pytest

from benchmark.metrics import ranking


@pytest.fixture(params=["sorting", "kernel"])
def counting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Counts by sorting, or by the compiled kernel where numba is installed."""
    if request.param == "kernel" and importlib.util.find_spec("numba") is None:
        pytest.skip("numba is not installed")
    least = 0 if request.param == "kernel" else 1 << 62
    monkeypatch.setattr(ranking, "KERNEL_FROM", least)
    monkeypatch.setattr(ranking, "KERNEL_ONCE_LOADED_FROM", least)
    return str(request.param)
