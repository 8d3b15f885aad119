"""Ctrl-C at any moment while an LLM is asked: exit 130 within two seconds, one line, no reply lost, never swallowed."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autointerp import console
from tests.helpers.server import Model, Server

ROOT = Path(__file__).parents[2]
# The one line, whatever else it says.
LINE = re.compile(r"autointerp ask: interrupted; .*\n")


@pytest.mark.parametrize("n", [20, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])])
def test_ctrl_c_at_a_random_moment_ends_the_run(tmp_path: Path, n: int) -> None:
    with Server(model=Model(latency_s=0.005), keep_log=False, keep_count=False) as server:
        line = [sys.executable, "-m", "tests.helpers.ctrl_c", server.url, str(tmp_path), str(n), "7", "0.5"]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ends) == n, done.stderr[-2000:]
    bad = [end for end in ends if end["code"] != 130 or end["lost"] or not LINE.fullmatch(end["stderr"])]
    assert bad == []
    assert max(end["seconds"] for end in ends) < 2
    assert sum(end["ended"] > 0 for end in ends) > n / 4  # most struck while replies came


def steps(*actions: Callable[[], object]) -> list[str]:
    """Take the actions, interrupts deferred; return the names of those that returned before KeyboardInterrupt."""
    taken = []

    def take() -> None:
        with console.deferred_interrupts():
            for action in actions:
                action()
                taken.append(action.__name__)

    with pytest.raises(KeyboardInterrupt):
        take()
    return taken


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def work() -> None:
    pass


def test_a_deferred_interrupt_is_raised_at_the_next_check_and_at_the_end_at_the_latest() -> None:
    assert steps(press, work, console.check_interrupt, work) == ["press", "work"]
    assert steps(press, work) == ["press", "work"]
    assert steps(press, press, work) == ["press"]
    console.check_interrupt()  # the flag is cleared
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_is_not_replaced_by_an_error_that_comes_with_it() -> None:
    def fail() -> None:
        raise ValueError

    assert steps(press, fail) == ["press"]


def test_an_interrupt_that_nobody_checks_is_raised_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "GRACE_S", 0.2)

    def busy() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            time.sleep(0.01)

    assert steps(press, busy) == ["press"]


def test_other_threads_and_other_handlers_are_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with console.deferred_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with console.deferred_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, previous)
    assert seen == [signal.default_int_handler, signal.SIG_IGN]
