"""The package from Python: runs, objects in place of names, metrics of arrays, tables, reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch

import benchmark as ib
from benchmark import Batch, Category, Context, Dataset, Detector, Images, Prediction
from benchmark.datasets.folder import FolderData
from benchmark.errors import SettingsError
from benchmark.metrics import MetricInputError, pixel_metrics

PLUGIN = Path(__file__).parents[1] / "docs" / "examples" / "mean_colour.py"


class Brightness(Detector):
    """Distance of an image's brightness to the mean of normal ones."""

    title = "Brightness"
    draws = False

    def __init__(self, *, power: float = 1.0) -> None:
        self.power = power

    def fit(self, train: Images, context: Context) -> Self:
        self.mean_ = torch.stack([b.pixels.mean() for b in train]).mean()
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        return Prediction((batch.pixels.mean((1, 2, 3)) - self.mean_).abs() ** self.power)


class Toy(Dataset):
    """The toy folder as a data set of one's own."""

    title = "Toy"

    def categories(self) -> list[str]:
        return ["nut", "pin"]

    def category(self, name: str) -> Category:
        category: Category = FolderData(self.root).category(name)
        return category


@pytest.fixture
def toy_run(tmp_path: Path, toy: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    return {"dataset": "folder", "data_root": str(toy), "results": str(tmp_path / "runs")}


def test_a_run_by_names_gives_a_frame(toy_run: dict[str, Any]) -> None:
    results = ib.run("mean_colour", plugin=[str(PLUGIN)], **toy_run)
    assert results.ok and list(results.frame["category"]) == ["nut", "pin"]
    assert (results.frame["image_auroc"] == 1).all() and "image_auroc" in str(results)
    again = ib.run(["mean_colour"], plugin=[str(PLUGIN)], **toy_run)
    assert [cell.outcome for cell in again.cells] == ["kept", "kept"]


def test_detectors_and_data_sets_may_be_objects(toy_run: dict[str, Any], toy: Path) -> None:
    toy_run.pop("dataset")
    detectors = [Brightness(), Brightness(power=2.0)]
    results = ib.run(detectors, Toy(toy), categories=["nut"], **toy_run)
    assert results.ok, results.text
    frame = results.frame
    assert list(frame["method"]) == ["brightness"] * 2 and set(frame["dataset"]) == {"toy"}
    assert sorted(frame["name"]) == ["Brightness", "Brightness (power=2.0)"]
    assert frame["image_auroc"].nunique() == 1  # a power keeps the order
    kept = ib.run(detectors, Toy(toy), categories=["nut"], **toy_run)
    assert [cell.outcome for cell in kept.cells] == ["kept", "kept"]


def test_a_class_counts_as_another_when_its_source_changes(
    toy_run: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"categories": ["nut"], **toy_run}
    assert ib.run(Brightness, **given).cells[0].outcome == "ok"
    monkeypatch.setattr("inspect.getsource", lambda cls: "class Brightness: another")
    assert ib.run(Brightness, **given).cells[0].outcome == "ok"
    assert ib.run(Brightness, **given).cells[0].outcome == "kept"


def test_a_class_without_source_is_run_anew_and_that_is_said(
    toy_run: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(*given: object) -> list[str]:
        return []

    monkeypatch.setattr("linecache.getlines", nothing)
    for _ in range(2):
        assert ib.run(Brightness, categories=["nut"], **toy_run).cells[0].outcome == "ok"
    assert "its source is not to be had" in capsys.readouterr().out


def test_another_class_of_a_known_name_is_refused(toy_run: dict[str, Any]) -> None:
    class Padim(Brightness):
        pass

    with pytest.raises(SettingsError, match="rename the class"):
        ib.run(Padim, **toy_run)


def test_several_data_sets_in_one_run(toy_run: dict[str, Any], toy: Path) -> None:
    toy_run.pop("dataset")
    results = ib.run(Brightness, ["folder", Toy(toy)], categories=["pin"], **toy_run)
    assert results.ok and list(results.frame["dataset"]) == ["folder", "toy"]


class Mislabelled(Toy):
    """A toy whose first category has a label that is none, or a defect among what is trained on."""

    def __init__(self, root: Path | None = None, *, train: bool = False) -> None:
        super().__init__(root)
        self.train = train

    def category(self, name: str) -> Category:
        found = super().category(name)
        if name == "pin":
            return found
        bad = next(s for s in found.test if s.label)
        if self.train:
            return replace(found, train=[*found.train, bad])
        return replace(found, test=[*found.test, replace(bad, id="x", label=2)])


@pytest.mark.parametrize(
    ("train", "said"), [(False, "'x' has label 2; allowed are 0"), (True, "is defective and in tr")]
)
def test_a_category_with_a_wrong_label_costs_itself(
    toy_run: dict[str, Any], toy: Path, train: bool, said: str
) -> None:
    toy_run.pop("dataset")
    results = ib.run(Brightness, Mislabelled(toy, train=train), **toy_run)
    assert list(results.frame["status"]) == ["failed", "ok"]
    (record,) = Path(toy_run["results"]).rglob("nut-seed0.json")
    assert said in record.read_text()


def test_metrics_of_arrays() -> None:
    rng = np.random.default_rng(0)
    maps, masks = rng.random((4, 8, 8)), rng.random((4, 8, 8)) > 0.7
    masks[:2] = False
    found = ib.measure([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], maps, masks)
    assert found["image_auroc"] == 1.0
    assert found["pixel_auroc"] == pixel_metrics(maps, masks).pixel_auroc
    assert "pixel_auroc" not in ib.measure([0.1, 0.2], [0, 1])
    with pytest.raises(SettingsError, match="go together"):
        ib.measure([0.1, 0.2], [0, 1], maps)
    with pytest.raises(SettingsError, match="4 maps and 4 masks of 2 images"):
        ib.measure([0.1, 0.2], [0, 1], maps, masks)
    for labels in ([-1, 1], [1, 2], [0.2, 0.8], ["good", "bad"]):
        with pytest.raises(MetricInputError, match=r"labels hold .* only 0 \(normal\) and 1"):
            ib.measure([0.1, 0.2], labels)
    with pytest.raises(SettingsError, match="methods: 5 is neither a name"):
        ib.run([5], "synthetic")  # type: ignore[list-item]
    with pytest.raises(SettingsError, match="dataset: 5 is neither a name"):
        ib.run("padim", 5)  # type: ignore[arg-type]


def test_one_name_is_a_list_of_one_and_unknown_options_are_named(
    toy_run: dict[str, Any], tmp_path: Path
) -> None:
    ib.run("mean_colour", plugin=[str(PLUGIN)], **toy_run)
    text = ib.table("per-category", results=toy_run["results"], metric="image_auroc")
    assert "nut" in text and ib.merge(toy_run["results"], tmp_path / "all").copied == 2
    with pytest.raises(SettingsError, match="unknown option of a table 'metrics'.*metric"):
        ib.table("summary", results=toy_run["results"], metrics=["pro"])


def test_every_view_takes_the_results_of_a_run(toy_run: dict[str, Any], toy: Path) -> None:
    given = {"plugin": [str(PLUGIN)], **toy_run}
    assert ib.dry_run(["mean_colour"], **given)
    results = ib.run(["mean_colour", Brightness], **given)
    assert "Brightness" in ib.table("summary", results=results)
    compared = ib.compare("mean_colour", "brightness", results=results, data_root=toy)
    assert "A − B" in compared and "nut" in compared
    page = ib.report(results=results, data_root=toy)
    assert page == results.folder / "report.html" and "Mean colour" in page.read_text("utf-8")
    evaluated = ib.evaluate(results, data_root=toy)
    assert (evaluated.measured, evaluated.changed, evaluated.failed) == (4, 0, 0)
    assert len(ib.load_results(results)) == 4
    (picture,) = ib.plot("histograms", results=results, methods=["brightness"])
    assert picture.is_relative_to(results.folder / "pictures") and picture.is_file()
    assert ib.check_table("summary", results=results, data_root=toy).ok
    scores = ib.scores(results, methods=["mean_colour"], categories=["nut"])
    assert len(scores) == 8 and scores["label"].sum() == 4
    assert ((scores["score"] > scores["threshold"]) == (scores["decision"] == 1)).all()
    with pytest.raises(SettingsError, match="name two runs"):
        ib.compare("mean_colour")
    with pytest.raises(SettingsError, match="did you mean 'gallery'"):
        ib.plot("galery", results=results)


def test_methods_and_data_sets_are_checked_as_objects_and_by_name(toy: Path) -> None:
    said: list[str] = []
    assert ib.verify(Toy(toy), say=said.append).ok and said[0].startswith("Toy\n")
    assert ib.verify("folder", data_root=toy, say=said.append).ok and str(toy) in said[-1]
    kept = [outcome.found is None for outcome in ib.check(Brightness)]
    assert len(kept) > 10 and all(kept)
    assert "mean_colour" in ib.available("methods", plugin=[PLUGIN])
    with pytest.raises(SettingsError, match="did you mean 'metrics'"):
        ib.available("metric")  # type: ignore[arg-type]


def test_public_names_are_there_and_only_the_command_line_sees_its_parser() -> None:
    package = Path(ib.__file__).parent
    assert all(getattr(ib, name) for name in ib._HOME)
    files = [f for f in package.rglob("*.py") if f.parent.name != "cli"]
    assert len(files) > 50 and not [f for f in files if "argparse" in f.read_text("utf-8")]
