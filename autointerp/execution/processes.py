"""Processes of this machine: one worker per visible GPU, or several on the CPU.

Each worker is a Python process of its own that sees one GPU, connected to the driver by a socket. A worker that ends is
replaced, and its item is given to another one; workers end when the driver does.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from autointerp.errors import StoppedError
from autointerp.execution.base import TRIES, Item, Job, Receipt

# Items that a worker holds: the one it computes and the next.
IN_FLIGHT = 2


class Config(BaseModel):
    """Settings of the number of workers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(
        default=0, ge=0, le=1024, description="worker processes; 0: one per visible GPU, without a GPU one per 4 CPUs"
    )


@dataclass(slots=True)
class _Process:
    """A worker process, the socket to it and the items it holds, oldest first."""

    number: int
    process: subprocess.Popen[bytes]
    connection: Connection
    held: deque[Any] = field(default_factory=deque)
    n_done: int = 0


def run(config: Config, job: Job, items: Iterable[Item]) -> Iterator[Receipt]:
    """Yield a receipt for each item, in the order in which they are done.

    Raises:
        StoppedError: workers end again and again; what is done is kept.
        Exception: what a worker raised.
    """
    gpus = visible_gpus() if job.device == "cuda" else []
    n = config.workers or len(gpus) or max(2, (os.cpu_count() or 1) // 4)
    pool = _Pool(job, n, gpus)
    try:
        yield from pool.map(iter(items))
    finally:
        pool.close()


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]
    return [name.strip() for name in names][: torch.cuda.device_count()]


class _Pool:
    """The workers, started when there is work for them."""

    def __init__(self, job: Job, n: int, gpus: list[str]) -> None:
        self._job, self._n, self._gpus = job, n, gpus
        self._pickled = job.pickled()
        self._workers: dict[int, _Process] = {}
        self._waiting: deque[Any] = deque()  # items of workers that ended
        self._n_ended_idle = 0

    def map(self, items: Iterator[Item]) -> Iterator[Receipt]:
        """Give items to workers and yield their receipts, until there are no more of both."""
        more = True
        while True:
            # Items are made by the driver (tokenised): one at a time, so that replies are read in between.
            if more and (worker := self._free()) is not None:
                item = self._waiting.popleft() if self._waiting else next(items, None)
                if item is None:
                    more = bool(self._waiting)
                else:
                    self._give(worker, item)
                    yield from self._replies(0.0)
                    continue
            if not any(worker.held for worker in self._workers.values()) and not self._waiting:
                return
            yield from self._replies(None)
            more = more or bool(self._waiting)

    def _free(self) -> _Process | None:
        """Return the worker with the fewest items, a new one while there are too few; None if all have enough."""
        least = min(self._workers.values(), key=lambda one: len(one.held), default=None)
        if least is not None and not least.held:
            return least
        if len(self._workers) < self._n:
            number = next(number for number in range(self._n) if number not in self._workers)
            self._workers[number] = self._start(number)
            self._job.n_workers = len(self._workers)
            return self._workers[number]
        return least if least is not None and len(least.held) < IN_FLIGHT else None

    def _start(self, number: int) -> _Process:
        parent, child = socket.socketpair()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self._n)))
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpus[number % len(self._gpus)]
        command = [sys.executable, "-m", "autointerp.execution._process", str(child.fileno())]
        with child:
            process = subprocess.Popen(
                command,
                env=environment,
                pass_fds=[child.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        connection = Connection(parent.detach())
        worker = _Process(number, process, connection)
        with contextlib.suppress(OSError):  # it ended: its socket reads as closed, where its items are taken back
            connection.send_bytes(self._pickled)
        return worker

    def _give(self, worker: _Process, item: Item) -> None:
        worker.held.append(item)
        with contextlib.suppress(OSError):
            worker.connection.send(item)

    def _replies(self, timeout: float | None) -> Iterator[Receipt]:
        """Yield the receipts that arrived; replace workers that ended.

        Raises:
            StoppedError: they end too often.
        """
        by_connection = {worker.connection: worker for worker in self._workers.values()}
        for ready in wait(list(by_connection), timeout):
            worker = by_connection[ready]  # pyright: ignore[reportArgumentType] (only connections are waited for)
            try:
                reply = worker.connection.recv()
            except (EOFError, OSError):
                self._ended(worker)
                continue
            if isinstance(reply, BaseException):
                raise reply
            worker.held.popleft()
            worker.n_done += 1
            yield reply

    def _ended(self, worker: _Process) -> None:
        code = worker.process.wait()
        worker.connection.close()
        del self._workers[worker.number]
        self._job.n_workers = len(self._workers)
        self._n_ended_idle = 0 if worker.n_done else self._n_ended_idle + 1
        reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if worker.held and self._job.failed(worker.held[0].number):
            raise StoppedError(
                f"execution: {TRIES} workers ended while computing item {worker.held[0].number} (the last with "
                f"{reason}; SIGKILL may be too little memory); what is done is kept: run the same command again, with "
                "fewer execution.workers or a smaller collection.batch_tokens"
            )
        if self._n_ended_idle >= TRIES * self._n:
            raise StoppedError(f"execution: no worker starts (the last ended with {reason}); see its message above")
        self._waiting.extend(worker.held)

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers.values():
            worker.connection.close()
            worker.process.terminate()
        for worker in self._workers.values():
            try:
                worker.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
