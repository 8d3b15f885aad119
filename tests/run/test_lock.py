"""One process at a time, also where the file system knows no flock."""

import errno
import fcntl
import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import RunDirectoryError
from autointerp.run.lock import UNSUPPORTED, claimed

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _no_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    code = request.node.callspec.params.get("code", errno.ENOLCK) if hasattr(request.node, "callspec") else errno.ENOLCK

    def flock(file: Any, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)


def claim(path: Path, seconds: float, log: Any) -> None:
    """Hold a directory for some time; say how it went."""
    try:
        with claimed(path):
            log.put(("begin", os.getpid(), time.monotonic()))
            time.sleep(seconds)
            log.put(("end", os.getpid(), time.monotonic()))
    except RunDirectoryError as error:
        log.put(("refused", os.getpid(), str(error)))


@pytest.mark.parametrize("code", sorted(UNSUPPORTED))
def test_a_second_process_is_refused_until_the_first_ends(code: int, tmp_path: Path) -> None:
    log = FORK.Queue()
    with claimed(tmp_path / "run"):
        other = FORK.Process(target=claim, args=(tmp_path / "run", 0, log))
        other.start()
        what, _, said = log.get(timeout=20)
        other.join()
        assert what == "refused"
        assert f"host and process {socket.gethostname()} {os.getpid()}" in said
        assert "\n" not in said
    with claimed(tmp_path / "run"):
        pass
    assert [file.name for file in (tmp_path / "run").iterdir()] == [".lock"]


@pytest.mark.parametrize("code", [errno.EIO])
def test_a_disk_error_is_no_lock(code: int, tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="cannot be locked: Input/output error"), claimed(tmp_path / "run"):
        pass


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    log = FORK.Queue()
    holder = FORK.Process(target=claim, args=(tmp_path / "run", 60, log))
    holder.start()
    log.get(timeout=20)
    assert holder.pid
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with claimed(tmp_path / "run"):
        pass


@pytest.mark.parametrize("holder", ["another-host 1", "", "garbage", f"{socket.gethostname()} 99999999999999999999"])
def test_a_holder_that_may_still_run_keeps_its_lock(holder: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock.owner").write_text(holder)
    with (
        pytest.raises(RunDirectoryError, match=r"remove .*lock\.owner if that process has ended"),
        claimed(tmp_path / "run"),
    ):
        pass
    assert (tmp_path / "run" / ".lock.owner").read_text() == holder


def test_of_many_that_take_over_a_dead_process_one_at_a_time_works(tmp_path: Path) -> None:
    """Whoever holds the directory holds it alone, although all find the lock of a dead process at once."""
    dead = FORK.Process(target=os.getpid)
    dead.start()
    dead.join()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock.owner").write_text(f"{socket.gethostname()} {dead.pid}")
    log = FORK.Queue()
    many = [FORK.Process(target=claim, args=(tmp_path / "run", 0.05, log)) for _ in range(12)]
    for one in many:
        one.start()
    for one in many:
        one.join()
    events = [log.get(timeout=20) for _ in range(len(many))]
    while not log.empty():
        events.append(log.get())
    held = sorted((moment, what) for what, _, moment in events if what != "refused")
    assert [what for _, what in held] == ["begin", "end"] * (len(held) // 2)
    assert held
