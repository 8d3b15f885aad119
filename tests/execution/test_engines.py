"""Every engine does each item once, replaces workers that are killed, and stops with one line where that is no use."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autointerp import plugins
from autointerp.errors import StoppedError, StudyError
from autointerp.execution import _claims
from autointerp.execution.base import TRIES, Job, Receipt
from tests.helpers.working import Task, computed, job, numbers, tasks

SETTINGS: dict[str, dict[str, Any]] = {
    "local": {},
    "processes": {"workers": 2},
    "ray": {"address": "local", "workers": 2, "cpus_per_worker": 0.5},
    "slurm": {"cluster": "local", "workers": 2, "stale_s": 2},
}
NEEDS = {"ray": "ray", "slurm": "submitit"}
OTHERS = [pytest.param(name, marks=pytest.mark.slow) if name in NEEDS else name for name in SETTINGS]


def run(engine: str, todo: Job, items: Iterator[Task] | list[Task]) -> Iterator[Receipt]:
    if engine in NEEDS:
        pytest.importorskip(NEEDS[engine])
    module = plugins.load("execution", engine)
    return module.run(module.Config.model_validate(SETTINGS[engine]), todo, items)


@pytest.fixture(params=OTHERS)
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


@pytest.mark.parametrize("engine", OTHERS[1:])
def test_items_of_a_killed_worker_are_done_by_another(engine: str, tmp_path: Path) -> None:
    """Two workers are killed, each once: every item is done, none that was finished is done again."""
    todo = job(tmp_path)
    assert numbers(run(engine, todo, tasks(tmp_path, 8, item1="kill once", item5="kill once"))) == list(range(8))
    assert sorted(computed(tmp_path)) == list(range(8))
    assert todo.n_failures == 2


@pytest.mark.slow
def test_a_lost_node_of_a_ray_cluster_is_made_up_for(tmp_path: Path) -> None:
    """Two nodes, one lost without notice in the middle and another one added: every item is done."""
    ray = pytest.importorskip("ray")
    utilities = pytest.importorskip("ray.cluster_utils")
    ray.shutdown()
    cluster = utilities.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    module = plugins.load("execution", "ray")
    config = module.Config(address=cluster.address, workers=2)
    found = []
    try:
        for number, receipt in enumerate(module.run(config, job(tmp_path), tasks(tmp_path, 12))):
            found.append(receipt.number)
            if number == 2:
                cluster.remove_node(nodes[0], allow_graceful=False)
                cluster.add_node(num_cpus=1)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert sorted(found) == list(range(12))


@pytest.mark.parametrize("use", ["ray", "slurm"])
def test_an_engine_that_is_not_installed_is_one_line(use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, NEEDS[use], None)
    module = plugins.load("execution", use)
    with pytest.raises(StudyError, match=rf"pip install 'autointerp\[{use}\]'"):
        list(module.run(module.Config(), job(tmp_path), tasks(tmp_path, 1)))


def test_a_claim_without_a_sign_of_life_is_taken_over_by_one(tmp_path: Path) -> None:
    """Two workers cannot hold one item; a claim older than the limit, by the file system's clock, is given away."""
    for number in range(2):
        (tmp_path / f"{number}.{_claims.ITEM}").touch()
    assert [_claims.claim(tmp_path, 60) for _ in range(3)] == [0, 1, None]
    old = tmp_path / f"0.{_claims.CLAIM}"
    os.utime(old, (0, old.stat().st_mtime - 100))
    assert [_claims.claim(tmp_path, 60) for _ in range(2)] == [0, None]
    (tmp_path / f"0.{_claims.RECEIPT}").touch()
    os.utime(old, (0, old.stat().st_mtime - 100))
    assert _claims.claim(tmp_path, 60) is None


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
