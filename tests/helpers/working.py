"""A worker without a model: writes the square of its item's number, or fails as the item says."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.errors import StudyError
from autointerp.execution.base import Counter, Job, Receipt, here


@dataclass(frozen=True)
class Task:
    """`fails`: "" for never; `kill once`, `kill` or `refuse`; `waits` for a file of that name."""

    number: int
    path: Path
    fails: str = ""
    waits: str = ""
    padding: bytes = b""


def open_worker(setup: str) -> Callable[[Task, Any], Receipt]:
    """Open a worker; `setup` is "refuse" for one that does not match, "vanish" for one that ends at once."""
    if setup == "vanish":
        os._exit(9)
    if setup == "refuse":
        raise StudyError("worker: other versions than the driver's")

    def work(task: Task, _: Any) -> Receipt:
        mark = task.path / f"{task.number}.killed"
        if task.fails == "kill" or (task.fails == "kill once" and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if task.fails == "refuse":
            raise StudyError(f"item {task.number} is not valid")
        while task.waits and not (task.path / task.waits).exists():
            time.sleep(0.01)
        done = task.path / str(task.number)
        if not done.exists():  # an engine may run an item again whose receipt was lost
            done.write_text(str(task.number**2))
            with (task.path / "computed").open("a") as file:
                file.write(f"{task.number}\n")
        return Receipt(number=task.number, n_tokens=1, n_bytes=1, seconds={}, peak_memory=0, worker=here())

    return work


def job(folder: Path, setup: str = "") -> Job:
    """Return a job of such workers."""
    return Job(
        opener="tests.helpers.working:open_worker",
        setup=lambda: setup,
        local=lambda: open_worker(setup),
        folder=folder / "job",
        bar=Counter(),
    )


def tasks(folder: Path, n: int, **fails: str) -> list[Task]:
    """Return n tasks; `fails` names by `item<number>` how one fails."""
    return [Task(number, folder, fails.get(f"item{number}", "")) for number in range(n)]


def computed(folder: Path) -> list[int]:
    """Return the numbers of the items that were computed, in order."""
    return [int(line) for line in (folder / "computed").read_text().split()]


def numbers(receipts: Iterable[Receipt]) -> list[int]:
    """Return the receipts' numbers, ascending."""
    return sorted(receipt.number for receipt in receipts)
