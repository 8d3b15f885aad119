"""A Ray cluster: one actor per GPU, spread over the nodes; actors of lost nodes start again elsewhere.

Every node must reach the run directory and the model by the same paths. `pip install 'autointerp[ray]'`.
"""

import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from autointerp.errors import AutointerpError, StoppedError, StudyError
from autointerp.execution.base import TRIES, Counter, Item, Job, Receipt, open_worker

# Items that an actor holds: the one it computes and the next.
IN_FLIGHT = 2
# Seconds between two looks for actors that have started.
LOOK_S = 1.0


class Config(BaseModel):
    """Settings of the cluster, and each worker's resources."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    address: str = Field(
        default="auto", description="auto: the cluster of this machine (`ray start`); ray://host:port; local: start one"
    )
    workers: int = Field(default=0, ge=0, le=4096, description="actors; 0: as many as the cluster has room for now")
    gpus_per_worker: float = Field(default=1, ge=0, le=64, description="GPUs of each; ignored if the subject is on cpu")
    cpus_per_worker: float = Field(default=1, gt=0, le=1024, description="CPUs of each")
    scheduling: Literal["SPREAD", "DEFAULT"] = Field(default="SPREAD", description="Ray's placement of actors")
    start_timeout: float = Field(default=300, gt=0, le=86_400, description="seconds to wait for the first worker")


class _Actor:
    """The worker of one actor, opened with its first item: Ray hides the errors of constructors."""

    def __init__(self, pickled: bytes) -> None:
        self._pickled, self._worker = pickled, None

    def work(self, item: Item) -> Receipt:
        self._worker = self._worker or open_worker(self._pickled)
        return self._worker(item, Counter())


def run(config: Config, job: Job, items: Iterable[Item]) -> Iterator[Receipt]:
    """Yield a receipt for each item, in the order in which they are done.

    Raises:
        StudyError: Ray is not installed, or its cluster cannot be reached or has no room for a worker.
        StoppedError: workers end again and again; what is done is kept.
    """
    ray = _ray(config)
    source = iter(items)
    first = next(source, None)
    if first is None:
        return
    gpus = config.gpus_per_worker if job.device == "cuda" else 0
    n = config.workers or _room(ray, config.cpus_per_worker, gpus)
    remote = ray.remote(_Actor).options(
        num_cpus=config.cpus_per_worker, num_gpus=gpus, scheduling_strategy=config.scheduling
    )
    pool = _Pool(ray, remote, ray.put(job.pickled()), job, config.start_timeout)
    try:
        yield from pool.map(n, first, source)
    finally:
        pool.close()


def _ray(config: Config) -> Any:
    """Import Ray and connect."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise StudyError(
            "execution: ray is not installed: pip install 'autointerp[ray]', or use `execution: processes`"
        ) from error
    if not ray.is_initialized():
        path = os.pathsep.join(one for one in sys.path if one)
        try:
            ray.init(address=config.address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": path}})
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise StudyError(
                f"execution: no Ray cluster at {config.address!r} ({reason}); start one (`ray start --head`), or set "
                "execution.address to `local`"
            ) from error
    return ray


def _room(ray: Any, cpus: float, gpus: float) -> int:
    """Return how many workers the cluster has room for.

    Raises:
        StudyError: for none.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    free = [int(min(node.get("CPU", 0) / cpus, node.get("GPU", 0) / gpus if gpus else float("inf"))) for node in nodes]
    if not sum(free):
        raise StudyError(
            f"execution: no node of the Ray cluster has room for a worker of {gpus:g} GPUs and {cpus:g} CPUs; set "
            "execution.gpus_per_worker and cpus_per_worker, or execution.workers if nodes will join later"
        )
    return sum(free)


class _Pool:
    """The actors and the items they hold."""

    def __init__(self, ray: Any, remote: Any, pickled: Any, job: Job, timeout: float) -> None:
        self._ray, self._remote, self._pickled, self._job, self._timeout = ray, remote, pickled, job, timeout
        self._actors: dict[int, Any] = {}
        self._held: dict[Any, tuple[int, Item]] = {}  # by Ray's reference to the receipt
        self._waiting: list[Item] = []
        self._next = 0
        self._any_done = False

    def map(self, n: int, first: Item, source: Iterator[Item]) -> Iterator[Receipt]:
        """Give items to actors and yield their receipts."""
        self._waiting.append(first)
        for _ in range(n):
            self._start()
        more = True
        while more or self._waiting or self._held:
            if (actor := self._free()) is not None and (more or self._waiting):
                item = self._waiting.pop() if self._waiting else next(source, None)
                if item is None:
                    more = False
                    continue
                self._held[self._actors[actor].work.remote(item)] = actor, item
                timeout = 0.0
            else:
                timeout = LOOK_S if self._any_done else self._timeout
            yield from self._replies(timeout)

    def _start(self) -> None:
        self._actors[self._next] = self._remote.remote(self._pickled)
        self._next += 1
        self._job.n_workers = len(self._actors)

    def _free(self) -> int | None:
        """Return the actor with the fewest items, None if all have enough."""
        counts = dict.fromkeys(self._actors, 0)
        for actor, _ in self._held.values():
            if actor in counts:  # items of an actor that ended are still to be taken back
                counts[actor] += 1
        least = min(counts, key=lambda one: counts[one])
        return least if counts[least] < IN_FLIGHT else None

    def _replies(self, timeout: float) -> Iterator[Receipt]:
        done, _ = self._ray.wait(list(self._held), num_returns=1, timeout=timeout)
        if not done and timeout == self._timeout and not self._any_done:
            raise StudyError(
                f"execution: no worker of the Ray cluster began within {timeout:g} s; see `ray status`, or set "
                "execution.start_timeout"
            )
        for reference in done:
            actor, item = self._held.pop(reference)
            try:
                receipt = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, AutointerpError) else error from error
            except self._ray.exceptions.RayError as error:
                self._lost(actor, item, error)
                continue
            self._any_done = True
            yield receipt

    def _lost(self, actor: int, item: Item, error: Exception) -> None:
        """Take back an item of an actor that ended, and start another actor.

        Raises:
            StoppedError: the item has ended too many.
        """
        self._waiting.append(item)
        if actor in self._actors:
            del self._actors[actor]
            self._start()
            # Ray fails an actor's queued items with it; only the first was being computed.
            if self._job.failed(item.number):
                raise StoppedError(
                    f"execution: {TRIES} workers ended while computing item {item.number} ({_first_line(error)}); what "
                    "is done is kept: run the same command again, with a smaller collection.batch_tokens"
                )

    def close(self) -> None:
        """End the actors, so that their GPUs are free."""
        for actor in self._actors.values():
            self._ray.kill(actor)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
