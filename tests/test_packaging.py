"""What would be missing from an installed wheel."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_folder_with_python_files_is_packaged() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    places = {"benchmark.methods": "methods", "benchmark.datasets": "datasets"}
    places |= {"benchmark.published": "results/published"}
    assert {k: v for k, v in tool["package-dir"].items() if k != "benchmark"} == places
    listed = set(tool["packages"])
    found = set(places)
    for top, name in [("benchmark", "benchmark"), *((v, k) for k, v in places.items())]:
        for file in (ROOT / top).rglob("*.py"):
            below = file.parent.relative_to(ROOT / top).parts
            found.add(".".join([name, *below]))
    assert found == listed


def test_data_files_are_declared() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = data["package-data"]
    for package, folder in (
        ("benchmark.published", "results/published"),
        ("benchmark", "benchmark"),
    ):
        for file in (ROOT / folder).iterdir():
            if file.is_file() and file.suffix not in (".py", ".pyc"):
                assert any(file.match(p) for p in patterns[package]), file
