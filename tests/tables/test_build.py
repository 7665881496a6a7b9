"""What a paper's table does with records: verdicts it withholds, candidates, marks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import benchmark
from benchmark.plugins.registry import Registry
from benchmark.published._mvtec import ALL
from benchmark.tables import TABLES, make
from benchmark.tables.build import build
from benchmark.tables.layout import Layout
from benchmark.tables.match import needed

from .conftest import Record


def layout(name: str) -> Layout:
    found = TABLES[name]
    assert isinstance(found, Layout)
    return found


def heads(results: Path, table: Layout, common: bool = False) -> list[str]:
    grid = build(table, benchmark.load_results(results), common=common)
    return [c.text for c in grid.head[-1]] + [row.texts[0].text for row in grid.rows]


def test_another_variant_of_the_metric_gets_no_difference(record: Record, results: Path) -> None:
    record("bottle", 0.96)
    table = layout("spade-3")
    assert "SPADE Δ" in heads(results, table)
    other = replace(table.methods[-1], variants={"pro": "pro_per_image"})
    assert "SPADE Δ" not in heads(results, replace(table, methods=(other,)))


def test_times_on_other_hardware_get_no_difference(record: Record, results: Path) -> None:
    for category in ALL:
        record(category, 0.9)
    grid = build(layout("rd4ad-3"), benchmark.load_results(results))
    rows = {row.texts[0].text: [c.text for c in row.texts[1:]] for row in grid.rows}
    assert rows["SPADE (WResNet50) here"] == ["0.50", "2", "90.0/90.0/90.0"]
    assert rows["SPADE (WResNet50) Δ"] == ["–", "−1398", "+4.5/−6.5/−1.7"]


def test_a_table_with_an_unpublished_rule_has_no_difference_and_an_oracle_column(
    record: Record, results: Path
) -> None:
    record(
        "bottle",
        method="igd",
        holdout=0.1,
        label="paper-holdout0.1",
        metrics={"image_balanced_accuracy": 0.8, "image_balanced_accuracy_oracle": 0.95},
    )
    grid = build(layout("igd-2"), benchmark.load_results(results))
    names = [c.text for c in grid.head[-1]]
    assert names[-3:] == ["Ours", "Ours here", "Ours, oracle here"]
    assert [c.text for c in grid.rows[0].texts[-3:]] == ["0.96", "0.80", "0.95"]
    assert "upper bound" in grid.head[-1][-1].notes[0]
    assert any("rule unpublished" in note for note in grid.notes)


@pytest.mark.parametrize(("crop", "bold"), [(224, True), (None, False)])
def test_own_numbers_are_ranked_on_the_same_pixels_only(
    record: Record, results: Path, crop: int | None, bold: bool
) -> None:
    record("bottle", 0.96)
    record("bottle", 0.90, method="padim", geometry={"crop": crop})
    grid = build(layout("rd4ad-2"), benchmark.load_results(results))
    at = [c.text for c in grid.head[-1]].index("SPADE here")
    bottle = next(row for row in grid.rows if row.texts[0].text == "Bottle")
    assert [p.best for p in bottle.texts[at].parts] == [bold, bold]
    assert bold or any("not ranked" in note for note in grid.notes)


def test_the_reference_protocol_is_nearer_than_another(record: Record, results: Path) -> None:
    record("bottle", 0.71, settings={"k": 5})
    record("bottle", 0.99, settings={"k": 5}, protocol="standard", holdout=0.1)
    text = make("spade-3", results=[results])
    assert "71.0" in text and "99.0" not in text and "k=5 instead of k=50" in text


def test_image_sizes_have_columns_of_their_own(record: Record, results: Path) -> None:
    record("bottle", 0.9, method="rd4ad")
    record("bottle", 0.8, method="rd4ad", image_size=128, label="paper-128px")
    grid = build(layout("rd4ad-2"), benchmark.load_results(results))
    names = [c.text for c in grid.head[-1]]
    first, second = (i for i, n in enumerate(names) if n == "Ours here")
    bottle = next(row for row in grid.rows if row.texts[0].text == "Bottle")
    assert [bottle.texts[i].text for i in (first, second)] == ["80.0/80.0", "90.0/90.0"]
    assert sum(c.span for c in grid.head[0]) == grid.width


def test_what_a_table_needs_can_be_run() -> None:
    assert needed(layout("rd4ad-2"), {"rd4ad", "spade"}, seeds=(0, 1)) == [
        {
            "methods": ("rd4ad",),
            "dataset": "mvtec",
            "protocol": "paper",
            "image_size": 128,
            "seeds": (0, 1),
        },
        {"methods": ("spade", "rd4ad"), "dataset": "mvtec", "protocol": "paper", "seeds": (0, 1)},
    ]
    (run,) = needed(layout("igd-2"), {"igd"})
    assert run["holdout"] == 0.1
    from benchmark.runner.config import RunConfig

    assert RunConfig.build(run).holdout == 0.1


def test_every_row_of_the_ablation_can_be_run() -> None:
    methods = ["igd", "igd_msssim", "igd_kd", "igd_kd_dsvdd", "igd_kd_gsvdd"]
    (run,) = needed(layout("igd-5"), Registry().names("method"))
    assert sorted(run["methods"]) == sorted(methods)
    assert run["dataset"] == "cifar10"


def test_published_marks_follow_each_papers_rule() -> None:
    text = make("igd-1", view="published")
    for bold in ("**0.9820**", "**0.9860**", "**0.9912**", "**0.9280**", "**0.9332**"):
        assert bold in text
    last = make("rd4ad-3", view="published").split("Ours (WResNet50)")[1].splitlines()[0]
    assert last.count("**") == 2 * 5
    rows = make("rd4ad-2", view="published").splitlines()
    transistor = " ".join(row for row in rows if "Transistor" in row)
    assert "**97.5**/84.5" in transistor and "–/**92.6**" in transistor
    assert "97.6" in transistor and "**97.6**" not in transistor  # at 128, does not compete
