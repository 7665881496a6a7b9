"""The report: one file, nothing loaded from elsewhere, escaped, and it works in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import benchmark
from benchmark.report.build import command
from benchmark.tables.names import known_methods

from .conftest import TOY, Record, keep_scores

Bench = Callable[..., tuple[int, str]]


@pytest.fixture
def report(record: Record, results: Path, toy: Path, bench: Bench) -> Path:
    for k, value in ((1, 0.7), (2, 0.9), (3, 0.8)):
        for category in ("bottle", "screw"):
            record(category, value, settings={"k": k})
    record("nut", 0.95, label="standard", protocol="standard", holdout=0.1, **TOY)
    keep_scores(record("pin", 0.95, weights="random", **TOY), toy, range(8))
    record("bottle", 0.5, method="<script>alert(1)</script>")
    status, said = bench("report", "--results", results, "--data-root", toy)
    assert status == 0, said
    return Path(said.splitlines()[-1])


def test_one_file_without_requests(report: Path) -> None:
    text = report.read_text()
    assert not re.findall(r"""(?:src|href|action)=["'](?!data:|#)""", text)
    assert "url(" not in text and "@import" not in text and "fetch(" not in text
    assert "default-src 'none'" in text
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert "random weights" in text.lower()


def test_pictures_tables_and_commands_are_in_it(report: Path) -> None:
    text = report.read_text()
    assert text.count("data:image/webp;base64,") >= 3
    assert "bench run --methods spade --dataset mvtec --categories bottle screw --seeds 0" in text
    assert "things could not be shown" in text  # records whose scores were never kept


def test_paper_tables_can_be_copied(record: Record, results: Path, bench: Bench) -> None:
    record("bottle", 0.96)
    _, said = bench("report", "--results", results, "--no-pictures")
    text = html.unescape(Path(said.strip()).read_text())
    assert "SPADE, Table 3" in text and r"\begin{tabular}" in text


def test_the_command_of_a_run_names_what_differs(record: Record, results: Path) -> None:
    record(
        "metal nut",
        settings={"backbone": "resnet18", "layers": [1, 2]},
        weights="random",
        label="paper-128px-holdout0.1",
        holdout=0.1,
        image_size=128,
        dataset="noisy",
        source="mvtec",
        seed=3,
    )
    assert command(benchmark.load_results(results), known_methods()["spade"]) == (
        "bench run --methods spade --dataset mvtec --name noisy --categories 'metal nut' --seeds 3 "
        "--protocol paper --image-size 128 --holdout 0.1 --weights random "
        "--set spade.backbone=resnet18 'spade.layers=[1, 2]'"
    )


DRIVE = """
<script>
const rows = (t) => [...t.tBodies[0].rows].filter((r) => !r.hidden).map((r) => r.cells[0].textContent);
const choose = (id, v) => { const s = one(id); s.value = v; s.dispatchEvent(new Event("change")); };
const found = {};
const blocks = [...document.querySelectorAll("#board ~ section")];
const board = [...document.querySelectorAll("table.sortable")]
  .find((t) => t.caption && t.caption.textContent.startsWith("mvtec"));
const auroc = board.querySelectorAll("th button")[1];
auroc.focus(); auroc.click(); found.down = rows(board);
auroc.click(); found.up = rows(board);
choose("method", "SPADE (k=2)"); found.method = rows(board);
choose("method", "");
choose("dataset", "toy");
found.visible = [...document.querySelectorAll("section.block")].filter((b) => !b.hidden)
  .every((b) => b.dataset.dataset === "toy");
found.hidden = board.closest("section").hidden;
choose("dataset", ""); choose("metric", "pro");
found.metrics = [...board.tHead.rows[0].cells].filter((c) => !c.hidden).map((c) => c.textContent);
found.wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
document.title = "FOUND" + JSON.stringify(found) + "END";
</script>
"""


@pytest.mark.parametrize("width", [1280, 500], ids=["desktop", "phone"])
def test_it_works_in_a_browser(report: Path, tmp_path: Path, width: int) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine (Debian: chromium)")
    driven = tmp_path / "driven.html"
    driven.write_text(report.read_text().replace("</body>", DRIVE + "</body>"))
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--window-size={width},900",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--dump-dom",
            driven.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    match = re.search(r"FOUND(\{.*?\})END", html.unescape(done.stdout))
    assert match is not None
    found = json.loads(match.group(1))
    scored = [n for n in found["down"] if n.startswith("SPADE")]
    assert scored == ["SPADE (k=2)", "SPADE (k=3)", "SPADE (k=1)"]
    assert [n for n in found["up"] if n.startswith("SPADE")] == scored[::-1]
    assert found["up"][-1] == found["down"][-1]  # without a value: last both ways
    assert found["method"] == ["SPADE (k=2)"]
    assert found["visible"] and found["hidden"]
    assert found["metrics"] == ["Method", "pro"]
    assert not found["wide"], "the page scrolls sideways"
