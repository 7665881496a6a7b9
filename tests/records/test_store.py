"""Score files, maps and records on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.errors import StoreError
from benchmark.records import store
from benchmark.texts import path_component


def cell(results: Path, category: str = "nut") -> store.CellPath:
    path = store.CellPath(results, "toy", "standard", "m", "0" * 8, category, 0)
    path.folder.mkdir(parents=True, exist_ok=True)
    return path


def scores() -> store.Scores:
    values = np.array([0.1, 0.9])
    return store.Scores(["a", "b"], ["k1", "k2"], np.array([0, 1]), ["good", "x"], values,
                        np.array([0.2]), ["k3"])  # fmt: skip


def test_scores_and_maps_come_back_as_they_were(tmp_path: Path) -> None:
    path = cell(tmp_path)
    cited = scores().write(path)
    back = store.Scores.read(path.folder, cited)
    assert back.ids == ["a", "b"] and back.held_out_keys == ["k3"]
    np.testing.assert_array_equal(back.scores, [0.1, 0.9])
    maps = np.random.default_rng(0).random((5, 4, 3)).astype(np.float32)
    writer = store.MapWriter(path, maps.shape)
    writer.add(maps[:2])
    writer.add(maps[2:])
    file = writer.finish()
    np.testing.assert_array_equal(store.read_maps(path.folder, file), maps)
    assert scores().write(path) == cited  # the same content has the same digest
    path.sweep(keep=[cited["name"]])
    assert [p.name for p in path.folder.iterdir()] == [cited["name"]]


def test_parts_come_back_by_name_and_files_without_any_stay_as_they_were(tmp_path: Path) -> None:
    path = cell(tmp_path)
    plain = scores()
    parts = {"near": np.array([0.3, 0.1]), "far": np.array([0.5, 0.7])}
    held_out = {"near": np.array([0.2]), "far": np.array([0.4])}
    cited = replace(plain, parts=parts, held_out_parts=held_out).write(path)
    back = store.Scores.read(path.folder, cited)
    for found, wanted in ((back.parts, parts), (back.held_out_parts, held_out)):
        assert list(found) == ["near", "far"]
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values)
    without = plain.write(path)
    assert store.Scores.read(path.folder, without).parts == {}
    with np.load(path.folder / without["name"], allow_pickle=False) as file:
        assert not any("part" in name for name in file.files)


def test_changed_scores_are_noticed(tmp_path: Path) -> None:
    path = cell(tmp_path)
    cited = scores().write(path)
    file = path.folder / cited["name"]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match="differs from what its record cites"):
        store.Scores.read(path.folder, cited)


def test_sweeping_leaves_other_cells_alone(tmp_path: Path) -> None:
    one, ten = cell(tmp_path), store.CellPath(tmp_path, "toy", "standard", "m", "0" * 8, "nut", 0)
    other = store.CellPath(tmp_path, "toy", "standard", "m", "0" * 8, "nut-seed0", 0)
    cited = scores().write(other)
    one.sweep()
    ten.sweep()
    assert (other.folder / cited["name"]).exists()


KEY = dict.fromkeys(store._KEY)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"format": 99}', '{"format": 1, "status": "ok", "key": {}}'),
        json.dumps({"format": 1, "status": "ok", "key": KEY}),  # no metrics
        json.dumps({"format": 1, "status": "failed", "key": {**KEY} | {"x": 1}})[:-20],
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a-seed0.json").write_text(text)
    with pytest.raises(StoreError, match="a-seed0.json"):
        store.read(tmp_path / "a-seed0.json")


@pytest.mark.parametrize("name", ["..", ".", "", " ", "..."])
def test_names_that_are_no_folders_are_refused(name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a folder"):
        path_component(name, "category")


@pytest.mark.parametrize("name", ["a/b", "<script>", "a\\b", ".hidden", "Größe 1", "a%b", "nut"])
def test_other_names_stay_inside_and_apart(name: str) -> None:
    safe = path_component(name, "category")
    assert "/" not in safe and "\\" not in safe and not safe.startswith(".")
    from urllib.parse import unquote

    assert unquote(safe) == name
