"""The other commands, as a user types them."""

from __future__ import annotations

import csv
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Bench = Callable[..., tuple[int, str]]
PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "mean_colour.py"


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys; from benchmark.cli.parser import parser; parser().format_help();"
        "print([m for m in ('torch', 'numpy', 'pandas', 'timm', 'yaml') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [["list", "methods"], ["list", "datasets"], ["list", "metrics"], ["run", "--methods", "spad"]],
)
def test_torch_is_not_imported_before_a_run_starts(arguments: list[str]) -> None:
    code = (
        "import sys; from benchmark.cli.parser import main\n"
        f"main({arguments!r}); print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "False"


def test_help_is_quick() -> None:
    def once() -> float:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "benchmark", "--help"], capture_output=True, check=True
        )
        return time.perf_counter() - start

    def empty() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], capture_output=True, check=True)
        return time.perf_counter() - start

    # against an empty Python started beside it, so that a busy machine does not matter
    assert statistics.median(once() for _ in range(5)) < 10 * statistics.median(
        empty() for _ in range(5)
    )


def test_lists_name_what_there_is(bench: Bench) -> None:
    assert all(name in bench("list", "methods")[1] for name in ("spade", "padim"))
    assert all(name in bench("list", "datasets")[1] for name in ("mvtec", "folder", "synthetic"))
    assert "pixel_auroc" in bench("list", "metrics")[1]
    assert "mean_colour" in bench("list", "methods", "--plugin", PLUGIN)[1]


def test_scores_are_per_image_with_threshold_and_decision(bench: Bench, toy: Path) -> None:
    bench(
        "run", "--methods", "mean_colour", "--plugin", PLUGIN, "--dataset", "folder",
        "--data-root", toy, "--categories", "nut",
    )  # fmt: skip
    status, out = bench("scores")
    assert status == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 8
    for row in rows:
        assert int(row["decision"]) == int(float(row["score"]) > float(row["threshold"]))
        assert row["label"] == str(int(row["defect"] != "good"))
    assert bench("scores", "--methods", "padim")[0] == 2


def test_evaluate_puts_a_changed_metric_right(bench: Bench, toy: Path, tmp_path: Path) -> None:
    bench(
        "run", "--methods", "mean_colour", "--plugin", PLUGIN, "--dataset", "folder",
        "--data-root", toy, "--categories", "nut",
    )  # fmt: skip
    (path,) = (tmp_path / "results").rglob("*-seed0.json")
    record = json.loads(path.read_text())
    right = record["metrics"]["pro"]
    record["metrics"]["pro"] = 0.5
    path.write_text(json.dumps(record))
    status, out = bench("evaluate", "--data-root", toy)
    assert status == 0 and "1 of them changed" in out
    assert json.loads(path.read_text())["metrics"]["pro"] == right


def test_a_new_method_keeps_the_contract_and_its_test_passes(bench: Bench, tmp_path: Path) -> None:
    assert bench("new", "method", "my_try", "--into", "mine")[0] == 0
    status, out = bench("check", tmp_path / "mine" / "my_try.py")
    assert status == 0 and "the contract is kept" in out
    test = tmp_path / "mine" / "test_my_try.py"
    command = [sys.executable, "-m", "pytest", "-q", str(test), "-p", "no:cacheprovider"]
    assert subprocess.run(command, capture_output=True, cwd=tmp_path, check=False).returncode == 0
    assert bench("new", "method", "my_try", "--into", "mine")[0] == 2
    assert bench("new", "method", "Not-A-Name")[0] == 2


def test_check_names_the_broken_promise(bench: Bench, tmp_path: Path) -> None:
    bench("new", "method", "mine")
    path = tmp_path / "mine.py"
    path.write_text(path.read_text().replace("return self\n", "return None\n"))
    status, out = bench("check", path)
    assert status == 1 and "FAIL  fit returns the detector itself" in out


def test_the_example_plugin_is_short_and_keeps_the_contract(bench: Bench) -> None:
    assert len(PLUGIN.read_text().splitlines()) < 40
    status, out = bench("check", PLUGIN)
    assert status == 0, out


def test_check_of_a_data_set(bench: Bench, toy: Path) -> None:
    status, out = bench("check", "folder", "--data-root", toy)
    assert status == 0, out
    status, out = bench("check", "foldr")
    assert status == 2 and "unknown method or data set 'foldr', did you mean 'folder'?" in out
    status, out = bench("check", "spad")
    assert status == 2 and "did you mean 'spade'?" in out


def test_data_verifies_what_is_there(bench: Bench, toy: Path) -> None:
    status, out = bench("data", "folder", "--data-root", toy)
    assert status == 0 and "nut" in out and "10" in out
    (toy / "nut/train/good/000.png").write_bytes(b"broken")
    status, out = bench("data", "folder", "--data-root", toy)
    assert status == 1 and "000.png" in out


def test_shortcuts_are_printed_per_category(toy: Path, bench: Bench) -> None:
    for path in (toy / "nut/test").glob("*/*.png"):
        shade = 50 if path.parent.name == "good" else 90
        Image.new("RGB", (16, 16), (shade,) * 3).save(path)
    _, out = bench("data", "folder", "--data-root", toy, "--shortcuts")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if "." in line}
    assert rows["nut"][0] == "1.000*" and rows["pin"][0] != "1.000*"


def test_a_method_derived_from_another_runs_under_its_own_name(
    bench: Bench, toy: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("from benchmark.methods.padim import Padim\nclass Mine(Padim):\n    'My.'\n")
    status, out = bench(
        "run", "--methods", "mine", "--plugin", plugin, "--dataset", "folder", "--data-root", toy,
        "--categories", "nut", "--weights", "random", "--set", "mine.backbone=resnet18",
        "mine.channels=8", "--image-size", "64", "--device", "cpu", "--results", tmp_path / "runs",
    )  # fmt: skip
    assert status == 0, out
    status, out = bench("table", "summary", "--results", tmp_path / "runs")
    assert status == 0 and "mine (" in out.lower() and "PaDiM" not in out, out


def test_a_pretrained_asset_is_built_once_loaded_and_resumed(
    bench: Bench, toy: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "with_asset.py"
    plugin.write_text(
        PLUGIN.read_text()
        .replace("import Batch,", "import Asset, State, Batch,")
        .replace(
            "class MeanColour",
            "class Tint(Asset):\n"
            '    name = "tint"\n'
            "    size = 32\n\n"
            "    def __init__(self, *, gain: float = 1.0) -> None:\n"
            "        self.gain = gain\n\n"
            "    def build(self, images, context):\n"
            "        saved = context.checkpoint.load() or {'step': 0}\n"
            "        for step in range(saved['step'], 3):\n"
            "            context.checkpoint.save({'step': step + 1})\n"
            "            if step == 1 and self.gain == 2.0:\n"
            "                raise RuntimeError('killed')\n"
            "        tint = sum(b.pixels.sum((0, 2, 3)) for b in images)\n"
            "        return State({'tint': tint / len(images)}, {'from': saved['step']})\n\n\n"
            "class MeanColour",
        )
        .replace(
            "    def fit(",
            "    def assets(self):\n        return [Tint]\n\n    def fit(",
        )
        .replace(
            "total = sum", "tint = context.asset(Tint).state.tensors['tint']\n        total = sum"
        )
    )
    images = toy / "nut" / "train"
    run = ["run", "--methods", "with_asset", "--plugin", plugin, "--dataset", "folder"]
    run += ["--data-root", toy, "--assets-dir", "assets", "--categories", "nut"]
    status, out = bench(*run)
    assert status == 1 and "bench pretrain tint --images DIR --assets-dir assets" in out
    build = ["pretrain", "tint", "--images", images, "--assets-dir", "assets", "--plugin", plugin]
    build += ["--weights", "random"]
    status, out = bench(*build)
    assert status == 0, out
    assert "exists already" in bench(*build)[1]
    status, out = bench(*run)
    assert status == 0, out
    (record,) = (json.loads(p.read_text()) for p in (tmp_path / "results").rglob("*-seed0.json"))
    assert set(record["key"]["assets"]) == {"tint"}
    with pytest.raises(RuntimeError, match="killed"):
        bench(*build, "--set", "tint.gain=2.0")
    status, out = bench(*build, "--set", "tint.gain=2.0")
    assert status == 0, out
    from benchmark import State

    states = [State.load(p) for p in (tmp_path / "assets").glob("*.safetensors")]
    assert sorted(s.values["from"] for s in states) == [0, 2]
    for path in (tmp_path / "assets").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-3])
    status, out = bench(*run, "--force")
    assert status == 1 and "is damaged" in out
