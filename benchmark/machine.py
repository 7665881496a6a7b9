"""The machine as this process may use it: cores, memory, device; and what a record says of it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import __version__
from benchmark.errors import SettingsError

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "faiss-cpu", "pillow")


def choose_device(name: str) -> torch.device:
    """Find a device: ``auto`` takes CUDA when there is one; any other name is torch's own.

    Raises:
        SettingsError: no such device here.
    """
    import torch

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
    """Count the threads to use: ``OMP_NUM_THREADS`` where it is set, else the cores this process
    may use.

    These are the cores it is bound to, but no more than the processor time that a container's limit
    grants, rounded: half a second per second is one core, 2.5 are two.
    """
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if told.isdigit() and int(told) > 0:
        return int(told)
    try:
        bound = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # macOS has no such call
        bound = os.cpu_count() or 1
    return max(1, min(bound, round(_processor_limit())))


def memory() -> int:
    """Return the bytes of memory that this process may use: the machine's, or a container's
    limit."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        whole = 1 << 63
    return min(whole, _memory_limit())


def device_memory(device: torch.device) -> int:
    """Return the bytes of a GPU's own memory; 0 for a processor, whose memory is :func:`memory`."""
    if device.type != "cuda":
        return 0
    import torch

    return int(torch.cuda.get_device_properties(device).total_memory)


def wait(device: torch.device) -> None:
    """Wait until a GPU has done all that it was given; a processor has."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def requested_memory() -> int | None:
    """Return the bytes that this process has asked the system for, written to or not; None where
    the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text().splitlines()
        line = next(line for line in status if line.startswith("VmData"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024


@contextmanager
def at_most(further: int) -> Iterator[None]:
    """Let what runs inside ask for so many bytes more than the process has; beyond them it meets an
    error instead of taking the machine's memory. Without effect where the system has no such
    limit."""
    have = requested_memory()
    if have is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = have + further
    if soft != resource.RLIM_INFINITY:
        wanted = min(wanted, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def process_space() -> str:
    """Return what is the same for all processes that can see each other's numbers: the boot of the
    machine and the numbering within it, of which a container has its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # macOS
        return platform.node()


def process_start(number: int) -> str | None:
    """Return the start of a running process, which tells it from a later one with its number.

    Returns:
        The start, in the system's own words; empty where it is hidden from this user; None when
        there is no such process, or it has ended and only waits to be noticed.
    """
    try:
        # the name, in brackets, may hold anything; then the state, and the start as the 20th
        words = (
            Path(f"/proc/{number}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        )
        return None if words[0] in "ZX" else words[19]
    except OSError:
        pass
    try:
        os.kill(number, 0)  # sends nothing
    except ProcessLookupError:
        return None
    except OSError:
        return ""
    command = ["ps", "-o", "stat=,lstart=", "-p", str(number)]
    try:
        found = subprocess.run(command, capture_output=True, timeout=10, check=False).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return ""
    return None if found[:1] and found[0].startswith(b"Z") else b" ".join(found[1:]).decode()


def _processor_limit(root: Path = Path("/")) -> float:
    """Return the cores' worth of time that control groups grant; all cores when none sets a
    limit."""
    found = [float(os.cpu_count() or 1)]
    for folder in _control_groups("cpu", root):
        match _words(folder / "cpu.max"):  # version 2: quota and period in microseconds
            case [quota, period] if quota != "max":
                found.append(float(quota) / float(period))
        match _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us"):
            case [quota, period] if float(quota) > 0:  # version 1: -1 is no limit
                found.append(float(quota) / float(period))
    return min(found)


def _memory_limit(root: Path = Path("/")) -> int:
    """Return the bytes that control groups grant; more than any machine has when none sets a
    limit."""
    found = [1 << 63]
    for folder in _control_groups("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):  # version 2, version 1
            found += [int(word) for word in _words(folder / name) if word.isdigit()]
    return min(found)


def _control_groups(controller: str, root: Path) -> Iterator[Path]:
    """List the folders of the control groups that this process is in, and of those around them.

    Inside a container the path in ``/proc/self/cgroup`` may be that of the host, while the
    container's own group is mounted at the top: folders that are not there do no harm.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        tops = (controllers, controller) if controllers else ("", "unified")
        for top in dict.fromkeys(tops):
            place = root / "sys/fs/cgroup" / top
            yield place
            for part in Path(path).parts[1:]:
                place /= part
                yield place


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except (OSError, ValueError):
        return []


@lru_cache(maxsize=4)
def describe(device: torch.device) -> dict[str, Any]:
    """Collect the environment block of a record."""
    import torch

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
    """Return the accelerator's or processor's own name."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or device.type


def reset_peak_memory(device: torch.device) -> None:
    """Start counting the peak anew, where the system allows it."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def peak_memory(device: torch.device) -> dict[str, int | None]:
    """Return the bytes of the process's peak since the reset, and of the GPU's; None where not
    known."""
    out: dict[str, int | None] = {"peak_bytes": None, "peak_gpu_bytes": None}
    try:
        status = Path("/proc/self/status").read_text().splitlines()
        line = next(line for line in status if line.startswith("VmHWM"))
        out["peak_bytes"] = int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        pass
    if device.type == "cuda":
        import torch

        out["peak_gpu_bytes"] = torch.cuda.max_memory_allocated(device)
    return out


def _commit() -> str | None:
    """Return the checkout's commit, with ``+`` for uncommitted changes; None when installed."""
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
    done = subprocess.run(command, capture_output=True, timeout=10, check=True)
    return done.stdout.decode("utf-8", "replace").strip()
