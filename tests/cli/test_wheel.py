"""A wheel, installed away from the checkout, lists, runs and prints tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_an_installed_wheel_works_away_from_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    done = subprocess.run([*build, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", str(site), str(wheel)], check=True)
    # the folder comes before the editable install of the checkout, its dependencies stay in reach
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def bench(*arguments: str) -> str:
        command = [sys.executable, "-m", "benchmark", *arguments]
        out = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
        )
        assert out.returncode == 0, out.stdout + out.stderr
        return out.stdout

    where = [sys.executable, "-c", "import benchmark.methods as m; print(m.__path__[0])"]
    path = subprocess.run(where, capture_output=True, text=True, cwd=tmp_path, env=environment,
                          check=True).stdout  # fmt: skip
    assert path.strip() == str(site / "benchmark" / "methods")
    assert "spade" in bench("list", "methods")
    bench(
        "run", "--methods", "padim", "--categories", "board", "--weights", "random",
        "--set", "padim.backbone=resnet18", "--image-size", "64",
    )  # fmt: skip
    assert "board" in bench("table", "per-category", "--metric", "pixel_auroc")
    assert "91.7" in bench("table", "spade-3", "--view", "published")
