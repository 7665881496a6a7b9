"""Held-out images, geometries and labels of the protocols."""

from __future__ import annotations

from benchmark import Dataset, Geometry
from benchmark.plugins.registry import Registry
from benchmark.runner.protocol import Protocol, split


def test_held_out_images_depend_on_the_ids_alone() -> None:
    ids = [f"{i:03}" for i in range(50)]
    train, held = split(ids, 0.1, "mvtec", "bottle")
    assert len(held) == 5 and sorted([*train, *held]) == list(range(50))
    _, held_again = split(ids[::-1], 0.1, "mvtec", "bottle")
    assert {ids[i] for i in held} == {ids[::-1][i] for i in held_again}
    assert split(ids, 0.1, "mvtec", "screw")[1] != held
    assert split(ids, 0.0, "mvtec", "bottle") == (list(range(50)), [])
    assert split(["only"], 0.5, "a", "b") == ([0], [])


def test_protocols_have_their_geometry_and_label() -> None:
    paper = Geometry(resize=256, crop=224)
    dataset: type[Dataset] = Registry().dataset("mvtec")
    assert Protocol("paper").geometry(dataset, paper) == paper
    assert Protocol("paper", image_size=64).geometry(dataset, paper) == paper.scaled(64)
    assert Protocol().geometry(dataset, paper) == Geometry(resize=(256, 256))
    assert Protocol(image_size=64).geometry(dataset, paper) == Geometry(resize=(64, 64))
    assert Protocol().fraction(dataset) == 0.1 and Protocol("paper").fraction(dataset) == 0.0
    labels = {Protocol(n, h, s).label for n in ("standard", "paper") for h in (None, 0.1, 0.2)
              for s in (None, 128)}  # fmt: skip
    assert len(labels) == 12
