"""Systems as they are: file systems, encodings, names of files, and parts that fail."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.data import loading
from benchmark.errors import DataError
from benchmark.features.backbones import Backbone

Bench = Callable[..., tuple[int, str]]
PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "mean_colour.py"


@pytest.fixture
def run(bench: Bench, toy: Path) -> Bench:
    """``bench run`` of the example plugin on one category, plus what a test adds."""

    def call(*more: object) -> tuple[int, str]:
        base = ["run", "--dataset", "folder", "--data-root", toy, "--plugin", PLUGIN]
        base += [] if "--categories" in more else ["--categories", "nut"]
        base += [] if "--methods" in more else ["--methods", "mean_colour"]
        return bench(*base, *more)

    return call


def refusing(number: int) -> Callable[..., None]:
    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


def records(root: Path) -> dict[str, Any]:
    return {p.parent.name.split("@")[0]: json.loads(p.read_text()) for p in root.rglob("*.json")}


def test_a_folder_without_hard_links_is_claimed_all_the_same(
    run: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    status, out = run("--categories", "nut", "pin")
    assert status == 0, out
    assert len([*(tmp_path / "results").rglob("*-seed0.json")]) == 2
    assert not [*(tmp_path / "results").rglob("*.claim*")]


def test_a_file_system_that_cannot_sync_is_written_all_the_same(
    run: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(errno.EINVAL))
    assert run()[0] == 0
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))  # what was written may be lost
    assert run("--force")[0] == 1


@pytest.mark.parametrize("number", [None, errno.EOPNOTSUPP])
def test_pixels_are_spilled_where_files_cannot_be_allocated(
    number: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "MEMORY_BYTES", 0)
    if number is None:
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", refusing(number))
    pixels = loading._buffer((2, 3, 3, 3))
    pixels[:] = 7
    assert (pixels == 7).all()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=53))
    with pytest.raises(DataError, match="TMPDIR"):
        loading._buffer((2, 3, 3, 3))


def test_a_full_temporary_folder_is_named(run: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MEMORY_BYTES", 0)
    monkeypatch.setattr(os, "posix_fallocate", refusing(errno.ENOSPC))
    status, out = run()
    assert status == 1 and "set TMPDIR" in out and "OSError" not in out


def test_windows_is_refused_at_the_start(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    status, out = bench("list", "methods")
    assert status == 2 and "Windows is not supported" in out


def test_the_package_runs_as_a_module_with_the_exit_status_of_bench() -> None:
    command = [sys.executable, "-m", "benchmark"]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    assert version.returncode == 0 and version.stdout.startswith("bench ")
    wrong = subprocess.run(
        [*command, "scores"], capture_output=True, text=True, check=False, cwd="/"
    )
    assert wrong.returncode == 2 and wrong.stderr.startswith("bench: results folder")


def test_a_terminal_without_the_letters_gets_their_numbers(
    run: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    from benchmark.cli.parser import main

    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    assert main(["table", "per-category"]) == 0
    sys.stdout.flush()
    assert b"\\xd7" in raw.getvalue()  # the sign in 256×256


def test_a_file_name_that_is_not_utf_8_is_run_and_shown(
    run: Bench, bench: Bench, toy: Path
) -> None:
    for old, new in (("test/square", b"000\xff.png"), ("ground_truth/square", b"000\xff_mask.png")):
        folder = os.fsencode(toy / "nut" / old)
        stem = b"000_mask.png" if old.startswith("ground") else b"000.png"
        try:
            os.rename(folder + b"/" + stem, folder + b"/" + new)
        except OSError:
            pytest.skip("this file system takes UTF-8 only")
    status, out = run()
    assert status == 0, out
    assert "000\\xff.png" in bench("scores")[1]


def test_a_category_is_found_however_its_letters_are_composed(run: Bench, toy: Path) -> None:
    name = "Schlüssel"
    (toy / "nut").rename(toy / unicodedata.normalize("NFD", name))
    status, out = run("--categories", unicodedata.normalize("NFC", name))
    assert status == 0, out


@pytest.mark.parametrize("how", ["option", "file", "variable"])
def test_a_tilde_is_the_home_folder(
    bench: Bench, toy: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    base: list[object] = ["run", "--methods", "mean_colour", "--dataset", "folder"]
    base += ["--categories", "nut", f"--plugin={PLUGIN}"]
    if how == "option":
        base += ["--data-root=~/toy", "--results=~/found"]
    elif how == "file":
        (tmp_path / "run.yaml").write_text("data_root: ~/toy\nresults: ~/found\n")
        base += ["--config=~/run.yaml"]
    else:
        monkeypatch.setenv("BENCH_DATA", "~/toy")
        base += ["--results=~/found"]
    status, out = bench(*base)
    assert status == 0, out
    assert [*(tmp_path / "found").rglob("*-seed0.json")] and not (tmp_path / "~").exists()
    assert (
        "no home folder is known for '~nobody_here'"
        in bench("scores", "--results=~nobody_here/x")[1]
    )


def test_names_that_yaml_takes_for_numbers_or_truth_stay_names(
    bench: Bench, toy: Path, tmp_path: Path
) -> None:
    (toy / "nut").rename(toy / "01")
    (toy / "pin").rename(toy / "on")
    text = f"methods: [mean_colour]\ndataset: folder\ncategories: [01, on]\ndata_root: {toy}\n"
    (tmp_path / "run.yaml").write_text(text)
    status, out = bench("run", "--config", "run.yaml", "--plugin", PLUGIN)
    assert status == 0, out
    assert {p.name for p in tmp_path.rglob("*-seed0.json")} == {"01-seed0.json", "on-seed0.json"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_a_yaml_file_in_another_encoding_is_read_or_named(
    bench: Bench, toy: Path, tmp_path: Path, encoding: str
) -> None:
    (toy / "nut").rename(toy / "Schlüssel")
    text = f"methods: [mean_colour]\ndataset: folder\ncategories: [Schlüssel]\ndata_root: {toy}\n"
    (tmp_path / "run.yaml").write_bytes(text.encode(encoding))
    status, out = bench("run", "--config", "run.yaml", "--plugin", PLUGIN)
    if encoding == "latin-1":
        assert status == 2 and "run.yaml: line 3 is not UTF-8; save the file as UTF-8" in out
    else:
        assert status == 0, out


def test_a_saved_table_in_another_encoding_is_named(
    run: Bench, bench: Bench, tmp_path: Path
) -> None:
    run()
    (tmp_path / "table.md").write_bytes("64×64".encode("latin-1"))
    status, out = bench("table", "per-category", "--check", "table.md")
    assert status == 2 and "table.md: line 1 is not UTF-8" in out


def test_a_negative_number_of_threads_is_refused(run: Bench) -> None:
    status, out = run("--threads", "-3")
    assert status == 2 and "threads -3: allowed are 1 and more" in out


@pytest.mark.parametrize(
    "command", [["table", "per-category"], ["scores"], ["report", "--no-pictures"], ["evaluate"]]
)
def test_a_stray_record_is_named_and_the_others_are_shown(
    run: Bench, bench: Bench, toy: Path, tmp_path: Path, command: list[str]
) -> None:
    run()
    more = ["--data-root", toy] if command == ["evaluate"] else []
    folder = tmp_path / "results" / "runs" / "folder"
    (folder / "._nut-seed0.json").write_bytes(b"\0\5\26\7")  # a Mac's, on a shared disk
    assert bench(*command, *more)[0] == 0
    (folder / "nut-seed1.json").touch()
    status, out = bench(*command, *more)
    assert status == 1 and out.count("left out: ") == 1 and "nut-seed1.json" in out
    assert {"scores": "square/000.png", "evaluate": "1 records evaluated"}.get(
        command[0], ""
    ) in out


def test_an_empty_record_is_redone_with_force(run: Bench, tmp_path: Path) -> None:
    run()
    (path,) = (tmp_path / "results").rglob("*-seed0.json")
    path.write_bytes(b"")
    status, out = run()
    assert status == 1 and "an empty file" in out
    assert run("--force")[0] == 0 and json.loads(path.read_text())["status"] == "ok"


BROKEN = """
from benchmark import Detector, Prediction

class Broken(Detector):
    title = "Broken"
    citation = "none"

    def __init__(self, *, k: int = 5) -> None:
        {init}

    def needs(self):
        {needs}
        return []

    def assets(self):
        {assets}
        return []

    def fit(self, train, context):
        self.count_ = len(train)
        return self

    def predict(self, batch, context):
        return Prediction(batch.pixels.mean((1, 2, 3)))
"""


@pytest.mark.parametrize("place", ["init", "needs", "assets"])
def test_a_method_that_cannot_be_set_up_costs_only_itself(
    run: Bench, tmp_path: Path, place: str
) -> None:
    parts = dict.fromkeys(("init", "needs", "assets"), "pass")
    broken = tmp_path / "broken.py"
    broken.write_text(BROKEN.format(**{**parts, place: "raise AssertionError('two\\nlines')"}))
    more = ["--methods", "broken", "mean_colour", "--plugin", PLUGIN, broken]
    status, out = run(*more, "--dry-run")
    said = "broken cannot be used here (AssertionError: two)"
    assert status == 1 and said in out and "1 to run" in out
    status, out = run(*more)
    assert status == 1 and said in out
    found = records(tmp_path / "results")
    assert found["mean_colour"]["status"] == "ok" and found["broken"]["status"] == "failed"
    assert "raise AssertionError" in found["broken"]["error"]["traceback"]


def test_a_backbone_that_fails_costs_only_its_method(
    run: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*_: object, **__: object) -> None:
        raise RuntimeError("no such size")

    monkeypatch.setattr(Backbone, "__call__", call)
    status, out = run(
        "--methods", "padim", "mean_colour", "--set", "padim.backbone=resnet18",
        "--weights", "random", "--image-size", "64",
    )  # fmt: skip
    assert status == 1 and "RuntimeError: no such size" in out
    assert {k: r["status"] for k, r in records(tmp_path / "results").items()} == {
        "padim": "failed",
        "mean_colour": "ok",
    }


def test_a_geometry_that_does_not_fit_costs_only_its_method(
    run: Bench, toy: Path, tmp_path: Path
) -> None:
    from PIL import Image

    path = toy / "nut/test/good/000.png"
    Image.open(path).resize((60, 40)).save(path)
    native = tmp_path / "native.py"
    text = BROKEN.format(**dict.fromkeys(("init", "needs", "assets"), "pass"))
    paper = "from benchmark.data.geometry import Geometry\n"
    native.write_text(
        paper + text.replace("citation =", "paper = Geometry(resize=None)\n    citation =")
    )
    square = tmp_path / "square.py"
    square.write_text(
        paper + text.replace("citation =", "paper = Geometry(resize=(32, 32))\n    citation =")
    )
    status, out = run(
        "--methods", "native", "square", "--plugin", native, square, "--protocol", "paper"
    )
    found = records(tmp_path / "results")
    assert status == 1 and "--image-size" in out, out
    assert {k: r["status"] for k, r in found.items()} == {"native": "failed", "square": "ok"}, out
