"""Variants of a run with fewer, dirty or corrupted images, from the command to evaluated records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import benchmark as ib
from benchmark.records import store

OPTIONS: dict[str, Any] = {
    "categories": ["fabric"],
    "weights": "random",
    "image_size": 64,
    "set": {"padim": {"backbone": "resnet18", "channels": 8, "layers": [1]}},
}


@pytest.fixture(scope="module")
def stressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stressed")
    out = ib.run(
        ["padim"],
        "synthetic",
        shots=[2, 4],
        contaminate=[0.2],
        corrupt=["noise:1-2", "shift:5"],
        results=str(folder),
        **OPTIONS,
    )
    assert [cell.outcome for cell in out.cells] == ["ok"] * 7
    return folder


def records(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        Path(r["path"]).parts[-3].removeprefix("standard-64px"): r for r in store.read_all(folder)
    }


def test_each_variant_has_records_of_its_own_and_counts_its_images(stressed: Path) -> None:
    found = records(stressed)
    variants = {"-shots2", "-shots4", "-contaminated0.2", "-noise1", "-noise2", "-shift5"}
    assert set(found) == {"", *variants}
    clean = found[""]["provenance"]["images"]["found"]
    dirty = found["-contaminated0.2"]["provenance"]["images"]["found"]
    moved = clean["defective"] - dirty["defective"]
    assert moved == round(0.2 * clean["defective"]) and dirty["train"] == clean["train"] + moved
    assert found["-shots2"]["metrics"]["image_auroc"] != found[""]["metrics"]["image_auroc"]


def test_corrupted_images_are_judged_by_the_detector_that_the_clean_cell_kept(
    stressed: Path,
) -> None:
    found = records(stressed)
    kept = found[""]["files"]["detector"]
    folder = Path(found[""]["path"]).parent
    clean = store.Scores.read(folder, found[""]["files"]["scores"])
    for name in ("-noise1", "-noise2", "-shift5"):
        record = found[name]
        assert record["facts"]["fitted_in"]["sha256"] == kept["sha256"]
        assert record["cost"]["fit_seconds"] == found[""]["cost"]["fit_seconds"]
        scores = store.Scores.read(Path(record["path"]).parent, record["files"]["scores"])
        assert (scores.held_out == clean.held_out).all()  # the threshold is the clean one's
        assert (scores.scores != clean.scores).any() and scores.ids == clean.ids


def test_the_same_command_does_nothing_again_and_all_is_measured_as_before(stressed: Path) -> None:
    out = ib.run(
        ["padim"], "synthetic", shots=[4], corrupt=["shift:5"], results=str(stressed), **OPTIONS
    )
    assert [cell.outcome for cell in out.cells] == ["kept"] * 3
    before = ib.load_results(stressed)
    assert ib.evaluate(stressed).failed == 0
    after = ib.load_results(stressed)
    assert len(after) == 7 and before["pixel_auroc"].notna().all()
    assert before["pixel_auroc"].equals(after["pixel_auroc"])


def test_a_clean_cell_without_its_detector_costs_the_corrupted_one_with_a_word(
    stressed: Path, tmp_path: Path
) -> None:
    ib.run(["padim"], "synthetic", results=str(tmp_path), **OPTIONS)
    plain = next(iter(store.read_all(tmp_path)))
    assert not plain["files"].get("detector")
    out = ib.run(["padim"], "synthetic", corrupt=["blur:1"], results=str(tmp_path), **OPTIONS)
    assert [cell.outcome for cell in out.cells] == ["ok", "ok"]  # it was fitted again, and kept
    assert json.dumps(out.cells[1].record["facts"])  # type: ignore[index]


def test_progress_counts_the_cells_of_all_variants(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(categories: list[str], shots: list[int]) -> list[str]:
        capsys.readouterr()
        more = {**OPTIONS, "categories": categories, "results": str(tmp_path)}
        ib.run(["padim"], "synthetic", shots=shots, **more)
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]

    run(["fabric"], [])
    first, *others, last = run(["fabric", "plank"], [2, 3])
    assert (
        first == "[1/6] padim fabric seed 0: already done"
    )  # of the others' time it tells nothing
    assert [line[:6] for line in (*others, last)] == [f"[{i}/6] " for i in range(2, 7)]
    assert all(line.endswith(" left)") for line in others) and not last.endswith(" left)")
