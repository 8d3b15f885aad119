"""Run everything in this process, one item after the other: the default."""

from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict

from autointerp.execution.base import Item, Job, Receipt


class Config(BaseModel):
    """No settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def run(config: Config, job: Job, items: Iterable[Item]) -> Iterator[Receipt]:
    """Yield a receipt for each item, in order."""
    worker = None
    for item in items:
        worker = worker or job.local()
        yield worker(item, job.bar)
