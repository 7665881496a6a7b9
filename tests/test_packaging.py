"""What would be missing from an installed wheel."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

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


def test_hooks_before_a_commit_use_what_the_extra_for_tests_installs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]  # no network
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = {line.partition(">")[0] for line in tools["optional-dependencies"]["test"]}
    used = {hook["entry"].split()[0] for hook in hooks[0]["hooks"]}
    assert used == {"ruff", "mypy"} and used <= installed


def test_every_package_has_a_lowest_version_and_one_that_was_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    lines = {line for group in (project["dependencies"], *extras) for line in group}
    tested = (ROOT / "constraints.txt").read_text().lower()
    for line in lines:
        name, least, _ = line.partition(">=")
        assert least, f"{name} has no lower bound: what does make test-lowest install?"
        assert f"\n{name.lower()}==" in tested, f"{name} is not in constraints.txt"
