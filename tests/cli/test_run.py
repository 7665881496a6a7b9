"""``bench run`` as a user types it: records, resuming, and everything that can go wrong."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import benchmark
from benchmark.records import files, store
from benchmark.records.claims import claimed, place
from benchmark.runner import run as runner

Bench = Callable[..., tuple[int, str]]
PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "mean_colour.py"


@pytest.fixture
def run(bench: Bench, toy: Path) -> Bench:
    """``bench run`` of the example plugin on the toy data, plus what a test adds."""

    def call(*more: object) -> tuple[int, str]:
        base = ["run", "--dataset", "folder", "--data-root", toy, "--plugin", PLUGIN]
        if "--methods" not in more:
            base += ["--methods", "mean_colour"]
        return bench(*base, *more)

    return call


def records(root: Path) -> dict[str, dict[str, Any]]:
    """Record by path, without what differs from run to run."""
    out = {}
    for path in sorted(root.rglob("*-seed*.json")):
        record = json.loads(path.read_text())
        for block in ("cost", "environment"):
            record.pop(block, None)
        out[str(path.relative_to(root))] = record
    return out


def test_a_run_writes_whole_records_and_prints_a_table(run: Bench, tmp_path: Path) -> None:
    status, out = run("--seeds", 0, 1)
    assert status == 0, out
    assert "nut" in out and "pin" in out and "image AUROC" in out
    found = records(tmp_path / "results" / "runs")
    assert len(found) == 4
    for name, record in found.items():
        assert record["format"] == 1 and record["status"] == "ok"
        assert record["metrics"]["image_auroc"] == 1.0
        assert 0.9 < record["metrics"]["pixel_auroc"] <= 1.0
        folder = (tmp_path / "results" / "runs" / name).parent
        for file in record["files"].values():
            assert (folder / file["name"]).exists()
        assert record["metrics"]["held_out_images"] == 1
        found_here = {"train": 10, "good": 4, "defective": 4}
        files = record["provenance"].pop("files")
        assert record["provenance"] == {
            "published_weights": True,
            "images": {"found": found_here, "official": None},
        }
        assert files["sizes"]["most"] == [[48, 48, 18]] and not files["warnings"]


def test_parts_of_scores_are_kept_and_measured(run: Bench, bench: Bench, tmp_path: Path) -> None:
    whole = "return Prediction(maps.flatten(1).amax(1), maps"
    parts = '{"highest": maps.flatten(1).amax(1), "negative": -maps.flatten(1).amax(1)}'
    path = plugin(tmp_path, "in_parts", whole, f"{whole}, {parts}")
    status, out = run("--plugin", path, "--methods", "in_parts", "--categories", "nut")
    assert status == 0, out
    results = tmp_path / "results" / "runs"
    (found,) = records(results).values()
    assert found["metrics"]["image_auroc[highest]"] == found["metrics"]["image_auroc"] == 1.0
    row = benchmark.load_results(results).iloc[0]
    assert row["image_auroc[highest]"] == 1.0 and row["image_auroc[negative]"] == 0.0
    (file,) = results.rglob("*.npz")
    stored = store.Scores.read(file.parent, found["files"]["scores"])
    np.testing.assert_array_equal(stored.parts["negative"], -stored.scores)
    np.testing.assert_array_equal(stored.held_out_parts["highest"], stored.held_out)
    status, out = bench("evaluate", "--results", results, "--data-root", tmp_path / "toy")
    assert status == 0 and "1 records evaluated, 0 of them changed" in out, out


def test_finished_cells_are_kept_and_force_redoes_them(run: Bench, tmp_path: Path) -> None:
    run()
    results = tmp_path / "results" / "runs"
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*.json")}
    status, out = run()
    assert status == 0 and out.count("already done") == 2
    assert before == {path: path.stat().st_mtime_ns for path in results.rglob("*.json")}
    status, out = run("--force")
    assert status == 0 and "already done" not in out
    after = {path: path.stat().st_mtime_ns for path in results.rglob("*.json")}
    assert before.keys() == after.keys() and all(before[p] < after[p] for p in before)
    assert len([*results.rglob("*.npz")]) == 2  # no score file is left over


def test_same_seed_same_record_in_a_fresh_process(toy: Path, tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        command = [sys.executable, "-m", "benchmark", "run", "--methods", "padim", "spade"]
        command += ["--dataset", "folder", "--data-root", str(toy), "--weights", "random"]
        command += ["--set", "padim.backbone=resnet18", "spade.backbone=resnet18"]
        command += ["--categories", "nut", "--image-size", "64", "--results", str(tmp_path / name)]
        subprocess.run(command, check=True, capture_output=True)
        found.append(records(tmp_path / name))
    assert len(found[0]) == 2
    assert found[0] == found[1]


def test_records_under_other_settings_stay_apart(run: Bench, tmp_path: Path) -> None:
    run()
    status, out = run("--set", "mean_colour.sigma=2.0")
    assert status == 0 and "already done" not in out
    assert len(records(tmp_path / "results" / "runs")) == 4


@pytest.mark.parametrize(
    "more", [["--protocol", "paper"], ["--image-size", "64"], ["--holdout", "0.3"]]
)
def test_records_under_another_protocol_stay_apart(
    run: Bench, tmp_path: Path, more: list[str]
) -> None:
    run()
    status, out = run(*more)
    assert status == 0 and "already done" not in out
    assert len(records(tmp_path / "results" / "runs")) == 4


def test_other_data_under_the_same_name_is_refused(run: Bench, toy: Path, tmp_path: Path) -> None:
    run("--categories", "nut")
    before = records(tmp_path / "results" / "runs")
    shutil.copy(toy / "nut/train/good/001.png", toy / "nut/train/good/000.png")
    status, out = run("--categories", "nut")
    assert status == 1
    assert "belongs to something else (data:" in out and "--name" in out
    assert records(tmp_path / "results" / "runs") == before
    status, out = run("--categories", "nut", "--name", "other")
    assert status == 0, out


def test_a_failing_category_does_not_harm_the_other(run: Bench, toy: Path, tmp_path: Path) -> None:
    good = (toy / "nut/train/good/000.png").read_bytes()
    (toy / "nut/train/good/000.png").write_bytes(good[: len(good) // 2])
    status, out = run()
    assert status == 1
    assert "nut/train/good/000.png" in out
    found = records(tmp_path / "results" / "runs")
    assert {r["key"]["category"]: r["status"] for r in found.values()} == {
        "nut": "failed",
        "pin": "ok",
    }
    (toy / "nut/train/good/000.png").write_bytes(good)
    status, out = run()
    assert status == 0 and out.count("already done") == 1


def grey_mask(path: Path) -> None:
    mask = np.array(Image.open(path))
    mask[0, 0] = 128
    Image.fromarray(mask).save(path)


def small_mask(path: Path) -> None:
    Image.open(path).resize((20, 20), Image.Resampling.NEAREST).save(path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (grey_mask, "128"),
        (small_mask, "20×20"),
        (Path.unlink, "000.png"),
        (lambda p: p.write_bytes(b"no image"), "000_mask.png"),
    ],
    ids=["grey", "other size", "missing", "no image"],
)
def test_a_bad_mask_is_named(
    run: Bench, toy: Path, damage: Callable[[Path], Any], says: str
) -> None:
    damage(toy / "nut/ground_truth/square/000_mask.png")
    status, out = run()
    assert status == 1 and says in out
    assert "pin seed 0: done" in out


def test_an_empty_category_is_named(run: Bench, toy: Path) -> None:
    for path in (toy / "nut/train/good").iterdir():
        path.unlink()
    status, out = run()
    assert status != 0 and "nut" in out


def plugin(folder: Path, name: str, old: str, new: str) -> Path:
    text = PLUGIN.read_text()
    assert old in text
    path = folder / f"{name}.py"
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "return Prediction(maps",
            "maps[0, 0, 0] = float('nan')\n        return Prediction(maps",
            "NaN",
        ),
        ("total = sum", "raise ValueError('the sky fell')\n        total = sum", "the sky fell"),
        (
            "return Prediction(maps.flatten(1).amax(1)",
            "return Prediction(maps.amax((0, 1, 2))",
            "shape",
        ),
        ("self.check_fitted()", "raise MemoryError", "out of memory"),
    ],
    ids=["NaN", "raises in fit", "wrong shape", "memory"],
)
def test_a_failing_plugin_does_not_harm_the_others(
    run: Bench, tmp_path: Path, old: str, new: str, says: str
) -> None:
    path = plugin(tmp_path, "faulty", old, new)
    status, out = run("--plugin", path, PLUGIN, "--methods", "faulty", "mean_colour")
    assert status == 1 and says in out
    assert out.count("mean_colour nut seed 0: done") == 1
    states = [r["status"] for r in records(tmp_path / "results" / "runs").values()]
    assert sorted(states) == ["failed", "failed", "ok", "ok"]
    left = [p.name for p in (tmp_path / "results").rglob("*.part")]
    assert not left


def test_missing_data_root(bench: Bench, tmp_path: Path) -> None:
    status, out = bench("run", "--methods", "padim", "--dataset", "mvtec", "--data-root", "nowhere")
    assert status == 2 and "nowhere" in out and "--data-root" in out
    status, out = bench("run", "--methods", "padim", "--dataset", "mvtec")
    assert status == 2 and "BENCH_DATA" in out


def test_unwritable_results(run: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, out = run("--results", tmp_path / "file" / "below")
    assert status == 2 and "cannot be written" in out and "--results" in out


@pytest.mark.parametrize("name", ["..", ".", "/etc", "nut/../pin"])
def test_a_category_that_leads_elsewhere_is_refused(run: Bench, name: str) -> None:
    status, out = run("--categories", name)
    assert status == 2 and repr(name) in out


def test_a_full_disk_fails_the_cell_and_is_explained(
    run: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.records import store

    original = store.MapWriter.add
    calls = []

    def full(self: store.MapWriter, maps: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise OSError(28, "No space left on device", "maps")
        original(self, maps)

    monkeypatch.setattr(store.MapWriter, "add", full)
    status, out = run()
    assert status == 1 and "disk is full" in out and "--results" in out
    assert "pin seed 0: done" in out
    assert not [*(tmp_path / "results").rglob("*.part")]
    assert run()[0] == 0


def test_weights_problems_are_named_and_stop_only_their_method(
    run: Bench, toy: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "resnet18.safetensors").write_bytes(b"not weights at all")
    arguments = ["--methods", "padim", "mean_colour", "--weights-dir", weights]
    arguments += ["--set", "padim.backbone=resnet18"]
    status, out = run(*arguments)
    assert status == 1 and "resnet18.safetensors: cannot be read as weights" in out
    assert "mean_colour pin seed 0: done" in out

    import timm
    from safetensors.torch import save_file

    state = timm.create_model("resnet18").state_dict()
    del state["layer3.0.conv1.weight"]
    save_file(state, weights / "resnet18.safetensors")
    status, out = run(*arguments)
    assert status == 1 and "layer3.0.conv1.weight" in out
    status, out = run(*arguments, "padim.layers=[1, 2]", "--image-size", "64")
    assert status == 0, out


def test_random_weights_are_labelled(run: Bench, tmp_path: Path) -> None:
    status, out = run(
        "--methods", "padim", "--set", "padim.backbone=resnet18", "--weights", "random",
        "--image-size", "64", "--categories", "nut",
    )  # fmt: skip
    assert status == 0 and "RANDOM WEIGHTS" in out
    (record,) = records(tmp_path / "results" / "runs").values()
    assert record["key"]["weights"][0]["source"] == "random"


def test_a_category_that_another_run_holds_is_left_to_it_and_waited_for(
    run: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := tmp_path / "results/runs/folder/standard").mkdir(parents=True)
    with contextlib.ExitStack() as other:
        claim = other.enter_context(claimed(place(folder, "nut")))
        assert claim is not None
        # the other run ends while this one waits
        monkeypatch.setattr(runner, "time", SimpleNamespace(sleep=lambda _: other.close()))
        status, out = run()
    assert status == 0, out
    lines = [line for line in out.splitlines() if "seed 0:" in line or "waiting" in line]
    assert "pin seed 0: done" in lines[0] and "nut seed 0: done" in lines[2], out
    assert f"waiting for nut, on which process {os.getpid()} on" in lines[1]
    assert not [*(tmp_path / "results").rglob("*.claim*")]


def test_forced_cells_are_redone_unless_another_run_has_redone_them_meanwhile(
    run: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    (nut,) = tmp_path.rglob("nut-seed0.json")
    seen = files.check_writable

    def slow(results: Path) -> float:
        now = seen(results)
        os.utime(nut, (now + 1, now + 1))
        return now

    monkeypatch.setattr(files, "check_writable", slow)
    status, out = run("--force")
    assert status == 0 and "nut seed 0: already done" in out and "pin seed 0: done" in out


def test_two_runs_at_once_end_with_whole_records(toy: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmark", "run", "--methods", "mean_colour"]
    command += ["--plugin", str(PLUGIN), "--dataset", "folder", "--data-root", str(toy)]
    command += ["--seeds", "0", "1", "2", "--results", str(tmp_path / "shared")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outs = [process.communicate()[0] for process in both]
    assert all("FAILED" not in out for out in outs), outs
    found = records(tmp_path / "shared")
    assert [r["status"] for r in found.values()] == ["ok"] * 6
    for name, record in found.items():
        for file in record["files"].values():
            assert ((tmp_path / "shared" / name).parent / file["name"]).exists()
    assert len([*(tmp_path / "shared").rglob("*.npz")]) == 6


def test_only_good_images_run_with_dashes(run: Bench, toy: Path) -> None:
    shutil.rmtree(toy / "nut/test/square")
    shutil.rmtree(toy / "nut/ground_truth")
    status, out = run("--categories", "nut")
    assert status == 0 and "–" in out
    assert "the test split has only good images" in out


def test_a_plugin_without_maps_runs(run: Bench, tmp_path: Path) -> None:
    path = plugin(tmp_path, "scores_only", ".amax(1), maps)", ".amax(1))")
    status, out = run("--plugin", path, "--methods", "scores_only")
    assert status == 0 and "gives no anomaly maps" in out


def test_no_maps_keeps_the_metrics(run: Bench, bench: Bench, toy: Path, tmp_path: Path) -> None:
    run("--no-maps")
    assert not [*(tmp_path / "results").rglob("*.npy")]
    before = records(tmp_path / "results")
    assert all(r["metrics"]["pro"] is not None for r in before.values())
    status, out = bench("evaluate", "--data-root", toy)
    assert status == 0, out
    assert records(tmp_path / "results") == before


def test_dry_run_lists_cells_and_estimates(run: Bench, tmp_path: Path) -> None:
    run("--categories", "nut")
    status, out = run("--dry-run")
    assert status == 0
    assert "2 cells: 1 done, 1 to run" in out and "estimated time" in out
    assert len(records(tmp_path / "results" / "runs")) == 1


def test_config_file_and_options_say_the_same(bench: Bench, toy: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        f"methods: [mean_colour]\ndataset: folder\ndata-root: {toy}\nplugin: [{PLUGIN}]\n"
        "categories: [nut]\nset: {mean_colour: {sigma: 2.0}}\n"
    )
    status, out = bench("run", "--config", file)
    assert status == 0, out
    status, out = bench(
        "run", "--methods", "mean_colour", "--dataset", "folder", "--data-root", toy, "--plugin",
        PLUGIN, "--categories", "nut", "--set", "mean_colour.sigma=2.0",
    )  # fmt: skip
    assert status == 0 and "already done" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--methods", "spad"], "unknown method 'spad', did you mean 'spade'? known: "),
        (["--dataset", "mvtek"], "did you mean 'mvtec'?"),
        (["--categories", "nuts"], "did you mean 'nut'?"),
        (["--set", "mean_colour.sigmo=1"], "did you mean 'sigma'?"),
        (["--set", "mean_colour.sigma=wide"], "allowed is float"),
        (["--set", "sigma=1"], "METHOD.SETTING=VALUE"),
        (["--set", "padim.channels=1"], "which this run does not include"),
        (["--holdout", "1.5"], "from 0 to below 1"),
        (["--device", "toaster"], "there are: cpu"),
        (["--config", "absent.yaml"], "absent.yaml"),
        (["--plugin", "absent.py"], "absent.py"),
        (["--seeds", "1", "1"], "each once"),
    ],
)
def test_wrong_use_says_what_is_allowed(run: Bench, arguments: list[str], says: str) -> None:
    status, out = run(*arguments)
    assert status == 2 and says in out, out


def test_a_tables_own_runs(bench: Bench, tmp_path: Path) -> None:
    status, out = bench("run", "--table", "spade-3", "--data-root", tmp_path / "nowhere")
    assert status == 2 and "nowhere" in out  # it got as far as looking for mvtec
    status, out = bench("run", "--table", "spade-9")
    assert status == 2 and "unknown paper's table 'spade-9'" in out
    status, out = bench("run", "--table", "spade-3", "--methods", "padim")
    assert status == 2 and "--methods" in out


def test_seeds_of_a_detector_that_draws_nothing_share_one_fit(run: Bench, tmp_path: Path) -> None:
    path = plugin(
        tmp_path,
        "still",
        "    def fit(",
        "    draws = False\n\n    def fit(",
    )
    path.write_text(
        path.read_text().replace(
            "total = sum", f"open({str(tmp_path / 'fits')!r}, 'a').write('x')\n        total = sum"
        )
    )
    given = ("--plugin", path, "--methods", "still", "--categories", "nut")
    status, out = run(*given, "--seeds", "0", "1")
    assert status == 0 and (tmp_path / "fits").read_text() == "x", out
    status, out = run(*given, "--seeds", "2")  # in a later run, too
    assert status == 0 and (tmp_path / "fits").read_text() == "x", out
    records = [json.loads(p.read_text()) for p in sorted(tmp_path.rglob("nut-seed*.json"))]
    assert [r["key"]["seed"] for r in records] == [0, 1, 2]
    assert all(r["metrics"] == records[0]["metrics"] for r in records)
    assert len({r["files"]["scores"]["name"] for r in records}) == 3  # each has files of its own
    status, out = run(*given, "--seeds", "0", "--force")
    assert status == 0 and (tmp_path / "fits").read_text() == "xx"
    status, out = run(*given, "--seeds", "1", "2")
    assert status == 0 and out.count("already done") == 2


def test_a_method_with_a_wrong_value_costs_only_itself(run: Bench) -> None:
    wrong = ("--set", "patchcore.coreset=3.0")
    status, out = run("--methods", "mean_colour", "patchcore", *wrong)
    assert status == 1 and "mean_colour nut seed 0: done" in out
    assert "patchcore nut seed 0: FAILED: patchcore: coreset is 3.0" in out
    status, out = run("--methods", "patchcore", *wrong)  # nothing else could run
    assert status == 2 and "coreset is 3.0" in out
