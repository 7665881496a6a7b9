"""The machine as a process may use it."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import machine
from benchmark.errors import BenchError, DataError, in_words


def group(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    """A system with these control groups."""
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V1 = "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n"
HALVES = {
    "version 2": ("0::/\n", {"sys/fs/cgroup/cpu.max": "50000 100000\n"}),
    "a group around it": (
        "0::/a/b\n",
        {
            "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
        },
    ),
    "version 1": (
        V1,
        {
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    ),
}


@pytest.mark.parametrize("name", HALVES)
def test_the_processor_limit_of_a_container_counts(name: str, tmp_path: Path) -> None:
    assert machine._processor_limit(group(tmp_path, *HALVES[name])) == 0.5


def test_without_a_limit_the_machine_counts(tmp_path: Path) -> None:
    free = {
        "sys/fs/cgroup/cpu.max": "max 100000\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory.max": "max\n",
    }
    root = group(tmp_path, "0::/\n1:cpu:/\n", free)
    assert machine._processor_limit(root) == os.cpu_count()
    assert machine._memory_limit(root) == machine._memory_limit(tmp_path / "none") > 1 << 60


@pytest.mark.parametrize(
    ("cgroup", "file"),
    [
        ("0::/\n", "sys/fs/cgroup/memory.max"),
        (V1, "sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ],
)
def test_the_memory_limit_of_a_container_counts(cgroup: str, file: str, tmp_path: Path) -> None:
    assert machine._memory_limit(group(tmp_path, cgroup, {file: "536870912\n"})) == 1 << 29


def test_cores_are_those_bound_to_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    for limit, wanted in ((0.25, 1), (2.5, 2), (64.0, 4)):
        monkeypatch.setattr(machine, "_processor_limit", lambda limit=limit: limit)
        assert machine.cores() == wanted
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert machine.cores() == 8
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert machine.cores() == 3


def caught(function: object, *arguments: object) -> BaseException:
    try:
        function(*arguments)  # type: ignore[operator]
    except Exception as error:
        return error
    raise AssertionError("no error")


def wrapped() -> DataError:
    error = DataError("x.png: truncated or damaged ()")
    error.__cause__ = MemoryError()
    return error


LACKING = {
    "numpy": lambda: caught(np.empty, 1 << 58, np.uint8),
    "torch on the processor": lambda: caught(torch.empty, 1 << 56),
    "torch on a GPU": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    "CUDA": lambda: RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"),
    "C++": lambda: RuntimeError("std::bad_alloc"),
    "cuBLAS": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"),
    "the system": lambda: OSError(errno.ENOMEM, "Cannot allocate memory"),
    "an image": wrapped,
}


@pytest.mark.parametrize("name", LACKING)
def test_every_lack_of_memory_is_said_with_the_remedy(name: str) -> None:
    found = in_words(LACKING[name]())
    assert isinstance(found, BenchError) and str(found).startswith("out of memory (")
    assert "--image-size" in str(found) and "\n" not in str(found)


@pytest.mark.parametrize(
    "error", [ValueError("out of memory"), RuntimeError("a shape"), OSError(2, "x")]
)
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert in_words(error) is error


def test_without_a_temporary_folder_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert "set TMPDIR" in str(in_words(caught(tempfile.TemporaryFile)))
