"""Run the command line, killed again and again at random moments, then once to its end.

    python -m tests.helpers.killed KILLS SEED SECONDS WAY score study.yaml --out run

Each run is killed (SIGKILL) at a moment drawn from 0..SECONDS, counted from its start or, two times in three, from
the first reply that it stores. WAY `fork` starts runs from this process, which has imported everything, so that they
start at once; `spawn` starts the command itself. Prints how many were killed, as a run may end before its moment
comes; its exit code is that of the last run.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import torch  # noqa: F401  imported once, here
import transformers  # noqa: F401

from autointerp.__main__ import main as command
from autointerp.experiment import pipeline  # noqa: F401
from autointerp.llm import _client

# Longest wait for a run's first reply, in seconds.
MOST_S = 120.0


def forked(argv: list[str]) -> int:
    """Start a run; return its process id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _client.FIRST_WAIT_S = 0.01
            code = command(argv)
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid


def spawned(argv: list[str]) -> int:
    """Start the command; return its process id."""
    return subprocess.Popen([sys.executable, "-m", "autointerp", *argv], start_new_session=True).pid


def n_stored(store: Path) -> int:
    """Replies in a response store; 0 where there is none yet."""
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=1)) as db:
            return db.execute("SELECT count(*) FROM responses").fetchone()[0]
    except sqlite3.Error:
        return 0


def main(kills: int, seed: int, seconds: float, way: str, argv: list[str]) -> int:
    """Kill some runs, let one finish, print how many were killed."""
    start, rng, n_killed = {"fork": forked, "spawn": spawned}[way], random.Random(seed), 0
    store = Path(argv[argv.index("--out") + 1]) / "responses.sqlite"
    for _ in range(kills):
        before, pid = n_stored(store), start(argv)
        began, ended = time.monotonic(), 0
        if rng.random() < 2 / 3:
            while n_stored(store) == before and not ended and time.monotonic() - began < MOST_S:
                time.sleep(0.005)
                ended, _ = os.waitpid(pid, os.WNOHANG)
        if not ended:
            time.sleep(rng.uniform(0, seconds))
            os.kill(pid, signal.SIGKILL)
            n_killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    print(n_killed, flush=True)
    return os.waitstatus_to_exitcode(os.waitpid(start(argv), 0)[1])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4], sys.argv[5:]))
