"""The report: one file, nothing loaded from elsewhere, escaped, and it works in a browser."""

from __future__ import annotations

import hashlib
import html
import math
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import benchmark
from benchmark.records.select import choose
from benchmark.reports.averages import averages
from benchmark.reports.leaderboard import block
from benchmark.reports.runs import command
from benchmark.tables.live import over_seeds

from .browser import Browser
from .conftest import TOY, Record, keep_scores

Bench = Callable[..., tuple[int, str]]
LIBRARY = resources.files("benchmark.reports") / "echarts" / "echarts.common.min.js"


@pytest.fixture
def report(record: Record, results: Path, toy: Path, bench: Bench) -> Path:
    trivial = {"files": {"shortcuts": {"brightness": 0.85, "contrast": 0.6}}}
    for k, value in ((1, 0.7), (2, 0.9), (3, 0.8)):
        for category in ("bottle", "screw"):
            record(category, value, settings={"k": k}, provenance=trivial)
    record("nut", 0.95, label="standard", protocol="standard", holdout=0.1, **TOY)
    keep_scores(record("pin", 0.95, weights="random", **TOY), toy, range(8))
    record("bottle", 0.5, method="<script>alert(1)</script>")
    status, said = bench("report", "--results", results, "--data-root", toy)
    assert status == 0, said
    return Path(said.splitlines()[-1])


def test_one_file_with_pictures_commands_and_licences_and_without_requests(report: Path) -> None:
    text = report.read_text().replace(LIBRARY.read_text(encoding="utf-8"), "")
    assert not re.findall(r"""(?:src|href|action)=["'](?!data:|#)""", text)
    assert "url(" not in text and "@import" not in text and "fetch(" not in text
    assert "default-src 'none'" in text
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert "random weights" in text.lower()
    assert text.count("data:image/webp;base64,") >= 3
    assert "bench run --methods spade --dataset mvtec --categories bottle screw --seeds 0" in text
    assert "cites no score file" in text  # records whose scores were never kept
    assert "Apache License" in text and "Mike Bostock" in text


def test_the_charting_library_is_what_its_note_says() -> None:
    content = LIBRARY.read_bytes()
    note = (resources.files("benchmark.reports") / "echarts" / "README.md").read_text()
    assert hashlib.sha256(content).hexdigest() in note
    assert len(content) < 2_000_000


def test_the_averages_are_those_of_the_tables(record: Record, results: Path) -> None:
    random = np.random.default_rng(0)
    for k in (1, 2, 3):
        for category in ("bottle", "screw"):
            for seed in range(3):
                if (k, category, seed) == (2, "screw", 1):
                    continue  # a seed that one category lacks
                value = None if k == 3 and category == "screw" else random.uniform()
                record(category, value, settings={"k": k}, seed=seed, draws=k != 1)
    frame = choose(benchmark.load_results(results))
    names, every = list(frame["name"].unique()), ["bottle", "screw"]
    found = averages(frame, names, every, ["image_auroc", "pro"])
    for i, name in enumerate(names):
        rows = frame[frame["name"] == name]
        for over, mean, spread in (
            (every, found.means[1, i], found.deviations[1, i]),
            (["bottle"], found.cells[1, i, 0], found.spreads[1, i, 0]),
        ):
            wanted = over_seeds(rows, "pro", over)
            np.testing.assert_allclose(mean, wanted.mean)
            np.testing.assert_allclose(spread, math.nan if wanted.spread is None else wanted.spread)


def test_a_block_is_ranked_and_says_where_a_trivial_score_does_as_well(
    record: Record, results: Path
) -> None:
    for k, values in ((1, (0.9, 0.8)), (2, (0.7, 0.9)), (3, (0.6, 0.7))):
        for category, value, bright in zip(("bottle", "screw"), values, (0.5, 0.95), strict=True):
            trivial = {"files": {"shortcuts": {"brightness": bright}}}
            cost = {"latency_batch_1_seconds": 0.1 * k}
            record(category, value, settings={"k": k}, provenance=trivial, cost=cost)
    shown = block("title", choose(benchmark.load_results(results)))
    ranks = {line.label: line.rank.value for line in shown.board}
    assert ranks == {"SPADE (k=1)": 1.5, "SPADE (k=2)": 1.5, "SPADE (k=3)": 3.0}
    assert (
        next(line.label for line in shown.board) == "SPADE (k=1)"
    )  # as high, and better on average
    assert shown.metrics[:5] == ["image_auroc", "image_accuracy", "pixel_auroc", "pro", "pixel_ap"]
    (said,) = [note for note in shown.notes if "look at no defect" in note]
    assert "screw (brightness: 0.950)" in said and "bottle" not in said
    assert [m["label"] for m in shown.data["methods"]][
        shown.data["devices"][0]["frontiers"][0][0]
    ] == ("SPADE (k=1)")


def test_paper_tables_are_in_it(record: Record, results: Path, bench: Bench) -> None:
    record("bottle", 0.96)
    _, said = bench("report", "--results", results, "--no-pictures")
    text = html.unescape(Path(said.strip()).read_text())
    assert "SPADE, Table 3" in text and "95.5" in text and 'id="pictures"' not in text


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
    assert command(benchmark.load_results(results)) == (
        "bench run --methods spade --dataset mvtec --name noisy --categories 'metal nut' --seeds 3 "
        "--protocol paper --image-size 128 --holdout 0.1 --weights random "
        "--set spade.backbone=resnet18 'spade.layers=[1, 2]'"
    )


SECTION = "document.querySelector('section.block[id^=block-mvtec]')"
BOARD = f"{SECTION}.querySelector('table.board')"
ROWS = (
    f"[...{BOARD}.tBodies[0].rows].filter((r) => !r.hidden).map((r) => r.cells[0].innerText.trim())"
)
HEADS = f"[...{BOARD}.tHead.rows[0].cells].filter((c) => c.checkVisibility()).length"


def enter(page: Browser, element: str, text: str) -> None:
    page.value(f"{element}.value = {text!r}; {element}.dispatchEvent(new Event('input'))")


def test_it_works_on_a_desk_and_on_a_phone(report: Path, tmp_path: Path) -> None:
    for width in (1280, 390):
        works(report, tmp_path / str(width), width)


def works(report: Path, profile: Path, width: int) -> None:
    with Browser(report, profile, width) as page:

        def scored() -> list[str]:
            return [name for name in page.value(ROWS) if name.startswith("SPADE")]

        assert scored() == ["SPADE (k=2)", "SPADE (k=3)", "SPADE (k=1)"]  # by rank
        page.value(f"{BOARD}.querySelectorAll('th button')[2].focus()")
        page.press("Enter", "Enter")  # sorting, by keyboard, the lowest first
        assert scored() == ["SPADE (k=1)", "SPADE (k=3)", "SPADE (k=2)"]
        assert page.value(ROWS)[-1].startswith("<script>")  # without a value: last both ways

        enter(page, "one('methods')", "k=2")
        assert page.value(ROWS) == ["SPADE (k=2)"]
        enter(page, "one('methods')", "")
        enter(page, f"{SECTION}.querySelector('.tools input')", "k=3")
        assert page.value(ROWS) == ["SPADE (k=3)"]
        enter(page, f"{SECTION}.querySelector('.tools input')", "")

        assert page.value(HEADS) == 7  # method, rank and five metrics
        page.value("one('more').focus()")
        page.press("Space")
        assert page.value(HEADS) > 20
        enter(page, "one('metric')", "pro")
        captions = f"[...{SECTION}.querySelectorAll('caption')].map((c) => c.textContent)"
        assert page.value(captions)[1] == "Who wins where: pro"
        enter(page, "one('metric')", "image_auroc")
        marked = f"[...{SECTION}.querySelectorAll('.heat abbr')].map((a) => a.title)"
        assert page.value(marked)[0] == "brightness alone: 0.850"
        assert len(page.value(marked)) == 5  # not of the method with 0.9

        for name in ("k=1", "k=2"):
            page.value(f"{SECTION}.querySelector('.tick input[aria-label*=\"{name}\"]').focus()")
            page.press("Space")
        compared = page.value(f"{SECTION}.querySelector('.compare').innerText")
        assert "SPADE (k=2) in 2 of 2 categories; mean difference −0.200" in compared
        drawn = (
            "[...document.querySelectorAll('.chart')].filter((c) => c.querySelector('svg')).length"
        )
        assert page.value(drawn) >= 2  # latency, and the comparison

        assert page.value("document.documentElement.scrollWidth") <= width, "it scrolls sideways"
        assert not page.requests and not page.complaints


def test_a_name_opens_its_settings_and_everything_is_reached_by_keyboard(
    report: Path, tmp_path: Path
) -> None:
    with Browser(report, tmp_path / "profile", 1280) as page:
        parts = "a[href], select, summary, button, input, [tabindex='0']"
        seen = f"[...document.querySelectorAll({parts!r})].filter((e) => e.checkVisibility())"
        reached = set()
        for _ in range(page.value(f"{seen}.length")):
            page.press("Tab")
            reached.add(page.value(f"{seen}.indexOf(document.activeElement)"))
        assert reached == set(range(len(reached))) and len(reached) > 40
        page.value(f"{BOARD}.querySelector('a').focus()")
        page.press("Enter")
        opened = "[...document.querySelectorAll('details.run')].filter((d) => d.open).map((d) => d.innerText)"
        (text,) = page.value(f"new Promise((r) => setTimeout(() => r({opened}), 100))")
        assert "bench run --methods spade" in text and '"k": 2' in text
        assert not page.complaints


def test_tables_are_copied_as_latex_csv_and_markdown(
    record: Record, results: Path, bench: Bench, tmp_path: Path
) -> None:
    record("bottle", 0.96)
    record("bottle", 0.9, settings={"k": 7})
    _, said = bench("report", "--results", results, "--no-pictures")
    with Browser(Path(said.strip()), tmp_path / "profile", 1280) as page:
        page.value(
            "var copied = []; Object.defineProperty(navigator, 'clipboard', "
            "{value: {writeText: async (t) => copied.push(t)}})"
        )
        page.value("document.querySelectorAll('details').forEach((d) => d.open = true)")
        for index in range(page.value("document.querySelectorAll('button.copy').length")):
            page.value(f"document.querySelectorAll('button.copy')[{index}].focus()")
            page.press("Enter")
        copied = page.value("copied")
        tex, comma, marked = copied[:3]
        assert r"\begin{tabular}{lrrrrrr}" in tex and r"image\_auroc" in tex
        assert r"\textbf{0.960}" in tex and "pixel\\_f1" not in tex  # what is shown
        assert comma.splitlines()[1].startswith("SPADE,1.00,0.960")
        assert marked.splitlines()[2].startswith("| SPADE | 1.00 | **0.960** |")
        assert any("95.5" in text for text in copied)  # a paper's table
        page.value("navigator.clipboard.writeText = async () => { throw new Error('no') }")
        page.value("document.querySelector('button.copy').focus()")
        page.press("Enter")
        assert page.value("getSelection().toString()").startswith("% needs")
