"""Live tables: means, deviations, dashes, blocks, names."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

import benchmark
from benchmark.cli.parser import main
from benchmark.errors import StoreError
from benchmark.tables import make

from .conftest import Record


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def per_category(results: Path, **options: object) -> list[list[str]]:
    return read(make("per-category", form="csv", results=[results], **options))


def test_seeds_are_averaged_and_their_sample_deviation_is_shown(
    record: Record, results: Path
) -> None:
    for seed, value in enumerate((0.80, 0.90)):
        record("bottle", value, seed=seed)
        record("screw", value + 0.02, seed=seed)
    rows = {row[1]: row[2] for row in per_category(results)}
    assert rows["bottle"] == "0.850 ± 0.071"
    assert rows["Average over 2"] == "0.860 ± 0.071"


def test_a_category_with_fewer_seeds_is_said(record: Record, results: Path) -> None:
    for seed in range(2):
        record("bottle", 0.8, seed=seed)
    record("screw", 0.8)
    text = make("per-category", form="markdown", results=[results])
    assert "Mean ± standard deviation over 1 to 2 seeds." in text


def test_one_seed_has_no_deviation(record: Record, results: Path) -> None:
    record("bottle", 0.8)
    assert per_category(results)[1][-1] == "0.800"


def test_an_average_needs_all_categories_unless_told_otherwise(
    record: Record, results: Path
) -> None:
    for category in ("bottle", "screw"):
        record(category, 0.8)
    record("bottle", 0.6, settings={"k": 5})
    average = per_category(results)[-1]
    assert sorted(average[2:]) == ["0.800", "–"]
    average = per_category(results, common=True)[-1]
    assert average[1] == "Average over 2 [over the common ones only: bottle]"
    assert sorted(average[2:]) == ["0.600", "0.800"]


def test_an_undefined_metric_is_a_dash_and_takes_its_average_with_it(
    record: Record, results: Path
) -> None:
    record("bottle", None)
    record("screw", 0.8)
    assert [row[-1] for row in per_category(results)[1:]] == ["–", "0.800", "–"]


def test_textures_come_before_objects_with_averages_of_their_own(
    record: Record, results: Path
) -> None:
    for category, value in (("bottle", 0.5), ("wood", 0.9), ("carpet", 0.7), ("screw", 0.7)):
        record(category, value)
    assert [row[1:] for row in per_category(results)[1:]] == [
        ["carpet", "0.700"],
        ["wood", "0.900"],
        ["Average", "0.800"],
        ["bottle", "0.500"],
        ["screw", "0.700"],
        ["Average", "0.600"],
        ["Average over 4", "0.700"],
    ]


def test_best_is_bold_and_ties_as_printed_share_it(record: Record, results: Path) -> None:
    for k, value in ((1, 0.90001), (2, 0.90002), (3, 0.5)):
        record("bottle", value, settings={"k": k})
    text = make("per-category", results=[results])
    assert text.count("**0.900**") == 2
    assert "**0.500**" not in text


@pytest.mark.parametrize(
    "other",
    [
        {"protocol": "standard", "holdout": 0.1},
        {"geometry": {"crop": None}},
        {"geometry": {"eval_crop": 112}},
        {"dataset": "mine"},
    ],
    ids=["protocol", "geometry", "evaluation crop", "data set"],
)
def test_what_cannot_be_compared_stands_in_blocks_of_its_own(
    record: Record, results: Path, other: dict[str, object]
) -> None:
    record("bottle", 0.9)
    record("bottle", 0.8, settings={"k": 5}, **other)
    for name in ("per-category", "summary"):
        text = " ".join(make(name, results=[results]).split())
        assert text.count("| SPADE") + text.count("SPADE |") + text.count("(k=5) |") >= 2
        assert text.count("not ranked against each other") == 2
        assert "**0.900**" not in text


def test_different_images_under_one_name_are_refused(record: Record, results: Path) -> None:
    record("bottle", 0.9)
    record("bottle", 0.8, settings={"k": 5}, data="other images")
    with pytest.raises(StoreError, match=r"mvtec bottle: .*different images"):
        make("summary", results=[results])


def test_copies_in_two_folders_count_once_and_contradictions_are_refused(
    record: Record, results: Path, tmp_path: Path
) -> None:
    record("bottle", 0.9)
    record("bottle", 0.9, into=tmp_path / "copy")
    assert "One seed" in make("summary", results=[results, tmp_path / "copy"])
    record("bottle", 0.8, into=tmp_path / "copy")
    with pytest.raises(StoreError, match="two records of one cell"):
        make("summary", results=[results, tmp_path / "copy"])


@pytest.mark.parametrize("form", ["markdown", "latex", "csv", "html"])
@pytest.mark.parametrize("name", ["per-category", "summary", "spade-3"])
def test_random_weights_are_labelled_in_every_table(
    record: Record, results: Path, name: str, form: str
) -> None:
    record("bottle", 0.9, weights="random")
    assert "random weights" in make(name, form=form, results=[results])


def test_names_show_what_differs_from_the_defaults(record: Record, results: Path) -> None:
    record(settings={"backbone": "resnet18", "k": 5, "squared": True})
    record(settings={}, method="someones")
    record()
    frame = benchmark.load_results(results)
    assert sorted(frame["name"]) == ["SPADE", "SPADE (resnet18, k=5, squared)", "someones"]
    assert not frame["name"].str.contains("@").any()


def test_two_configurations_never_share_a_name(record: Record, results: Path) -> None:
    record(weights="one file")
    record(weights="another file")
    names = benchmark.load_results(results)["name"]
    assert sorted(names) == ["SPADE", "SPADE (configuration 2)"]


def test_failed_cells_are_in_the_frame_and_not_in_tables(record: Record, results: Path) -> None:
    record("bottle", 0.9)
    record("screw", 0.1, status="failed")
    assert list(benchmark.load_results(results)["status"]) == ["ok", "failed"]
    assert "screw" not in make("per-category", results=[results])


def test_errors_say_what_to_do(results: Path, record: Record, capsys: object) -> None:
    with pytest.raises(StoreError, match="no such folder; run something first"):
        make("summary", results=[results])
    record()
    with pytest.raises(StoreError, match="unknown protocol 'pape', did you mean 'paper'"):
        make("summary", results=[results], protocol="pape")
    assert main(["table", "sumary", "--results", str(results)]) == 2
    assert main(["table", "per-category", "--metric", "pixl_auroc", "--results", str(results)]) == 2


def test_importing_the_package_and_its_tables_is_cheap() -> None:
    code = (
        "import sys, benchmark, benchmark.tables;"
        "assert not {'torch', 'pandas', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
