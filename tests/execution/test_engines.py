"""Every engine does each item once, replaces workers that are killed, and stops with one line where that is no use."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autointerp import plugins
from autointerp.errors import StoppedError, StudyError
from autointerp.execution.base import TRIES, Job, Receipt
from tests.helpers.working import Task, computed, job, numbers, tasks

SETTINGS: dict[str, dict[str, Any]] = {"local": {}, "processes": {"workers": 2}}


def run(engine: str, todo: Job, items: Iterator[Task] | list[Task]) -> Iterator[Receipt]:
    module = plugins.load("execution", engine)
    return module.run(module.Config.model_validate(SETTINGS[engine]), todo, items)


@pytest.fixture(params=list(SETTINGS))
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


def test_each_item_is_done_once(engine: str, tmp_path: Path) -> None:
    assert numbers(run(engine, job(tmp_path), tasks(tmp_path, 7))) == list(range(7))
    assert sorted(computed(tmp_path)) == list(range(7))
    assert (tmp_path / "6").read_text() == "36"


def test_nothing_to_do_starts_no_worker(engine: str, tmp_path: Path) -> None:
    assert list(run(engine, job(tmp_path, "refuse"), [])) == []


def test_a_worker_s_error_reaches_the_user(engine: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="item 2 is not valid"):
        list(run(engine, job(tmp_path), tasks(tmp_path, 4, item2="refuse")))


def test_a_worker_that_does_not_match_is_refused(engine: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="other versions"):
        list(run(engine, job(tmp_path, "refuse"), tasks(tmp_path, 2)))


def test_items_of_a_killed_worker_are_done_by_another(tmp_path: Path) -> None:
    """Two workers are killed, each once: every item is done, none that was finished is done again."""
    todo = job(tmp_path)
    assert numbers(run("processes", todo, tasks(tmp_path, 8, item1="kill once", item5="kill once"))) == list(range(8))
    assert sorted(computed(tmp_path)) == list(range(8))
    assert todo.n_failures == 2


def test_an_item_that_kills_every_worker_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match=rf"{TRIES} workers ended while computing item 1 .*SIGKILL"):
        list(run("processes", job(tmp_path), tasks(tmp_path, 3, item1="kill")))


def test_workers_that_never_start_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match=r"3 workers ended .*exit code 9"):
        list(run("processes", job(tmp_path, "vanish"), tasks(tmp_path, 3)))


def test_a_busy_worker_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Item 0 waits for item 5, done by another worker; items that fill a socket's buffer do not block the driver."""
    items = [Task(number, tmp_path, waits="5" if not number else "", padding=b"0" * 2**20) for number in range(6)]
    assert numbers(run("processes", job(tmp_path), items)) == list(range(6))


def test_workers_end_with_the_driver(tmp_path: Path) -> None:
    """A driver that stops after the first receipt leaves no process behind."""
    receipts = run("processes", job(tmp_path), tasks(tmp_path, 50))
    first = next(receipts)
    receipts.close()  # pyright: ignore[reportAttributeAccessIssue] (a generator)
    with pytest.raises(ProcessLookupError):
        os.kill(int(first.worker.rpartition(":")[2]), 0)
