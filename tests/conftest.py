"""Shared by all tests: a tiny data set on disk, and the folders of real data when there are any."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: threads that wait shall sleep

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


def real(variable: str, what: str) -> Path:
    """The folder that an environment variable names; skips the test without it."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"set {variable} to the folder with {what} to run this")
    return Path(value)


@pytest.fixture(scope="session")
def real_data() -> Path:
    return real("BENCH_TEST_DATA", "MVTec AD (as mvtec/)")


@pytest.fixture(scope="session")
def real_weights() -> Path:
    return real("BENCH_TEST_WEIGHTS", "resnet18.safetensors and mobilenetv2_100.safetensors")


def write_category(root: Path, name: str, *, train: int = 10, good: int = 4, bad: int = 4) -> Path:
    """An MVTec-like category of 48 × 48 images; defects are bright squares with masks."""
    rng = np.random.default_rng(sum(name.encode()))
    folder = root / name

    def image(path: Path, spot: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        x = np.linspace(0, 6, 48)[None, :, None] + rng.uniform(0, 1)
        pixels = 120 + 40 * np.sin(x) + rng.normal(0, 6, (48, 48, 3))
        mask = np.zeros((48, 48), np.uint8)
        if spot:
            top, left = rng.integers(4, 28, 2)
            mask[top : top + 12, left : left + 12] = 255
            pixels[mask > 0] = (230, 40, 40)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
        if spot:
            truth = folder / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
            truth.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(truth)

    for i in range(train):
        image(folder / "train" / "good" / f"{i:03}.png", False)
    for i in range(good):
        image(folder / "test" / "good" / f"{i:03}.png", False)
    for i in range(bad):
        image(folder / "test" / "square" / f"{i:03}.png", True)
    return folder


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A folder with two tiny categories, nut and pin."""
    root = tmp_path / "toy"
    write_category(root, "nut")
    write_category(root, "pin")
    return root


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """``bench(*arguments)`` as a user types it, in an empty folder; gives status and output."""
    for name in ("BENCH_DATA", "BENCH_WEIGHTS", "BENCH_ASSETS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str]:
        from benchmark.cli.parser import main

        capsys.readouterr()
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as stop:
            status = int(stop.code or 0)
        out = capsys.readouterr()
        return status, out.out + out.err

    return call
