"""Categories handed out to workers: with Ray where it is installed, else with a stand-in for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import benchmark as ib
from benchmark.errors import SettingsError
from benchmark.runner import cluster
from benchmark.runner.config import RunConfig

PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "mean_colour.py"


class LostError(Exception):
    """What the stand-in says of a worker that is no more."""


class OneWorker:
    """Ray's calls with one worker, in this process.

    Args:
        lose: the category whose worker is lost after its first cell.
    """

    exceptions = SimpleNamespace(RayError=LostError)

    def __init__(self, lose: str = "") -> None:
        self.lose = lose
        self.options: dict[str, Any] = {}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 2.0}}]

    def remote(self, work: Callable[..., Iterator[Any]]) -> Any:
        def call(text: str, source: str, category: str, began: float, stress: Any) -> Iterator[Any]:
            for number, told in enumerate(work(text, source, category, began, stress)):
                yield LostError("gone") if number and category == self.lose else told

        def options(**given: Any) -> Any:
            self.options = given
            return SimpleNamespace(remote=call)

        return SimpleNamespace(options=options)

    def wait(self, tasks: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        return tasks[:num_returns], tasks[num_returns:]

    def get(self, told: Any) -> Any:
        if isinstance(told, Exception):
            raise told
        return told


def options(toy: Path, results: Path) -> dict[str, Any]:
    return {
        "methods": "mean_colour", "plugin": [str(PLUGIN)], "dataset": "folder", "data_root": str(toy),
        "seeds": [0, 1], "results": str(results),
    }  # fmt: skip


def stripped(results: Path) -> dict[str, Any]:
    """Records by path without costs, times and threads."""
    return {
        str(path.relative_to(results)): {
            k: v
            for k, v in json.loads(path.read_text()).items()
            if k not in ("cost", "environment")
        }
        for path in results.rglob("*-seed*.json")
    }


def test_workers_write_the_records_of_a_serial_run_and_a_lost_one_costs_its_category(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ray = OneWorker(lose="nut")

    @contextmanager
    def connected(_: str) -> Iterator[OneWorker]:
        cluster._plan.cache_clear()
        yield ray

    monkeypatch.setattr(cluster, "_connected", connected)
    serial = ib.run(**options(toy, tmp_path / "serial"))
    capsys.readouterr()
    lost = ib.run(**options(toy, tmp_path / "workers"), ray="local")
    shown = capsys.readouterr().out
    assert "[4/4] mean_colour pin seed 1: done, image AUROC" in shown
    assert "nut seed 1: FAILED: worker lost" in shown
    assert ray.options == {"num_cpus": 1, "num_gpus": 0.0, "max_retries": 0}
    assert [cell.outcome for cell in lost.cells] == ["ok", "failed", "ok", "ok"]
    assert "worker lost (LostError: gone); run the same again" in lost.text and not lost.ok

    ray.lose = ""
    again = ib.run(**options(toy, tmp_path / "workers"), ray="local")
    assert again.ok and stripped(tmp_path / "workers") == stripped(tmp_path / "serial")
    assert again.frame["image_auroc"].equals(serial.frame["image_auroc"])
    for table in (serial.text, again.text):  # what comes back is all that the summary shows
        assert table.splitlines()[3:7] == serial.text.splitlines()[3:7]


@pytest.mark.parametrize(
    ("given", "machines", "share"),
    [
        ({}, [{"CPU": 8}], (1, 0.0)),
        ({}, [{"CPU": 64, "GPU": 8}, {"CPU": 16, "GPU": 4}], (4, 1.0)),
        ({"gpus_per_worker": 0.5}, [{"CPU": 64, "GPU": 8}], (4, 0.5)),
        ({"device": "cpu"}, [{"CPU": 64, "GPU": 8}], (1, 0.0)),
        ({"cpus_per_worker": 3}, [{"CPU": 64, "GPU": 8}], (3, 1.0)),
    ],
)
def test_a_worker_gets_what_was_asked_for_or_a_gpu_with_its_cores(
    given: Mapping[str, Any], machines: list[Mapping[str, float]], share: tuple[int, float]
) -> None:
    config = RunConfig(**{"ray": "local", **given})
    assert cluster._share(config, machines) == share


def test_wishes_that_no_worker_can_fulfil_are_refused(toy: Path, tmp_path: Path) -> None:
    config = RunConfig(ray="local", cpus_per_worker=9)
    with pytest.raises(SettingsError, match="no machine has the 9 cores"):
        cluster._share(config, [{"CPU": 8.0}])
    for more, message in (
        ({"cpus_per_worker": 2}, "add --ray"),
        ({"ray": "local", "gpus_per_worker": -1.0}, "allowed are 1 core and more"),
    ):
        with pytest.raises(SettingsError, match=message):
            ib.run(**options(toy, tmp_path), **more)
    with pytest.raises(SettingsError, match="put the class into a file"):
        ib.run(type("Mine", (ib.Detector,), {}), "folder", data_root=str(toy), ray="local")


def test_ray_itself_hands_out_the_categories(toy: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (the extra ray)")
    found = ib.run(**options(toy, tmp_path / "workers"), ray="local", cpus_per_worker=1)
    assert found.ok, found.text
    ib.run(**options(toy, tmp_path / "serial"))
    assert stripped(tmp_path / "workers") == stripped(tmp_path / "serial")
    assert {c.cell.path.record.is_file() for c in found.cells} == {True}
    record = json.loads(found.cells[0].cell.path.record.read_text())
    assert record["environment"]["threads"] == 1
