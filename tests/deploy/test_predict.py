"""bench predict: verdicts on files, one each, whatever happens in between."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import benchmark as ib
from benchmark.deploy.loaded import LoadedDetector
from benchmark.deploy.rows import Rows
from benchmark.errors import StoreError

from .conftest import Run

Bench = Callable[..., tuple[int, str]]


@pytest.fixture
def detector(run: Run) -> LoadedDetector:
    return ib.load_detector(run.kept("padim").path, device="cpu")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()]


def test_a_folder_gets_a_table_maps_pictures_and_a_sheet(
    detector: LoadedDetector, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = ib.predict(detector, photos, out)
    assert len(outcome.rows) == 21 and outcome.judged == 21
    assert [row["path"] for row in outcome.failed] == [str(photos / "05-broken.png")]
    with (out / "verdicts.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["path"] for row in table] == sorted(row["path"] for row in outcome.rows)
    first = outcome.rows[0]
    assert float(table[0]["score"]) == first["score"] and table[0]["decision"] == "defective"
    (verdict,) = detector.predict([first["path"]])
    assert verdict.score == pytest.approx(first["score"], rel=1e-5)
    assert verdict.map is not None
    written = np.asarray(Image.open(out / first["map"]))
    low, high = detector.kept.info["map_limits"]
    assert written.dtype == np.uint16 and written.shape == verdict.map.shape
    expected = np.clip((verdict.map - low) / (high - low), 0, 1)
    assert np.allclose(written / 65535, expected, atol=1e-3)
    picture = Image.open(out / first["picture"])
    assert picture.width > 2 * verdict.map.shape[1] and (out / "sheet.png").stat().st_size > 10_000


def test_killed_and_started_again_it_judges_each_image_once(
    detector: LoadedDetector, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    options: dict[str, Any] = {"maps": "none", "pictures": False, "batch_size": 4}
    expected = ib.predict(detector, photos, whole, **options).rows
    add, calls = Rows.add, []

    def killed(self: Rows, rows: Any) -> None:
        calls.append(len(rows))
        if len(calls) == 3:  # in the middle of a line
            with (self.folder / "verdicts.jsonl").open("a") as file:
                file.write('{"path": "half')
            raise KeyboardInterrupt
        add(self, rows)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Rows, "add", killed)
        ib.predict(detector, photos, out, **options)
    again = ib.predict(detector, photos, out, **options)
    assert again.judged == 21 - 8 + 1  # eight were done, of which the broken one is tried again
    paths = [row["path"] for row in lines(out)]
    assert len(paths) == len(set(paths)) == 21
    free = [{k: v for k, v in row.items() if k != "milliseconds"} for row in again.rows]
    assert free == [{k: v for k, v in row.items() if k != "milliseconds"} for row in expected]


def test_only_what_is_new_or_has_changed_is_judged(
    detector: LoadedDetector, photos: Path, tmp_path: Path
) -> None:
    (photos / "05-broken.png").unlink()
    out = photos / "verdicts"  # inside of the folder: its pictures are no photographs
    options: dict[str, Any] = {"pictures": False}
    assert ib.predict(detector, photos, out, **options).judged == 20
    assert ib.predict(detector, photos, out, **options).judged == 0
    os.utime(photos / "00.png", (1, 1))
    assert ib.predict(detector, photos, out, **options).judged == 1
    assert ib.predict(detector, photos, out, force=True, **options).judged == 20
    with pytest.raises(StoreError, match="maps"):
        ib.predict(detector, photos, out, maps="npy", **options)


def test_an_image_that_the_detector_fails_on_costs_only_itself(
    detector: LoadedDetector, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.errors import DetectorError

    answer = LoadedDetector.answer

    def picky(self: LoadedDetector, inputs: Any, keys: Any) -> Any:
        if bad & set(keys):
            raise DetectorError("scores hold NaN")
        return answer(self, inputs, keys)

    from benchmark.data.dataset import content_key
    from benchmark.data.images import FileSource

    bad = {content_key(FileSource(photos / "02.png"))}
    monkeypatch.setattr(LoadedDetector, "answer", picky)
    outcome = ib.predict(detector, photos, tmp_path / "out", pictures=False)
    assert sorted(Path(row["path"]).name for row in outcome.failed) == ["02.png", "05-broken.png"]


def test_bench_predict_says_what_it_found_and_how_the_threshold_was_set(
    bench: Bench, run: Run, photos: Path, tmp_path: Path
) -> None:
    record = run.kept("padim").record
    given = ("predict", photos, "--detector", record, "--out", tmp_path / "out", "--no-pictures")
    status, text = bench(*given, "--maps", "npy")
    assert status == 1 and "20 defective, 0 good, 1 failed" in text
    assert "set on 1 normal images" in text and "at most about 50 %" in text
    assert np.load(tmp_path / "out" / "maps" / "00.png.npy").shape == (40, 48)
    assert bench("predict", photos, "--out", tmp_path)[0] == 2
    checked = bench("predict", "--check", "--detector", record, "--data-root", run.data)
    assert checked[0] == 0 and checked[1].count("bit-equal") == 2
