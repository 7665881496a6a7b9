"""Claims of a category by one of several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmark import machine
from benchmark.records import claims
from benchmark.records.claims import ClaimLostError, Owner, claimed


def held_by(path: Path, owner: Owner, seconds_ago: float = 0) -> None:
    """The claim of another process, which gave its last sign some time ago."""
    path.write_text(json.dumps(asdict(owner)))
    then = path.stat().st_mtime - seconds_ago
    os.utime(path, (then, then))


def free(path: Path) -> bool:
    """Whether a claim can be had."""
    with claimed(path) as claim:
        return claim is not None


def ended() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_claim_is_had_once_and_again_when_it_was_given_up(tmp_path: Path) -> None:
    path = claims.place(tmp_path, "nut")
    with claimed(path) as first, claimed(path) as second:
        assert first is not None and second is None
        assert free(claims.place(tmp_path, "pin"))
        assert Owner.read(path) == first.owner
    assert free(path)
    assert not [*tmp_path.iterdir()]


def test_a_dead_process_of_this_machine_is_followed_at_once_and_a_living_one_never(
    tmp_path: Path,
) -> None:
    path = claims.place(tmp_path, "nut")
    held_by(path, Owner(), seconds_ago=10_000)
    assert not free(path)
    held_by(path, replace(Owner(), process=ended()))
    assert free(path)
    held_by(path, replace(Owner(), start="another"))  # its number is used again
    assert free(path)


def test_a_process_that_waits_to_be_noticed_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()  # ends when the process does; nobody has waited for it yet
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert machine.process_start(process.pid) is None
    process.wait()
    assert machine.process_start(os.getpid()) == machine.process_start(os.getpid()) != ""


@pytest.mark.parametrize("text", [None, "", "{"])
def test_another_machine_is_followed_after_two_minutes_of_silence(
    tmp_path: Path, text: str | None
) -> None:
    path = claims.place(tmp_path, "nut")
    for silent, taken in ((claims.SILENT_SECONDS - 20, False), (claims.SILENT_SECONDS + 20, True)):
        held_by(path, replace(Owner(), place="elsewhere"), silent)
        if text is not None:  # a claim that was not written to its end
            then = path.stat().st_mtime
            path.write_text(text)
            os.utime(path, (then, then))
        assert free(path) == taken
        assert not taken or not [*tmp_path.iterdir()]


def test_of_many_who_find_a_dead_claim_one_gets_it(tmp_path: Path) -> None:
    for turn in range(20):
        path = claims.place(tmp_path, str(turn))
        held_by(path, replace(Owner(), start="another"))
        # every other time, one who was at it has died as well
        if turn % 2:
            dead = Owner.read(path)
            assert dead is not None
            guard = path.with_name(f"{path.name}.{dead.token}")
            held_by(guard, replace(Owner(), start="another"))
        owners = [Owner() for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            got = [*pool.map(claims._acquire, [path] * 8, owners)]
        assert sum(got) == 1
        assert Owner.read(path) == owners[got.index(True)]


def test_a_claim_stays_fresh_and_its_loss_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "REFRESH_SECONDS", 0.01)
    path = claims.place(tmp_path, "nut")
    with claimed(path) as claim:
        assert claim is not None
        os.utime(path, (0, 0))
        for _ in range(500):
            if path.stat().st_mtime:
                break
            claim._ended.wait(0.01)
        assert path.stat().st_mtime > 0
        claim.check()
        held_by(path, Owner(place="elsewhere"))
        with pytest.raises(ClaimLostError, match="taken over"):
            claim.check()
    assert path.exists()  # it is the other's
