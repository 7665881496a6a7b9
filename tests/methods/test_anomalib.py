"""Models of anomalib give their own raw scores, from the run's weights, and leave nothing behind."""

from __future__ import annotations

import builtins
import logging
import signal
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch

from benchmark import Context, Geometry
from benchmark.errors import MissingPackageError, SettingsError, WeightsError
from benchmark.methods.anomalib.construct import construct
from benchmark.plugins.registry import Registry
from tests.helpers import noise

T = TypeVar("T")
Anomalib: Any = Registry().method("anomalib")[0]


def test_a_missing_package_is_an_error_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "anomalib.models":
            raise ImportError("No module named 'anomalib'")
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackageError, match=r"pip install 'iad-bench\[anomalib\]'"):
        Anomalib(arguments=("n_features=7",)).needs()


def test_arguments_are_names_and_values() -> None:
    with pytest.raises(SettingsError, match="write NAME=VALUE"):
        Anomalib(arguments=("backbone",))


@pytest.fixture(scope="module")
def fitted() -> tuple[Any, Context]:
    """anomalib's PaDiM on noise, with random weights."""
    pytest.importorskip("anomalib", reason="the extra 'anomalib' is not installed")
    context = Context.alone(geometry=Geometry(resize=64))
    detector = Anomalib(arguments=("n_features=12",))
    return detector.fit(noise(6), context), context


def test_unknown_names_are_answered_with_the_nearest_one() -> None:
    pytest.importorskip("anomalib", reason="the extra 'anomalib' is not installed")
    with pytest.raises(SettingsError, match="did you mean 'Patchcore'"):
        Anomalib(model="Patchcor").needs()
    with pytest.raises(SettingsError, match="did you mean 'n_features'"):
        Anomalib(arguments=("n_feature=3",)).needs()


def test_a_model_that_leaves_its_length_to_the_trainer_needs_one() -> None:
    pytest.importorskip("anomalib", reason="the extra 'anomalib' is not installed")
    with pytest.raises(SettingsError, match="--set anomalib.epochs=100"):
        Anomalib(model="Fastflow").fit(noise(2), Context.alone(geometry=Geometry(resize=64)))


def test_scores_and_maps_are_those_of_the_model_before_its_post_processor(
    fitted: tuple[Any, Context],
) -> None:
    detector, context = fitted
    batch = noise(2, seed=1).batch([0, 1])
    out = detector.predict(batch, context)
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    raw = detector.model_.model((batch.pixels - mean) / std)
    torch.testing.assert_close(out.scores, raw.pred_score[:, 0])
    torch.testing.assert_close(out.maps, raw.anomaly_map[:, 0])
    assert out.scores.min() > 1  # distances, not clamped to [0, 1]


def test_its_backbone_is_the_one_of_the_run_and_no_part_of_what_it_learned(
    fitted: tuple[Any, Context],
) -> None:
    detector, context = fitted
    own = detector.model_.model.feature_extractor.feature_extractor.state_dict()
    lent = context.backbone("resnet18").tensors()
    assert all(torch.equal(tensor, lent[name]) for name, tensor in own.items())
    assert not any("feature_extractor" in name for name in detector.state().tensors)
    spec = detector.needs()[0]
    assert (spec.backbone, spec.layers, spec.read) == ("resnet18", (1, 2, 3), False)


def test_a_network_that_its_weights_do_not_fill_is_refused() -> None:
    pytest.importorskip("anomalib", reason="the extra 'anomalib' is not installed")
    whole = Context.alone(geometry=Geometry(resize=64)).backbone("resnet18").tensors()
    partly = {  # as after a training: none has the value that a new network has
        name: tensor + 0.5 if tensor.is_floating_point() else tensor
        for name, tensor in whole.items()
        if not name.startswith("bn1.")
    }
    with pytest.raises(WeightsError, match=r"4 tensors of resnet18 .*bn1.weight first"):
        construct("Padim", {"backbone": "resnet18"}, (64, 64), lambda _: partly)


class Looks:
    """Progress that notes who answers the end signal during the training."""

    def __init__(self) -> None:
        self.handlers: list[Any] = []

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        for item in items:
            self.handlers.append(signal.getsignal(signal.SIGTERM))
            yield item


def test_a_kill_ends_a_training_at_once(fitted: tuple[Any, Context]) -> None:
    looks = Looks()
    before = signal.getsignal(signal.SIGTERM)
    Anomalib(arguments=("n_features=3",)).fit(noise(2), replace(fitted[1], progress=looks))
    assert looks.handlers == [before]
    assert signal.getsignal(signal.SIGTERM) == before


def test_nothing_is_left_behind(
    fitted: tuple[Any, Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    _, context = fitted
    monkeypatch.chdir(tmp_path)
    drawn = torch.random.get_rng_state()
    Anomalib(model="Patchcore", arguments=("backbone=resnet18",)).fit(noise(4), context)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    assert torch.equal(drawn, torch.random.get_rng_state())
    assert logging.root.manager.disable == logging.NOTSET
