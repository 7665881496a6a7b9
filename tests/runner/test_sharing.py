"""A category that is taken over while it is worked on."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest

import benchmark as ib
from benchmark import Batch, Context, Detector, Images, Prediction
from benchmark.records import store
from benchmark.records.claims import Owner, place
from benchmark.runner import run


class Silent(Detector):
    """A detector in whose second fit the process is thought dead: another takes over its claim."""

    fits = 0
    claim = Path()

    def fit(self, train: Images, context: Context) -> Self:
        self.fitted_ = True
        Silent.fits += 1
        if Silent.fits == 2:
            other = replace(Owner(), place="elsewhere", host="another machine")
            Silent.claim.write_text(json.dumps(asdict(other)))
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        return Prediction(batch.pixels.flatten(1).std(1))


def test_a_process_that_was_thought_dead_writes_no_record_and_goes_on_when_it_can(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "runs"
    Silent.claim = place(results / "folder" / "standard", "nut")
    seen: list[str] = []

    def sleep(_: float) -> None:
        """Meanwhile the other ends."""
        seen.extend(path.name for path in results.rglob("nut-seed*.json"))
        Silent.claim.unlink()

    monkeypatch.setattr(run, "time", SimpleNamespace(sleep=sleep))
    found = ib.run(
        Silent, "folder", data_root=str(toy), results=str(results), seeds=[0, 1], categories=["nut"]
    )
    assert [c.outcome for c in found.cells] == ["ok", "ok"] and Silent.fits == 3
    assert seen == ["nut-seed0.json"]
    shown = capsys.readouterr().out
    assert "taken over by another process" in shown and "on another machine works" in shown
    for path in results.rglob("*-seed*.json"):
        record = json.loads(path.read_text())
        store.Scores.read(path.parent, record["files"]["scores"])
    assert len([*results.rglob("*.npz")]) == 2 and not Silent.claim.exists()
