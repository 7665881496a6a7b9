"""Seconds of fit and predict: the method's own and its backbones', whoever paid for them."""

from __future__ import annotations

import time
from typing import Any, Self

import pytest

from benchmark import Batch, Context, Detector, FeatureSpec, Images, Prediction
from benchmark.data.loading import Decoded
from benchmark.features.backbones import Backbone
from benchmark.runner.cost import Clock

from ..helpers import noise

OWN, PASS = 0.05, 0.4
"""Seconds of the detector's own work in a call, and of a backbone's pass over a batch."""


class Slow(Detector):
    """A detector that reads features and takes its time."""

    title = "Slow"

    def needs(self) -> list[FeatureSpec]:
        return [FeatureSpec("resnet18", (1,))]

    def fit(self, train: Images, context: Context) -> Self:
        for batch in train:
            context.features(batch, self.needs()[0])
        time.sleep(OWN)
        self.fitted_ = True
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        scores = context.features(batch, self.needs()[0])[0].flatten(1).mean(1)
        time.sleep(OWN)
        return Prediction(scores)


@pytest.mark.parametrize("paid_before", [False, True])
def test_backbone_seconds_count_once_whoever_paid(
    paid_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Backbone.__call__

    def slow(self: Backbone, *given: Any, **more: Any) -> Any:
        time.sleep(PASS)
        return original(self, *given, **more)

    context, detector = Context.alone(), Slow()
    features, images = context._features, Decoded(noise(4, seed=1), noise(2, seed=2))
    spec = detector.needs()[0]
    layers = features.backbone("resnet18").resolve(spec.layers)
    monkeypatch.setattr(Backbone, "__call__", slow)
    if paid_before:  # by another cell of the run
        for part in (images.train, images.test):
            features.extract(part.batches(2), context.geometry, "resnet18", layers)
    clock = Clock(features, context)
    with clock.fitting():
        detector.fit(images.train, context)
    with clock.predicting():
        detector.predict(images.test.batch([0, 1]), context)
    shared = features.counts.seconds
    found = clock.finished(detector, images, range(4))
    assert found["backbone_seconds"] == pytest.approx(shared)
    assert found["backbone_images"] == (0 if paid_before else 6)
    assert found["fit_seconds"] + found["predict_seconds"] == pytest.approx(
        shared + clock.own["fit"] + clock.own["predict"]
    )
    for own in clock.own.values():  # the sleep, and no backbone pass
        assert OWN <= own < OWN + PASS / 2
    assert found["backbone_seconds"] > 2 * PASS
    assert min(found["fit_seconds"], found["predict_seconds"]) > PASS
