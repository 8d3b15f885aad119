"""A Slurm array, by submitit: its jobs claim items from a folder of the run directory.

Files of one item in that folder: `<number>.item` (the driver writes it), `<number>.claim` (created by the one job that
computes it, touched while it does), `<number>.receipt`. A claim that is not touched for `stale_s` is taken over: its
job was killed, or its node is gone. Ages are compared with a file that the reader touches itself, so clocks may differ.
Every node must reach the run directory and the model by the same paths. `pip install 'autointerp[slurm]'`.
"""

import importlib
import pickle
import shutil
import time
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from autointerp.errors import StoppedError, StudyError
from autointerp.execution import _claims
from autointerp.execution._claims import ERROR, ITEM, JOB, RECEIPT, STOP, put
from autointerp.execution.base import TRIES, Item, Job, Receipt

# Seconds between two looks at the folder.
LOOK_S = 0.5
# Seconds that workers without work have to end by themselves.
END_S = 5.0
# Items written ahead of the workers, for each.
AHEAD = 2


class Config(BaseModel):
    """Settings of the array's jobs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    workers: int = Field(default=4, ge=1, le=4096, description="jobs of the array, one worker each")
    cluster: Literal["slurm", "local"] = Field(
        default="slurm", description="local: processes of this machine in place of Slurm's jobs, to try it out"
    )
    timeout_min: int = Field(default=240, ge=1, le=10**6, description="time limit of each job, minutes")
    partition: str | None = Field(default=None, description="Slurm partition; the cluster's default if not set")
    gpus_per_worker: int = Field(default=1, ge=0, le=64, description="GPUs of each job; 0 if the subject is on cpu")
    cpus_per_worker: int = Field(default=4, ge=1, le=1024, description="CPUs of each job")
    mem_gb: float = Field(default=32, gt=0, le=10**5, description="memory of each job, GB")
    parameters: dict[str, str | int] = Field(
        default_factory=dict, description="more of submitit's parameters, such as {slurm_account: lab}"
    )
    stale_s: float = Field(
        default=120, ge=1, le=86_400, description="seconds without a sign of life after which a shard is given away"
    )


def run(config: Config, job: Job, items: Iterable[Item]) -> Iterator[Receipt]:
    """Yield a receipt for each item, in the order in which they are done.

    Raises:
        StudyError: submitit or Slurm is missing, or jobs are rejected.
        StoppedError: jobs end again and again; what is done is kept.
    """
    source = iter(items)
    first = next(source, None)
    if first is None:
        return
    shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True)
    put(job.folder / JOB, job.pickled())
    array = _Array(config, job)
    try:
        yield from array.map(first, source)
    finally:
        array.close()


class _Array:
    """The jobs and the folder of items."""

    def __init__(self, config: Config, job: Job) -> None:
        self._config, self._job, self._folder = config, job, job.folder.absolute()
        self._executor = _executor(config, job)
        self._jobs: list[Any] = []
        self._open: set[int] = set()
        self._n_lost = 0

    def map(self, first: Item, source: Iterator[Item]) -> Iterator[Receipt]:
        """Write items ahead of the workers, and yield receipts as they appear."""
        self._write(first)
        self._jobs = self._submit(self._config.workers)
        more = True
        while more or self._open:
            while more and len(self._open) < AHEAD * self._config.workers:
                item = next(source, None)
                more = item is not None
                if item is not None:
                    self._write(item)
            n_before = len(self._open)
            yield from self._receipts()
            if self._open and len(self._open) == n_before:
                self._replace_lost()
                time.sleep(LOOK_S)

    def _write(self, item: Item) -> None:
        put(self._folder / f"{item.number}.{ITEM}", pickle.dumps(item))
        self._open.add(item.number)

    def _receipts(self) -> Iterator[Receipt]:
        for path in self._folder.glob(f"*.{ERROR}"):
            raise pickle.loads(path.read_bytes())
        for number in sorted(self._open):
            path = self._folder / f"{number}.{RECEIPT}"
            if path.exists():
                self._open.remove(number)
                yield pickle.loads(path.read_bytes())

    def _replace_lost(self) -> None:
        """Submit jobs for those that ended although items are left.

        Raises:
            StoppedError: too many have.
        """
        alive = [one for one in self._jobs if not one.done()]
        lost = len(self._jobs) - len(alive)
        self._job.n_workers = len(alive)
        if lost:
            self._n_lost += lost
            self._job.n_failures += lost
            if self._n_lost > TRIES * self._config.workers:
                log = self._jobs[-1].paths.stderr
                raise StoppedError(
                    f"execution: {self._n_lost} Slurm jobs ended before their work; the last one's log: {log}"
                )
            self._jobs = alive + self._submit(lost)

    def _submit(self, n: int) -> list[Any]:
        try:
            with self._executor.batch():
                jobs = [self._executor.submit(_claims.work, str(self._folder), self._config.stale_s) for _ in range(n)]
        except Exception as error:
            raise StudyError(f"execution: Slurm rejects the jobs: {' '.join(str(error).split())[:300]}") from error
        return jobs

    def close(self) -> None:
        """Let the workers end, and cancel those that wait or are busy."""
        put(self._folder / STOP, b"")
        self._wait()
        if alive := [one for one in self._jobs if not one.done()]:
            for one in alive:
                one.cancel()
            self._wait()

    def _wait(self) -> None:
        latest = time.monotonic() + END_S
        while time.monotonic() < latest and not all(one.done() for one in self._jobs):
            time.sleep(LOOK_S)


def _executor(config: Config, job: Job) -> Any:
    try:
        submitit: Any = importlib.import_module("submitit")
    except ImportError as error:
        raise StudyError(
            "execution: submitit is not installed: pip install 'autointerp[slurm]', or use `execution: processes`"
        ) from error
    if config.cluster == "slurm" and shutil.which("sbatch") is None:
        raise StudyError(
            "execution: `sbatch` is not on this machine's PATH: run on a login node of the cluster, or set "
            "execution.cluster to `local`"
        )
    executor = submitit.AutoExecutor(folder=job.folder.parent / "slurm-logs", cluster=config.cluster)
    gpus = config.gpus_per_worker if job.device == "cuda" else 0
    parameters: dict[str, Any] = {
        "name": "autointerp",
        "timeout_min": config.timeout_min,
        "mem_gb": config.mem_gb,
        "cpus_per_task": config.cpus_per_worker,
        "gpus_per_node": gpus,
    }
    if config.partition:
        parameters["slurm_partition"] = config.partition
    executor.update_parameters(**parameters, **config.parameters)
    return executor
