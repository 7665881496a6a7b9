"""``bench new method NAME``: a small method that works, with its test, to start from."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from benchmark.errors import SettingsError

METHOD = '''"""{title}: say in one line what it is and cite the paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch

from benchmark import Batch, Context, Detector, FeatureSpec, Images, Prediction, smooth, upsample


class {cls}(Detector):
    """{title}: distance of every position's frozen feature to its mean over normal images.

    Args:
        backbone: frozen network.
        layer: resolution or module that is read.
        sigma: of the Gaussian smoothing of maps, in input pixels.
    """

    title = "{title}"
    smoke = {{"backbone": "resnet18"}}

    def __init__(
        self, *, backbone: str = "resnet18", layer: int | str = 2, sigma: float = 4.0
    ) -> None:
        self.backbone = backbone
        self.layer = layer
        self.sigma = sigma

    def needs(self) -> Sequence[FeatureSpec]:
        return [FeatureSpec(self.backbone, (self.layer,))]

    def fit(self, train: Images, context: Context) -> Self:
        steps = context.progress.track(train, "mean", -(-len(train) // 16))
        total = sum(self._read(batch, context).sum(0) for batch in steps)
        self.mean_ = torch.as_tensor(total / len(train))
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        features = self._read(batch, context)
        maps = (features - self.mean_.to(features.device)).square().sum(1).sqrt()
        maps = smooth(upsample(maps, batch.size), self.sigma)
        return Prediction(maps.flatten(1).amax(1), maps)

    def _read(self, batch: Batch, context: Context) -> torch.Tensor:
        return context.features(batch, self.needs()[0])[0]
'''

TEST = '''"""The contract of {name}; run it with pytest, or `bench check {name}.py`."""

from pathlib import Path

import pytest

from benchmark.plugins.contract import DetectorChecks, run_checks
from benchmark.plugins.registry import Registry


@pytest.mark.parametrize("outcome", run_checks(DetectorChecks(
    Registry([Path(__file__).with_name("{name}.py")]).method("{name}")[0]
)), ids=lambda outcome: outcome.promise)
def test_contract(outcome):
    assert outcome.found is None, outcome.found
'''


def new_method(name: str, into: str | Path = ".") -> list[Path]:
    """Write a method to start from, ``NAME.py``, and its test, ``test_NAME.py``.

    Args:
        name: lower case with underscores.
        into: the folder.

    Returns:
        The two files.

    Raises:
        SettingsError: no name for a method, or a file of that name exists.
    """
    folder = Path(into)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise SettingsError(
            f"method name {name!r}: use lower-case letters, digits and underscores, beginning with "
            "a letter, for instance my_method"
        )
    title = " ".join(part.capitalize() for part in name.split("_"))
    cls = title.replace(" ", "")
    files = {
        folder / f"{name}.py": METHOD.format(name=name, title=title, cls=cls),
        folder / f"test_{name}.py": TEST.format(name=name),
    }
    for path in files:
        if path.exists():
            raise SettingsError(f"{path} exists; choose another name or --into another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return list(files)
