"""Where a record was made: versions, device, threads, commit; and memory as the system counts it."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmark import __version__
from benchmark.errors import SettingsError

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "faiss-cpu", "pillow")


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA when there is one; any other name is torch's own.

    Raises:
        SettingsError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        have = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        raise SettingsError(
            f"device {name!r} cannot be used here; there are: {', '.join(have)} (or auto)"
        ) from error
    return device


def cores() -> int:
    """Threads to use: ``OMP_NUM_THREADS`` where it is set, else the cores this process may use."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() and int(told) > 0 else len(os.sched_getaffinity(0))


@lru_cache(maxsize=4)
def describe(device: torch.device) -> dict[str, Any]:
    """The environment block of a record."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "not installed"
    return {
        "bench": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "packages": packages,
    }


def device_name(device: torch.device) -> str:
    """The accelerator's or processor's own name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or device.type


def reset_peak_memory(device: torch.device) -> None:
    """Start counting the peak anew, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def peak_memory(device: torch.device) -> dict[str, int | None]:
    """Bytes of the process's peak since the reset, and of the GPU's; None where not known."""
    out: dict[str, int | None] = {"peak_bytes": None, "peak_gpu_bytes": None}
    try:
        status = Path("/proc/self/status").read_text().splitlines()
        line = next(line for line in status if line.startswith("VmHWM"))
        out["peak_bytes"] = int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        pass
    if device.type == "cuda":
        out["peak_gpu_bytes"] = torch.cuda.max_memory_allocated(device)
    return out


def _commit() -> str | None:
    """The checkout's commit, with ``+`` when it has uncommitted changes; None when installed."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
        return _git(root, "rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
