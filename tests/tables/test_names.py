"""Names and verdicts come from what a record keeps of its method, not from today's source text."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

import benchmark
from benchmark import Geometry
from benchmark.plugins.registry import Registry
from benchmark.reports.runs import command
from benchmark.runner.plan import MethodPlan
from benchmark.settings import as_json, declared, resolve
from benchmark.tables import make

from .conftest import TOY, Record, keep_scores

Bench = Callable[..., tuple[int, str]]
GLOW = '''
"""Distance to the mean colour."""
import torch
from benchmark import Detector, Prediction

GAIN = 2.0
RANGE = (0.0, 1.0)


class Glow(Detector):
    title = "Glow"

    def __init__(self, *, gain: float = GAIN, span: tuple[float, float] = RANGE) -> None:
        self.gain, self.span = gain, span

    def fit(self, train, context):
        self.mean_ = torch.stack([b.pixels.mean((0, 2, 3)) for b in train]).mean(0)
        return self

    def predict(self, batch, context):
        self.check_fitted()
        far = (batch.pixels - self.mean_[:, None, None]).abs().mean(1) * self.gain
        return Prediction(far.amax((1, 2)), far)
'''
MINE = """
from benchmark.methods.padim import Padim

NARROW = 0.5


class Mine(Padim):
    presets = {"mine_wide": {"sigma": 9.0}}

    def __init__(self, *, sigma: float = NARROW) -> None:
        super().__init__(sigma=sigma)
"""


def described(name: str, *plugins: Path) -> dict[str, object]:
    cls, preset = Registry(plugins).method(name)
    settings = resolve(cls, preset, name)
    plan = MethodPlan(
        name, cls, settings, Geometry(), cls.version, asset_classes=cls(**settings).assets()
    )
    return plan.description()


@pytest.mark.parametrize("name", Registry().names("method"))
def test_what_a_record_keeps_names_every_setting_of_its_method(name: str) -> None:
    cls, preset = Registry().method(name)
    kept = described(name)
    assert kept["title"] and kept["citation"]
    defaults = kept["defaults"]
    assert isinstance(defaults, dict)
    assert {k for k in defaults if "." not in k} == declared(cls).keys()
    assets = [
        f"{a.name}.{k}" for a in cls(**resolve(cls, preset, name)).assets() for k in declared(a)
    ]
    assert {k for k in defaults if "." in k} == set(assets)
    assert as_json(preset).items() == {k: defaults[k] for k in preset}.items()


def test_a_plugins_named_constants_are_known_defaults(
    toy: Path, tmp_path: Path, bench: Bench
) -> None:
    plugin = tmp_path / "glow.py"
    plugin.write_text(GLOW)
    common = ("--dataset", "folder", "--data-root", toy, "--results", "runs", "--no-maps")
    for given in ((), ("--set", "glow.gain=3.0"), ("--set", "glow.span=[0.1, 1.0]")):
        status, said = bench("run", "--plugin", plugin, "--methods", "glow", *common, *given)
        assert status == 0, said
    plugin.unlink()  # a table needs neither it nor the option --plugin
    frame = benchmark.load_results("runs")
    assert set(frame["name"]) == {"Glow", "Glow (gain=3.0)", "Glow (span=0.1+1.0)"}
    commands = {command(rows) for _, rows in frame.groupby("config")}
    assert sorted(c.partition(" --set ")[2] for c in commands) == [
        "",
        "'glow.span=[0.1, 1.0]'",
        "glow.gain=3.0",
    ]
    assert "| Glow (gain=3.0) " in bench("table", "summary", "--results", "runs")[1]


def test_a_method_derived_in_a_plugin_has_its_own_name_and_defaults(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(MINE)
    padim = described("padim")
    kept = described("mine", plugin)
    assert kept == {**padim, "title": "mine", "defaults": {"sigma": 0.5}}
    wide = described("mine_wide", plugin)
    assert (wide["title"], wide["defaults"]) == ("mine_wide", {"sigma": 9.0})


def test_a_changed_setting_has_a_footnote_and_no_verdict(record: Record, results: Path) -> None:
    defaults = described("igd")["defaults"]
    assert isinstance(defaults, dict)
    changed = {**defaults, "kappa": 1.0}
    for category in ("bottle", "screw"):
        record(category, 0.9, method="igd", settings=changed, defaults=defaults)
    text = make("igd-3", results=[results])
    assert f"kappa=1.0 instead of kappa={defaults['kappa']}" in text
    assert "Ours Δ" not in text
    assert set(benchmark.load_results(results)["name"]) == {"igd (kappa=1.0)"}


def test_a_reference_is_the_records_own_defaults_whatever_they_are_today(
    record: Record, results: Path
) -> None:
    record("bottle", 0.96, settings={"k": 7}, defaults={"k": 7})
    rows = list(csv.reader(io.StringIO(make("spade-3", results=[results], form="csv"))))
    assert rows[0][-1] == "SPADE Δ" and rows[6][0] == "Bottle" and rows[6][-1] == "+0.5"


def test_an_older_record_shows_all_its_settings_and_gets_no_verdict(
    record: Record, results: Path, bench: Bench
) -> None:
    record("bottle", 0.955, described=False)
    (name,) = benchmark.load_results(results)["name"]
    assert name == (
        "spade (wide_resnet50_2, descriptor=pooled, k=50, layers=1+2+3, pyramid=mean, sigma=4.0, "
        "squared=False)"
    )
    said = bench("compare", "--published", "--results", results)[1]
    assert "[a] the record does not keep the method's defaults" in said


def test_configurations_whose_defaults_differ_do_not_share_a_name(
    record: Record, results: Path
) -> None:
    record(settings={"k": 7}, defaults={"k": 7})
    record(settings={"k": 8}, defaults={"k": 8})
    names = benchmark.load_results(results)["name"]
    assert sorted(names) == ["SPADE (k=7)", "SPADE (k=8)"]


def test_scores_are_checked_before_anything_is_printed(
    record: Record, toy: Path, results: Path, bench: Bench
) -> None:
    keep_scores(record("nut", **TOY), toy, range(8), maps=False)
    path = record("pin", **TOY)
    status, said = bench("scores", "--results", results, "--methods", "spad")
    assert status == 2 and "did you mean 'spade'" in said and "dataset,protocol" not in said
    status, said = bench("scores", "--results", results, "--seeds", "3")
    assert status == 2 and "unknown seed '3'" in said and "dataset,protocol" not in said
    status, said = bench("scores", "--results", results)
    assert status == 2 and f"{path}: cites no score file" in said and "dataset,p" not in said
    status, said = bench("scores", "--results", results, "--categories", "nut")
    assert status == 0 and len(said.splitlines()) == 9
    assert said.splitlines()[1].startswith("toy,paper,spade,nut,0,test/good/000.png,0,good,0.0,,")
