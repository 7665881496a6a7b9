"""Tables that people can read: short names, what is shared said once, a legend, 120 columns."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

import benchmark as ib
from benchmark.metrics.names import SHOWN
from benchmark.records.names import short_names
from benchmark.tables.pipes import WIDTH, wrapped

from .conftest import Record

SHARED = {"encoder_batch": 16, "encoder_rate": 0.0005, "encoder_steps": 1600}


@pytest.fixture
def twelve(record: Record, results: Path) -> Path:
    """Twelve configurations of three methods, each of them with long settings, and two seeds."""
    for i in range(12):
        settings = {
            **SHARED,
            "a_setting_with_a_long_name": f"variant_{i}",
            "another_one": [i, i + 1, i + 2],
        }
        for category in ("bottle", "screw"):
            for seed in (0, 1):
                method = ("igd", "dsr", "uninformed_students")[i % 3]
                value = 0.5 + i / 50 + seed / 100
                record(category, value, method=method, settings=settings, seed=seed)
    return results


@pytest.mark.parametrize("name", ["summary", "per-category"])
def test_twelve_methods_with_long_settings_fit_120_columns(twelve: Path, name: str) -> None:
    text = ib.table(name, results=twelve)
    assert max(map(len, text.splitlines())) <= WIDTH == 120
    labels = {f"{m} #{i}" for m in ("igd", "dsr", "uninformed_students") for i in range(1, 5)}
    cells = [cell.strip() for line in text.splitlines() for cell in line.split("|")]
    assert labels <= set(cells)  # every one once, as a row or as a column
    assert all(cells.count(label) == 1 for label in labels)
    (shared,) = [line for line in text.splitlines() if line.startswith("All:")]
    assert shared == "All: encoder_batch=16, encoder_rate=0.0005, encoder_steps=1600."
    assert text.count("encoder_rate") == 1 and text.index("All:") < text.index("|")
    for i in range(12):
        assert len(
            re.findall(rf"^- \w+ #\d: a_setting_with_a_long_name=variant_{i},", text, re.MULTILINE)
        )
    assert text.count("**") == 2 * (1 + (5 if name == "summary" else 3))  # title and best ones


def test_csv_has_whole_names_and_latex_short_ones_with_the_legend(twelve: Path) -> None:
    rows = list(csv.reader(io.StringIO(ib.table(results=twelve, form="csv"))))
    assert len({row[0] for row in rows[1:]}) == 12
    assert all("encoder_rate=0.0005" in row[0] for row in rows[1:])
    for form in ("latex", "html"):
        text = ib.table(results=twelve, form=form)
        assert text.count("encoder") == 3 and "#4" in text
        assert len(re.findall(r"variant\\?_11", text)) == 1


def test_names_carry_only_what_differs(record: Record, results: Path) -> None:
    shared = {"backbone": "resnet18"}
    for k in (1, 2):
        record(settings={**shared, "k": k})
    record(method="padim", settings=shared)
    labels = short_names(ib.load_results(results))
    assert sorted(labels.of.values()) == ["SPADE (k=1)", "SPADE (k=2)", "padim"]
    assert labels.shared == ["All: resnet18."] and not labels.legend


def test_what_one_method_shares_is_said_of_that_one(record: Record, results: Path) -> None:
    for k in (1, 2):
        record(settings={"backbone": "resnet18", "k": k})
    record(method="padim", settings={"backbone": "resnet50"})
    labels = short_names(ib.load_results(results))
    assert sorted(labels.of.values()) == ["SPADE (k=1)", "SPADE (k=2)", "padim (resnet50)"]
    (said,) = labels.shared
    assert re.fullmatch(r"SPADE \(k=\d\), SPADE \(k=\d\): resnet18\.", said)


def test_a_single_short_name_is_left_alone_and_a_long_one_is_not(
    record: Record, results: Path
) -> None:
    record(settings={"k": 1})
    frame = ib.load_results(results)
    assert list(short_names(frame).of.values()) == ["SPADE (k=1)"]
    labels = short_names(frame, longest=8)
    assert list(labels.of.values()) == ["SPADE"] and labels.shared == ["SPADE: k=1."]


def test_a_number_is_given_only_where_a_title_would_be_ambiguous(
    record: Record, results: Path
) -> None:
    long = {"a_setting_with_a_long_name": "value"}
    record()
    record(settings=long)
    record(method="padim", settings={"k": 1, **long, "another": "a_longer_value"})
    labels = short_names(ib.load_results(results))
    assert set(labels.of.values()) == {"SPADE", "SPADE #1", "padim"}
    text = "a_setting_with_a_long_name=value"
    assert labels.legend["SPADE #1"] == text
    assert labels.legend["padim"] == f"{text}, another=a_longer_value, k=1"


def test_the_five_metrics_come_first_everywhere(record: Record, results: Path) -> None:
    five = ["image_auroc", "image_accuracy", "pixel_auroc", "pro", "pixel_ap"]
    record()
    heads = next(csv.reader(io.StringIO(ib.table(results=results, form="csv"))))
    assert list(SHOWN) == five == heads[1:] == list(ib.available("metrics"))[:5]
    asked = ib.table(results=results, form="csv", metric=["image_ap"])
    assert asked.startswith("Method,image_ap\n")


def test_a_metric_without_a_value_says_why(record: Record, results: Path) -> None:
    record(metrics={"image_accuracy": None}, undefined={"image_accuracy": "nothing is held out"})
    assert "No image_accuracy: nothing is held out." in ib.table(results=results)


def test_columns_of_one_method_stay_together_when_a_table_is_split(
    record: Record, results: Path
) -> None:
    record("bottle", 0.96)
    text = ib.table("rd4ad-2", results=results)
    (head,) = [line for line in text.splitlines() if "SPADE here" in line]
    assert head.index("SPADE \\[") < head.index("SPADE here") < head.index("SPADE Δ")
    assert max(map(len, text.splitlines())) <= WIDTH


def test_wrapped_prose_never_begins_a_list() -> None:
    text = "word " * 23 + "it is seed 1. Best - and + or # so it goes on"
    lines = wrapped(text).splitlines()
    assert len(lines) == 2 and not re.match(r"\d+\.|[-+#]", lines[1])
    assert " ".join(lines).split() == text.split()
