"""Records of earlier versions are read, named and kept apart from today's."""

from __future__ import annotations

from pathlib import Path

import benchmark as ib
from benchmark.records.store import read_all

OLD = Path(__file__).parent / "old"


def test_old_records_are_read_with_their_numbers() -> None:
    frame = ib.load_results(OLD)
    assert sorted(frame["method"]) == ["igd", "padim", "stfpm"]
    assert frame["image_auroc"].notna().all() and frame["pixel_auroc"].notna().all()
    kept = {r["key"]["method"]: r["metrics"]["image_auroc"] for r in read_all(OLD)}
    assert dict(zip(frame["method"], frame["image_auroc"], strict=True)) == kept


def test_without_defaults_of_their_day_all_their_settings_are_shown() -> None:
    frame = ib.load_results(OLD).set_index("method")
    settings = {r["key"]["method"]: r["settings"] for r in read_all(OLD)}
    for method, given in settings.items():
        name = str(frame.loc[method, "name"])
        shown = [k for k in given if k == "backbone" or given[k] is True or f"{k}=" in name]
        assert len(shown) >= len(given) - 1, (name, given)  # a title of its own may say one
    assert "encoder_steps=1600" in str(frame.loc["igd", "name"])  # a setting that is gone since


def test_they_get_no_verdict_and_the_reason_is_said() -> None:
    text = ib.compare(published=True, results=OLD)
    assert "the record does not keep the method's defaults" in text
    assert "within 1 point" not in text.lower().replace("within 1 point:", "")
