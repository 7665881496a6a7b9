"""The training loop of the learned methods, on a model of four numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor

from benchmark import Context, Training, seeded, split_off
from benchmark.detector import training as _training
from benchmark.detector.context import Checkpoint
from benchmark.errors import DetectorError

from ..helpers import KilledAfter, save_after_every_step

T = TypeVar("T")
IMAGES, BATCH, EPOCHS = 10, 3, 3
X = torch.randn(IMAGES + 1, 4, generator=torch.Generator().manual_seed(0))


def context(folder: Path | None = None) -> Context:
    out = Context.alone()
    out.checkpoint = Checkpoint(folder / "checkpoint" if folder else None)
    return out


def new(place: Context, **settings: Any) -> Training:
    with seeded(place, "model"):
        model = torch.nn.Linear(4, 1)
    optimiser = torch.optim.Adam(model.parameters(), 0.1)
    given = {"images": IMAGES, "batch": BATCH, "epochs": EPOCHS, **settings}
    return Training(place, model, optimiser, title="model", remedy="pray", **given)


def weight(training: Training) -> Tensor:
    return next(training.module.parameters())


def train(training: Training) -> list[list[int]]:
    seen = []
    for indices in training:
        seen.append(indices)
        training.learn(training.module(X[indices]).square().mean())
        if training.epoch_ends:
            with torch.no_grad():  # best in the first epoch: later ones must not replace it
                training.offer(float(training.done))
    return seen


def test_an_epoch_shows_every_image_once_and_leaves_out_a_single_last_one() -> None:
    seen = train(new(context()))
    assert [len(part) for part in seen] == [3, 3, 3] * EPOCHS
    epochs = [[i for part in seen[e : e + 3] for i in part] for e in (0, 3, 6)]
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert epochs[0] != epochs[1]
    seen = train(new(context(), images=11))
    assert [len(part) for part in seen][:4] == [3, 3, 3, 2]
    assert [len(part) for part in train(new(context(), images=1, batch=1, epochs=2))] == [1, 1]


def test_steps_end_a_training_before_its_epochs_do() -> None:
    training = new(context(), epochs=100, steps=4)
    assert len(train(training)) == 4
    assert training.facts()["steps"] == 4
    assert training.facts()["epochs"] == pytest.approx(4 / 3)
    assert len(training.epoch_losses) == 2  # the second one was cut short


@pytest.mark.parametrize("killed", range(1, 9))
def test_goes_on_after_a_kill_as_if_nothing_had_happened(
    killed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = new(context())
    seen = train(whole)

    save_after_every_step(monkeypatch)
    first = context(tmp_path)
    first.progress = KilledAfter(killed)
    with pytest.raises(KeyboardInterrupt):
        train(new(first))
    second = context(tmp_path)
    resumed = new(second)
    assert resumed.done == killed
    assert train(resumed) == seen[killed:]
    for a, b in zip(whole.module.parameters(), resumed.module.parameters(), strict=True):
        assert torch.equal(a, b)
    assert resumed.facts() == whole.facts()
    assert second.meters.curves == whole.context.meters.curves
    resumed.take_best()
    whole.take_best()
    assert torch.equal(weight(whole), weight(resumed))


def test_a_checkpoint_of_another_version_is_set_aside(tmp_path: Path) -> None:
    place = context(tmp_path)
    place.checkpoint.save({"done": 5, "losses": [0.1, 0.2], "curves": {}})  # an older layout
    titles = []

    class Titles:
        def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
            titles.append(title)
            yield from items

    place.progress = Titles()
    training = new(place)
    assert train(training) == train(new(context()))
    assert titles == ["model, from the start (its checkpoint is of another version)"]


def test_the_best_weights_come_back() -> None:
    training = new(context())
    for indices in training:
        training.learn(training.module(X[indices]).square().mean())
        if training.epoch_ends:
            if training.epoch == 2:
                kept = weight(training).clone()
            training.offer(abs(training.epoch - 2) + 0.5)
    training.take_best()
    assert torch.equal(weight(training), kept)
    assert training.facts()["epoch_chosen"] == 2
    assert training.facts()["validation"] == 0.5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("step", [1, 5, 9])
def test_a_loss_that_is_not_finite_stops_with_step_epoch_and_remedy(bad: float, step: int) -> None:
    training = new(context())
    message = rf"at step {step} of 9 \(epoch {(step - 1) // 3 + 1} of 3\); pray"
    with pytest.raises(DetectorError, match=message):
        for indices in training:
            factor = bad if training.done == step - 1 else 1.0
            training.learn(training.module(X[indices]).square().mean() * factor)


def test_a_long_epoch_notices_within_fifty_steps() -> None:
    training = new(context(), images=10_000, batch=2)
    steps = 0
    with pytest.raises(DetectorError, match=r"at step 1 of"):
        for _ in training:
            steps += 1
            training.learn(training.module(X).sum() * float("nan"))
    assert steps == _training.LOOK_EVERY


def climb(training: Training) -> None:
    """Train with losses 0, 1, 2 and so on."""
    for _ in training:
        training.learn(training.module(X).square().mean() * 0 + training.done)


def test_a_curve_has_a_point_per_epoch_or_fifty_where_epochs_are_few() -> None:
    many = new(context(), epochs=60)
    climb(many)
    assert many.context.meters.curves["loss"][:2] == [(3, 1.0), (6, 4.0)]
    assert len(many.context.meters.curves["loss"]) == 60
    few = new(context(), images=300, epochs=1, steps=99)
    climb(few)
    curve = few.context.meters.curves["loss"]
    assert curve[:2] == [(2, 0.5), (4, 2.5)]
    assert curve[-1] == (99, 98.0)
    assert len(curve) == 50
    assert few.epoch_losses == [49.0]


@pytest.mark.parametrize("killed", [1, 5, 100, 103])
def test_a_kill_between_two_points_of_a_curve_changes_nothing(
    killed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"images": 300, "epochs": 2}
    whole = new(context(), **settings)
    climb(whole)
    save_after_every_step(monkeypatch)
    first, second = context(tmp_path), context(tmp_path)
    first.progress = KilledAfter(killed)
    with pytest.raises(KeyboardInterrupt):
        climb(new(first, **settings))
    monkeypatch.undo()
    resumed = new(second, **settings)
    climb(resumed)
    assert second.meters.curves == whole.context.meters.curves
    assert resumed.epoch_losses == whole.epoch_losses


def test_counts_epochs_that_end_worse_than_the_first() -> None:
    training = new(context())
    for _ in training:
        factor = (1.0, 3.0, 0.5)[training.epoch - 1]
        training.learn(training.module(X).square().mean() * 0 + factor)
    assert training.epoch_losses == [1.0, 3.0, 0.5]
    assert training.facts()["epoch_losses_above_first"] == 1


def test_seeded_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    with seeded(context(), "a"):
        a = torch.rand(3)
    assert torch.equal(torch.rand(3), wanted)
    with seeded(context(), "a"):
        assert torch.equal(torch.rand(3), a)
    with seeded(context(), "b"):
        assert not torch.equal(torch.rand(3), a)


@pytest.mark.parametrize(("count", "kept"), [(209, 42), (10, 2), (3, 1), (2, 1)])
def test_split_off_parts_the_images(count: int, kept: int) -> None:
    taught, held = split_off(context(), count, 0.2)
    assert len(held) == kept
    assert sorted(taught + held) == list(range(count))
    assert split_off(context(), count, 0.2) == (taught, held)


def test_a_single_image_is_taught_and_held() -> None:
    assert split_off(context(), 1, 0.2) == ([0], [0])
