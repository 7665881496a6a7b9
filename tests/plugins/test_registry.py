"""Methods and data sets found by name: built in, installed, in files and folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark import methods
from benchmark.errors import SettingsError
from benchmark.plugins.registry import Registry

Bench = Callable[..., tuple[int, str]]
PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "mean_colour.py"


@pytest.mark.parametrize(
    "source",
    [
        "from benchmark.methods.padim import Padim\nclass Mine(Padim):\n    'My PaDiM.'\n",
        "from benchmark.methods.padim import Padim as P\nclass Mine(P): 'My PaDiM.'\n",
        "from benchmark.methods import padim\nclass Mine(padim.Padim):\n    'My PaDiM.'\n",
        "from benchmark.methods.padim import Padim\nclass _A(Padim): pass\nclass Mine(_A): 'My PaDiM.'\n",
        "from benchmark.detector.base import Detector as D\nclass Mine(D):\n    'My PaDiM.'\n",
    ],
)
def test_a_plugin_may_derive_from_a_method(bench: Bench, tmp_path: Path, source: str) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(source)
    status, out = bench("list", "methods", "--plugin", plugin)
    assert status == 0, out
    assert any(line.split()[:1] == ["mine"] and "My PaDiM." in line for line in out.splitlines())


def test_a_plugin_without_a_method_says_so(bench: Bench, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("from benchmark.detector.training import Training\nclass A(Training): pass\n")
    status, out = bench("list", "methods", "--plugin", plugin)
    assert status == 2 and "no class derived from Detector or Dataset" in out


def test_a_file_with_a_mistake_costs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_done.py").write_text("def fit(\n")
    (tmp_path / "whole.py").write_text(PLUGIN.read_text())
    monkeypatch.setattr(methods, "__path__", [str(tmp_path)])
    registry = Registry()
    assert registry.method("whole")[0].title == "Mean colour"
    assert "cannot be read: line 1" in registry.entry("method", "half_done").summary
    with pytest.raises(SettingsError, match="'half_done' .*cannot be imported: SyntaxError"):
        registry.method("half_done")
    assert not registry.assets()


def test_an_entry_point_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_package.py").write_text(PLUGIN.read_text())
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[benchmark.methods]\ntheir_colour = their_package:MeanColour\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry()
    assert registry.method("their_colour")[0].title == "Mean colour"
    assert registry.entry("method", "their_colour").origin == "package their-package"


def test_a_plugin_may_be_a_folder_whose_files_import_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "tinted"
    folder.mkdir()
    (folder / "parts.py").write_text("TITLE = 'Tinted'\n")
    text = PLUGIN.read_text().replace(
        "import torch\n", "import torch\n\nfrom .parts import TITLE\n"
    )
    (folder / "__init__.py").write_text(text.replace('"Mean colour"', "TITLE"))
    registry = Registry([folder])
    assert registry.entry("method", "tinted").summary.startswith("Mean colour:")
    assert registry.method("tinted")[0].title == "Tinted"


def test_a_file_named_twice_is_one_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PLUGIN.parent)
    assert "mean_colour" in Registry([PLUGIN, Path(PLUGIN.name)]).names("method")


def test_two_plugins_of_one_name_are_refused(tmp_path: Path) -> None:
    other = tmp_path / PLUGIN.name
    other.write_text(PLUGIN.read_text())
    with pytest.raises(SettingsError, match="has the name of one that is plugin .*; rename it"):
        Registry([PLUGIN, other])


def test_assets_are_those_that_methods_ask_for_by_default() -> None:
    assert {"igd-encoder", "vqvae", "us-teacher"} <= Registry().assets().keys()
