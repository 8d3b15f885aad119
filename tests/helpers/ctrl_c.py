"""Press Ctrl-C on runs that ask an LLM: `python -m tests.helpers.ctrl_c URL FOLDER N SEED SECONDS`.

Each of N runs is forked from this process, which has imported everything, asks questions through the command line's
own `main`, and gets SIGINT at a moment drawn from 0..SECONDS after it began to connect. Prints a JSON line for each
run: exit code, seconds from SIGINT to the end, stderr, and questions that ended without being in the response store.
"""

import json
import os
import random
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from autointerp import __main__ as command
from autointerp import plugins
from autointerp.asking import ask
from autointerp.asking.responses import Store, key
from autointerp.console import deferred_interrupts
from autointerp.llm import openai
from autointerp.records import Request
from tests.helpers import asking

CONCURRENCY = 8
# A run that has not ended so many seconds after SIGINT hangs.
MOST_S = 10.0


def run(url: str, store: Path, begun: int, ended: Path) -> int:
    """Ask until interrupted; write the number of each question that ended."""
    os.write(begun, b"x")
    with deferred_interrupts(), ended.open("a", buffering=1) as file:
        backend = openai.open(openai.Config(base_url=url, concurrency=CONCURRENCY, structured="plain"))
        with closing(ask.connect(backend, store=store)) as llm:
            questions = (asking.question(number) for number in range(1_000_000))
            for told in ask.judgements({"yes_no": asking.YesNo()}, llm, questions, config=ask.AskConfig()):
                file.write(f"{told.question.question_id.removeprefix('sae-q')} {backend.fingerprint}\n")
    return 0


def child(url: str, folder: Path, begun: int) -> None:
    """Be one run; never returns."""
    sys.stdout = sys.stderr = (folder / "stderr").open("w", buffering=1)
    os.dup2(sys.stderr.fileno(), 2)
    verb = SimpleNamespace(
        __doc__="Ask.",
        configure=lambda parser: None,
        run=lambda args: run(url, folder / "store", begun, folder / "ended"),
    )
    code = 70
    try:
        with (
            mock.patch.object(plugins, "load", return_value=verb),
            mock.patch.object(plugins, "names", return_value=["ask"]),
        ):
            code = command.main(["ask"])
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stderr.flush()
        os._exit(code)


def interrupted(url: str, folder: Path, wait: float) -> dict[str, object]:
    """Start a run, interrupt it after `wait` seconds, and report how it ended."""
    folder.mkdir()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        child(url, folder, writer)
    os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    time.sleep(wait)
    os.kill(pid, signal.SIGINT)
    pressed = time.monotonic()
    done, status = 0, 0
    while not done and time.monotonic() - pressed < MOST_S:
        done, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.002)
    seconds = time.monotonic() - pressed
    if not done:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    lost, n = _lost(folder)
    code = os.waitstatus_to_exitcode(status) if done else None
    return {"code": code, "seconds": seconds, "stderr": (folder / "stderr").read_text(), "lost": lost, "ended": n}


def _lost(folder: Path) -> tuple[list[int], int]:
    """Questions that ended but whose replies are not stored, and how many ended."""
    if not (folder / "ended").exists() or not (folder / "store").exists():
        return [], 0
    lines = [line.split(" ", 1) for line in (folder / "ended").read_text().splitlines()]
    lost = []
    with closing(Store(folder / "store")) as store:
        for number, fingerprint in lines:
            made = asking.question(int(number))
            request = Request(
                key="", messages=made.messages, task=made.task, sampling=made.sampling, schema=made.schema
            )
            if store.get(key(fingerprint, request)) is None:
                lost.append(int(number))
    return lost, len(lines)


def main(url: str, folder: Path, n: int, seed: int, seconds: float) -> None:
    """Interrupt n runs."""
    rng = random.Random(seed)
    for number in range(n):
        print(json.dumps(interrupted(url, folder / str(number), rng.uniform(0, seconds))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
