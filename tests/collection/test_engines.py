"""Shards that other processes compute are those of this process, byte for byte, whatever is killed in between."""

import hashlib
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autointerp import plugins
from autointerp.collection import worker
from autointerp.collection.base import CollectConfig, SamplingConfig
from autointerp.collection.collect import Collection, collect
from autointerp.collection.shard_pass import Engine, Run
from autointerp.errors import StudyError
from autointerp.execution.base import Item, Job, Receipt
from autointerp.subject.base import SubjectConfig
from autointerp.subject.model import HookedSubject, load
from tests.helpers import tiny
from tests.helpers.collecting import LENIENT, arms, read, texts

COLLECTION = CollectConfig(batch_tokens=64, shard_tokens=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("model"))


def gather(out: Path, model: Path, run: Run | None = None) -> tuple[Collection, HookedSubject]:
    """Collect a sample of two dictionaries, with the shards computed by `run`."""
    config = SubjectConfig(model=str(model), device="cpu")
    under = load(config)
    engine = Engine() if run is None else Engine(run=run, subject=config)
    found = collect(
        under,
        arms()[:2],
        read(out, texts(24), under=under),
        collection=COLLECTION,
        sampling=SamplingConfig(n_latents=5),
        examples=LENIENT,
        folder=out,
        seed=3,
        engine=engine,
    )
    return found, under


def member(use: str, **settings: Any) -> Run:
    module = plugins.load("execution", use)
    return partial(module.run, module.Config.model_validate(settings))


def killing(run: Run) -> Run:
    """Kill the worker of the first receipt."""

    def killed(job: Job, items: Iterable[Item]) -> Iterator[Receipt]:
        for number, receipt in enumerate(run(job, items)):
            if not number:
                os.kill(int(receipt.worker.rpartition(":")[2]), signal.SIGKILL)
            yield receipt

    return killed


def hashes(out: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (out / "shards").glob("*.safetensors")}


def check(run: Run, folder: Path, tmp_path: Path) -> None:
    here, _ = gather(tmp_path / "here", folder)
    there, _ = gather(tmp_path / "there", folder, run)
    assert hashes(tmp_path / "there") == hashes(tmp_path / "here")
    assert len(hashes(tmp_path / "here")) > 5
    assert there.fingerprint == here.fingerprint
    # Of every token once, though a worker was killed: what it held and had not written counts for its successor.
    assert there.counts["tokens_computed"] <= here.counts["tokens_computed"]
    again, _ = gather(tmp_path / "there", folder)
    assert again.counts["tokens_computed"] == 0


def test_shards_of_processes_are_those_of_this_process(folder: Path, tmp_path: Path) -> None:
    """One of two workers is killed; a run without other processes then continues the folder and computes nothing."""
    check(killing(member("processes", workers=2)), folder, tmp_path)


@pytest.mark.slow
def test_shards_of_a_ray_cluster_are_those_of_this_process(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    check(killing(member("ray", address="local", workers=2, cpus_per_worker=0.5)), folder, tmp_path)


@pytest.mark.slow
def test_shards_of_a_slurm_array_are_those_of_this_process(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    check(killing(member("slurm", cluster="local", workers=2, stale_s=5)), folder, tmp_path)


def test_a_worker_with_other_weights_or_versions_is_refused(folder: Path, tmp_path: Path) -> None:
    """By the fingerprint of what it loads, and by the versions of what computes."""
    config = SubjectConfig(model=str(folder), device="cpu")
    given = worker.setup(config, None, load(config), arms()[:2], COLLECTION)
    worker.open_worker(given)
    other = config.model_copy(update={"model": str(tiny.save(tmp_path / "other", seed=1))})
    with pytest.raises(StudyError, match=r"other files or settings than in the driver"):
        worker.open_worker(replace(given, subject=other))
    with pytest.raises(StudyError, match=r"torch 1\.0 / "):
        worker.open_worker(replace(given, versions={**given.versions, "torch": "1.0"}))
