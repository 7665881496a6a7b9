"""The report: one file, nothing loaded from elsewhere, escaped, and it works in a browser."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import benchmark
from benchmark.reports.runs import command

from .browser import Browser
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
    assert command(benchmark.load_results(results)) == (
        "bench run --methods spade --dataset mvtec --name noisy --categories 'metal nut' --seeds 3 "
        "--protocol paper --image-size 128 --holdout 0.1 --weights random "
        "--set spade.backbone=resnet18 'spade.layers=[1, 2]'"
    )


ROWS = "[...{}.tBodies[0].rows].filter((r) => !r.hidden).map((r) => r.texts[0].textContent)"
BOARD = """[...document.querySelectorAll("table.sortable")]
  .find((t) => t.caption && t.caption.textContent.startsWith("mvtec"))"""


def choose(browser: Browser, name: str, option: str) -> None:
    browser.value(
        f"one({name!r}).value = {option!r}; one({name!r}).dispatchEvent(new Event('change'))"
    )


@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_it_works_in_a_browser(report: Path, tmp_path: Path, width: int) -> None:
    with Browser(report, tmp_path / "profile", width) as page:
        rows = ROWS.format(BOARD)

        def scored() -> list[str]:
            return [name for name in page.value(rows) if name.startswith("SPADE")]

        page.value(f"{BOARD}.querySelectorAll('th button')[1].focus()")
        page.press("Enter")  # sorting, by keyboard
        assert scored() == ["SPADE (k=2)", "SPADE (k=3)", "SPADE (k=1)"]
        last = page.value(rows)[-1]
        page.press("Enter")
        assert scored() == ["SPADE (k=1)", "SPADE (k=3)", "SPADE (k=2)"]
        assert page.value(rows)[-1] == last  # without a value: last both ways

        choose(page, "method", "SPADE (k=2)")
        assert page.value(rows) == ["SPADE (k=2)"]
        choose(page, "method", "")
        choose(page, "dataset", "toy")
        shown = "[...document.querySelectorAll('section.block')].filter((b) => !b.hidden)"
        assert set(page.value(f"{shown}.map((b) => b.dataset.dataset)")) == {"toy"}
        choose(page, "dataset", "")
        choose(page, "metric", "pro")
        heads = f"[...{BOARD}.tHead.rows[0].texts].filter((c) => !c.hidden)"
        assert page.value(f"{heads}.map((c) => c.textContent)") == ["Method", "pro"]
        choose(page, "metric", "")

        assert page.value("document.documentElement.scrollWidth") <= width, "it scrolls sideways"
        page.picture(tmp_path / "report.png")
        assert (tmp_path / "report.png").stat().st_size > 20_000
        assert not page.requests and not page.complaints


def test_everything_is_reached_by_keyboard(report: Path, tmp_path: Path) -> None:
    with Browser(report, tmp_path / "profile", 1280) as page:
        parts = "a[href], select, summary, button, [tabindex='0']"
        seen = f"[...document.querySelectorAll({parts!r})].filter((e) => e.checkVisibility())"
        reached = set()
        for _ in range(page.value(f"{seen}.length")):
            page.press("Tab")
            reached.add(page.value(f"{seen}.indexOf(document.activeElement)"))
        assert reached == set(range(len(reached))) and len(reached) > 20
        page.value("one('method').focus()")
        page.press("ArrowDown")
        assert page.value("one('method').value")  # a method was chosen, and the rest hidden
        assert page.value("[...document.querySelectorAll('tr[data-method]')].some((r) => r.hidden)")
        assert not page.complaints


def test_tables_are_copied_as_latex(
    record: Record, results: Path, bench: Bench, tmp_path: Path
) -> None:
    record("bottle", 0.96)
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
        assert len(copied) >= 2  # the leaderboard, and a paper's table
        assert all(r"\begin{tabular}" in text for text in copied)
        assert "0.960" in copied[0] and any("95.5" in text for text in copied)
        page.value("navigator.clipboard.writeText = async () => { throw new Error('no') }")
        page.value("document.querySelector('button.copy').focus()")
        page.press("Enter")
        assert page.value("getSelection().toString()").startswith("% needs")
