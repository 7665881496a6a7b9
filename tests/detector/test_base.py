"""What the harness says of a detector's answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark import Batch, Prediction
from benchmark.detector.base import check_prediction
from benchmark.errors import DetectorError


def test_check_prediction_names_the_image() -> None:
    batch = Batch(torch.zeros(2, 3, 4, 4), ("first", "second"))
    fine = Prediction(torch.zeros(2), torch.zeros(2, 4, 4))
    assert check_prediction(fine, batch, "m") is fine
    maps = torch.zeros(2, 4, 4)
    maps[1, 0, 0] = float("inf")
    with pytest.raises(DetectorError, match="m: maps hold 1 NaN or infinite values.*second"):
        check_prediction(Prediction(torch.zeros(2), maps), batch, "m")
    parts = {"half": torch.tensor([0.0, float("nan")])}
    with pytest.raises(DetectorError, match=r"m: parts\['half'\] hold 1 NaN.*second"):
        check_prediction(Prediction(torch.zeros(2), None, parts), batch, "m")
    parts = {"half": torch.zeros(3)}
    with pytest.raises(DetectorError, match=r"m: parts\['half'\] have shape \(3,\)"):
        check_prediction(Prediction(torch.zeros(2), None, parts), batch, "m")
    with pytest.raises(DetectorError, match="wanted \\(2,\\)"):
        check_prediction(Prediction(torch.zeros(3)), batch, "m")
    for wrong in (np.zeros(2), [0.0, 0.0], torch.zeros(2, dtype=torch.complex64)):
        with pytest.raises(DetectorError, match="m: scores are .*; return tensors of real numbers"):
            check_prediction(Prediction(wrong), batch, "m")  # type: ignore[arg-type]
    with pytest.raises(DetectorError, match="m: maps are ndarray"):
        check_prediction(Prediction(torch.zeros(2), np.zeros((2, 4, 4))), batch, "m")  # type: ignore[arg-type]
