"""Settings read from signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from benchmark import settings
from benchmark.errors import SettingsError


class Sample:
    def __init__(
        self, *, k: int = 5, rate: float = 0.1, kind: Literal["a", "b"] = "a",
        layers: tuple[int | str, ...] = (1,), limit: int | None = None, deep: bool = False,
    ) -> None:  # fmt: skip
        pass


@pytest.mark.parametrize(
    ("name", "given", "got"),
    [
        ("k", 7, 7), ("rate", 1, 1.0), ("kind", "b", "b"), ("layers", [1, "x"], (1, "x")),
        ("limit", None, None), ("limit", 3, 3), ("deep", True, True),
    ],
)  # fmt: skip
def test_settings_take_the_annotated_type(name: str, given: Any, got: Any) -> None:
    value = settings.resolve(Sample, {name: given}, "sample")[name]
    assert value == got and type(value) is type(got)


@pytest.mark.parametrize(
    ("name", "given"),
    [("k", "7"), ("k", 1.5), ("k", True), ("rate", "x"), ("kind", "c"), ("layers", 3),
     ("deep", 1), ("limit", "3"), ("layers", [1.5])],
)  # fmt: skip
def test_settings_refuse_other_types(name: str, given: Any) -> None:
    with pytest.raises(SettingsError, match=f"sample.{name}.*allowed is"):
        settings.resolve(Sample, {name: given}, "sample")


class Listed:
    def __init__(self, *, layers: list[int] = [1]) -> None:  # noqa: B006
        pass


class Placed:
    def __init__(self, *, folder: Path = Path()) -> None:
        pass


@pytest.mark.parametrize("cls", [Listed, Placed])
def test_settings_that_no_record_can_hold_are_refused(cls: type) -> None:
    """A list is one object for all cells, and is another after a record."""
    with pytest.raises(
        SettingsError, match="no record can hold unchanged; allowed are int, .*tuple"
    ):
        settings.resolve(cls, {}, "sample")
