"""The protocol of an execution engine: a job, its items, a receipt for each item that is done.

An item names the file that its worker writes, atomically; equal items give equal files. So an engine may run an item
more than once and in any order, and any engine continues a folder that another one began.
"""

import importlib
import os
import pickle
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

# Failures of one item (its worker ended, or its node) after which the run stops.
TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a worker reports of one item.

    Attributes:
        number: the item's number.
        n_tokens: tokens computed; 0 if the file existed.
        n_bytes: bytes written.
        seconds: of the worker, by part of the work.
        peak_memory: of the worker's process, in bytes.
        worker: host and process.
    """

    number: int
    n_tokens: int
    n_bytes: int
    seconds: Mapping[str, float]
    peak_memory: int
    worker: str


class Item(Protocol):
    """One unit of work; it can be pickled."""

    @property
    def number(self) -> int:
        """Its number, unique in a job."""
        ...


class Progress(Protocol):
    """What a worker reports progress to within an item; `console.Bar` is one."""

    done: int

    def advance(self, n: int = 1) -> None:
        """Count `n` more units as done."""
        ...


Worker = Callable[[Any, Progress], Receipt]


@dataclass(slots=True)
class Counter:
    """Progress that nobody sees: the driver counts receipts."""

    done: int = 0

    def advance(self, n: int = 1) -> None:
        """Count `n` more units as done."""
        self.done += n


@dataclass(slots=True, kw_only=True)
class Job:
    """One map over items.

    Attributes:
        opener: `module:function` that makes a worker from what `setup` returns, in another process.
        setup: returns what it needs, which can be pickled.
        local: makes the worker in this process.
        folder: where an engine may keep files while the job runs; every worker must reach it by this path.
        bar: the driver's progress, which a worker in this process advances; others are counted by their receipts.
        device: device type of the driver's subject: `cpu`, `cuda`.
        n_workers: workers at work; kept up to date by the engine.
        n_failures: items that were given to another worker, since theirs ended.
    """

    opener: str
    setup: Callable[[], Any]
    local: Callable[[], Worker]
    folder: Path
    bar: Progress
    device: str = "cpu"
    n_workers: int = 1
    n_failures: int = 0
    failures: dict[int, int] = field(default_factory=dict)

    def pickled(self) -> bytes:
        """Return what `open_worker` opens in another process."""
        return pickle.dumps((self.opener, self.setup()))

    def failed(self, number: int) -> bool:
        """Count a failure of an item; return whether it has failed too often."""
        self.n_failures += 1
        self.failures[number] = self.failures.get(number, 0) + 1
        return self.failures[number] >= TRIES


def open_worker(pickled: bytes) -> Worker:
    """Make a job's worker in this process."""
    opener, setup = pickle.loads(pickled)
    module, _, name = opener.partition(":")
    return getattr(importlib.import_module(module), name)(setup)


def here() -> str:
    """Return host and process, for receipts and messages."""
    return f"{socket.gethostname()}:{os.getpid()}"
