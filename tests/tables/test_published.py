"""The numbers that ship with the package, and the layouts that show them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import pytest

from benchmark.metrics.names import METRICS
from benchmark.tables import TABLES, make, published
from benchmark.tables.layout import Layout

from .conftest import Record

LAYOUTS = [t for t in TABLES.values() if isinstance(t, Layout)]


def test_every_number_of_the_ten_tables_ships() -> None:
    counts = Counter((n.paper, n.table) for n in published.load())
    assert counts == {
        ("spade", "Table 3"): 128,
        ("spade", "Table 4"): 7,
        ("dsr", "Table 3"): 112,
        ("rd4ad", "Table 2"): 234,
        ("rd4ad", "Table 3"): 15,
        ("igd", "Table 1"): 48,
        ("igd", "Table 2"): 144,
        ("igd", "Table 3"): 96,
        ("igd", "Table 4"): 10,
        ("igd", "Table 5"): 5,
    }


@pytest.mark.parametrize("file", ["published.csv", "third_party.csv"])
def test_numbers_are_numbers_with_an_origin_and_a_known_metric(file: str) -> None:
    for n in published.load(file):
        assert 0 <= float(n.value) <= 100 or n.unit not in ("percent", "fraction"), n
        assert n.origin in ("own", "copied", "third_party"), n
        assert n.metric_variant in {*METRICS, "infer_seconds", "memory_mb", "unknown"}, n


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda t: t.name)
def test_a_layout_prints_every_number_of_its_table_once(layout: Layout) -> None:
    numbers = published.table(layout.paper, layout.table)
    shown = [
        (e.name, e.setting, s.published_as, s.category, m)
        for e in layout.methods
        for s in layout.slots
        for m in s.metrics
        if (e.name, e.setting, s.published_as, s.category, m) in numbers
    ]
    assert sorted(shown) == sorted(numbers)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda t: t.name)
def test_a_layout_computes_what_the_paper_computed(layout: Layout) -> None:
    numbers = published.table(layout.paper, layout.table)
    for e in layout.methods:
        for s in layout.slots:
            for m in s.metrics:
                n = numbers.get((e.name, e.setting, s.dataset, s.category, m))
                if n is not None:
                    assert n.metric_variant == e.variant(m), (e.head, s.head, m)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda t: t.name)
def test_a_published_view_needs_no_record_and_keeps_the_digits(layout: Layout) -> None:
    text = make(layout.name, view="published", form="csv")
    shown = Counter(
        part for row in csv.reader(io.StringIO(text)) for c in row for part in c.split("/")
    )
    printed = Counter(n.value for n in published.table(layout.paper, layout.table).values())
    assert not printed - shown


def test_a_difference_is_given_for_the_reference_alone(record: Record, results: Path) -> None:
    record("bottle", 0.96)
    rows = list(csv.reader(io.StringIO(make("spade-3", results=[results], form="csv"))))
    assert rows[0][-3:] == ["SPADE", "SPADE here", "SPADE Δ"]
    bottle = next(row for row in rows if row[0] == "Bottle")
    assert bottle[-3:] == ["95.5", "96.0", "+0.5"]
    assert rows[-1][-3:] == ["91.7", "–", "–"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"settings": {"backbone": "resnet18"}}, "resnet18 instead of wide_resnet50_2"),
        ({"settings": {"k": 5}}, "k=5 instead of k=50"),
        ({"weights": "random"}, "random weights"),
        ({"protocol": "standard", "holdout": 0.1}, "protocol standard; 10% of the training images"),
        ({"image_size": 128}, "128 px instead of the paper's size"),
        ({"dataset": "noisy", "source": "mvtec"}, "run under the name noisy"),
        ({"weights": "mine.pth"}, "weights from mine.pth, not known to be the published ones"),
        (
            {"assets": {"a": "00"}, "provenance": {"assets": {"a": {"images": {"count": 7}}}}},
            "a built here from 7 images",
        ),
        (
            {"provenance": {"images": {"found": {"train": 9}, "official": {"train": 209}}}},
            "bottle: 9 of officially 209 train images",
        ),
    ],
    ids=[
        "backbone",
        "setting",
        "random weights",
        "protocol",
        "size",
        "data",
        "other weights",
        "asset",
        "incomplete data",
    ],
)
def test_a_record_that_differs_has_a_footnote_and_no_difference(
    record: Record, results: Path, other: dict[str, object], words: str
) -> None:
    record("bottle", 0.96, **other)
    text = make("spade-3", results=[results])
    assert words in text
    assert "SPADE here [a]" in text
    assert "96.0" in text
    assert "SPADE Δ" not in text


def test_parts_known_to_be_the_published_ones_are_no_difference(
    record: Record, results: Path
) -> None:
    assets = {"a": {"settings": {"official": True}}}
    images = {"found": {"train": 209}, "official": {"train": 209}}
    provenance = {"published_weights": True, "assets": assets, "images": images}
    record("bottle", weights="known.pth", assets={"a": "00"}, provenance=provenance)
    assert "SPADE Δ" in make("spade-3", results=[results])


def test_an_asset_taught_by_random_weights_is_labelled(record: Record, results: Path) -> None:
    provenance = {"assets": {"a": {"backbones": {"resnet18": "random"}}}}
    record("bottle", assets={"a": "00"}, provenance=provenance)
    assert "random weights" in make("spade-3", results=[results])
    assert "random weights" in make("per-category", results=[results])


def test_with_common_both_sides_average_the_same_categories(record: Record, results: Path) -> None:
    record("bottle", 0.90)
    record("screw", 0.92)
    rows = list(
        csv.reader(io.StringIO(make("spade-3", results=[results], form="csv", common=True)))
    )
    # published: bottle 95.5, screw 96.0
    assert rows[-1][-3:] == ["95.8", "91.0", "−4.8"] or rows[-1][-3:] == ["95.7", "91.0", "−4.8"]
    assert "2 common categories only (bottle, screw)" in make(
        "spade-3", results=[results], common=True
    )


def test_candidates_are_never_picked_by_score(record: Record, results: Path) -> None:
    record("bottle", 0.96, settings={"k": 5})
    record("bottle", 0.97, settings={"k": 6})
    from benchmark.errors import StoreError

    with pytest.raises(StoreError, match=r"several configurations.*\n.*SPADE \(k=5\)"):
        make("spade-3", results=[results])
    assert "k=5 instead" in make("spade-3", results=[results], methods=["SPADE (k=5)"])
    record("bottle", 0.5)
    assert "50.0" in make("spade-3", results=[results])


@pytest.mark.parametrize("folder", ["empty", "missing", "failed"])
def test_without_a_record_the_published_view_is_printed(
    record: Record, tmp_path: Path, folder: str
) -> None:
    where = tmp_path / folder
    if folder != "missing":
        where.mkdir()
    if folder == "failed":
        record("bottle", 0.9, into=where, status="failed")
    text = " ".join(make("spade-3", results=[where]).split())
    assert "95.5" in text and "SPADE here" not in text
    assert f"Nothing has been run yet: {where} holds no finished record" in text
    assert "bench run --table spade-3 makes ours" in text


def test_a_new_table_is_one_file_and_the_core_knows_no_paper() -> None:
    import benchmark

    core = Path(benchmark.__file__).parent
    words = ("rd4ad", "spade-", "igd-", "dsr-3", "anomalib")
    named = [p for p in (core / "tables").glob("*.py") for w in words if f'"{w}' in p.read_text()]
    assert not named


def test_every_third_party_number_stands_in_a_table() -> None:
    shown = {n for t in LAYOUTS for n in published.table(t.paper, t.table).values()}
    assert shown == {*published.load(), *published.load("third_party.csv")}
