"""The streaming form: exactly what `pixel_metrics` gives, in bounded memory."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.metrics import MetricInputError, PixelMeter, pixel_metrics


def example(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    masks = rng.random((10, 24, 17)) < 0.06
    masks[::4] = False
    maps = np.round(rng.standard_normal(masks.shape) + masks, 2)
    return maps.astype(np.float32), masks


@pytest.mark.parametrize("memory_limit", [0, 2000, 1 << 30], ids=["disk", "both", "memory"])
@pytest.mark.parametrize("sizes", [[1] * 10, [10], [3, 1, 4, 2]], ids=["single", "all", "batches"])
def test_identical_to_pixel_metrics(
    counting: str, sizes: list[int], memory_limit: int, tmp_path: Path
) -> None:
    maps, masks = example()
    meter = PixelMeter(curves=True, memory_limit=memory_limit, spill_dir=tmp_path)
    begin = 0
    for size in sizes:
        part = slice(begin, begin + size) if size > 1 else begin
        meter.add(maps[part], masks[part])
        begin += size
    found, expected = meter.result(), pixel_metrics(maps, masks, curves=True)
    assert found.curves is not None and expected.curves is not None
    for one, other in zip(vars(found.curves).values(), vars(expected.curves).values(), strict=True):
        assert np.array_equal(one.x, other.x) and np.array_equal(one.y, other.y)
    assert replace(found, curves=None) == replace(expected, curves=None)
    for name, values in expected.of_images.items():
        assert np.array_equal(found.of_images[name], values, equal_nan=True), name


def test_results_on_the_way(counting: str) -> None:
    maps, masks = example(1)
    meter = PixelMeter(memory_limit=5000)
    assert meter.result().pixel_auroc is None
    for i in range(len(maps)):
        meter.add(maps[i], masks[i])
        assert meter.result() == pixel_metrics(maps[: i + 1], masks[: i + 1])


def test_maps_may_be_overwritten_after_add() -> None:
    maps, masks = example(2)
    expected = pixel_metrics(maps, masks)
    meter = PixelMeter()
    buffer = np.empty_like(maps[0])
    for i in range(len(maps)):
        buffer[:] = maps[i]
        meter.add(buffer, masks[i])
    assert meter.result() == expected


def test_types_and_sizes_may_differ_between_images(counting: str, tmp_path: Path) -> None:
    maps, masks = example(3)
    expected = pixel_metrics(maps.astype(np.float64), masks)
    for limit in (0, 1 << 30):
        meter = PixelMeter(memory_limit=limit, spill_dir=tmp_path)
        for i in range(len(maps)):
            meter.add(maps[i].astype(np.float64 if i % 2 else np.float32), masks[i])
        assert meter.result() == expected
    ragged = [(maps[0, :5], masks[0, :5]), (maps[1, :, :9], masks[1, :, :9])]
    meter = PixelMeter()
    for one, mask in ragged:
        meter.add(one, mask)
    assert meter.result() == pixel_metrics([m for m, _ in ragged], [k for _, k in ragged])


def test_torch_images() -> None:
    torch = pytest.importorskip("torch")
    maps, masks = example(4)
    meter = PixelMeter()
    meter.add(torch.from_numpy(maps[0]), torch.from_numpy(masks[0]))
    meter.add(torch.from_numpy(maps[1:]), torch.from_numpy(masks[1:]))
    assert meter.result() == pixel_metrics(maps, masks)


def test_a_refused_batch_leaves_the_meter_as_it_was() -> None:
    maps, masks = example(5)
    meter = PixelMeter()
    meter.add(maps[:4], masks[:4])
    before = meter.result()
    broken = maps[4:].copy()
    broken[3, 0, 0] = np.nan
    with pytest.raises(MetricInputError, match="image 7: 1 NaN"):
        meter.add(broken, masks[4:])
    with pytest.raises(MetricInputError, match="image good/3"):
        meter.add(maps[5], masks[5] * 7, ids="good/3")
    assert meter.result() == before


def test_scores_beyond_the_limit_go_to_disk_and_leave_no_file(tmp_path: Path) -> None:
    """A process killed while its scores lie on disk leaves nothing behind."""
    program = f"""
        import numpy as np, sys, time
        from benchmark.metrics import PixelMeter
        meter = PixelMeter(memory_limit=1 << 20, spill_dir={str(tmp_path)!r})
        for i in range(40):
            meter.add(np.random.rand(256, 256), np.random.rand(256, 256) < 0.01)
        assert meter._store._bytes <= 1 << 20
        print("spilled", flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"spilled\n"
    os.kill(process.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []
