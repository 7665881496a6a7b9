"""The table and the picture of what falls by how much."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import StoreError
from benchmark.plots.stress import stress as draw
from benchmark.records.frame import load_results
from benchmark.records.select import choose
from benchmark.tables.stress import stress

Record = Callable[..., Path]


@pytest.fixture
def harder(record: Record, results: Path) -> Path:
    import json

    def write(value: float, seed: int, category: str, **way: Any) -> None:
        suffix = "".join(f"-{v}".replace(":", "") for v in way.values())
        label = {"shots": "-shots", "contaminate": "-contaminated", "corrupt": "-"}
        for key, v in way.items():
            suffix = label[key] + str(v).replace(":", "")
        path = record(category, value, seed=seed, label=f"paper{suffix}", protocol="paper")
        found = json.loads(path.read_text())
        found["key"]["protocol"] |= way
        path.write_text(json.dumps(found))

    for category in ("bottle", "screw"):
        for seed in (0, 1):
            up = 0.01 * seed
            write(0.9 + up, seed, category)
            for shots in (1, 4, 16):
                write(0.7 + 0.01 * shots + up, seed, category, shots=shots)
            write(0.8 + up, seed, category, contaminate=0.1)
            write(0.85, seed, category, corrupt="noise:1")
            write(0.6, seed, category, corrupt="noise:3")
    return results


def test_every_variant_stands_beside_what_it_lost(harder: Path) -> None:
    (grid,) = stress(choose(load_results(harder)))
    rows = {row.texts[0].text: [t.text for t in row.texts[1:]] for row in grid.rows}
    assert rows["clean"] == ["0.905 ± 0.007"]
    assert list(rows)[2:5] == ["16", "4", "1"]
    assert rows["4"] == ["0.745 ± 0.007 (−0.160)"]
    assert rows["10% of the test's"] == ["0.805 ± 0.007 (−0.100)"]
    assert rows["3"] == ["0.600 ± 0.000 (−0.305)"]
    assert "bottle, screw" in grid.notes[0] and "protocol paper," in grid.title


def test_it_is_drawn_with_a_panel_for_each_axis(harder: Path, tmp_path: Path) -> None:
    (path,) = draw(choose(load_results(harder)), tmp_path, form="png")
    assert path.parent.name == "paper" and path.stat().st_size > 10_000


def test_without_a_harder_variant_it_says_how_to_make_one(record: Record, results: Path) -> None:
    record("bottle")
    with pytest.raises(StoreError, match="--corrupt noise:1-5"):
        stress(choose(load_results(results)))
