"""Recorded answers of a run's judge, for training another one."""

from pathlib import Path

from autointerp.asking.responses import Store
from autointerp.errors import RunDirectoryError
from autointerp.judge_training import recorded
from autointerp.judge_training.train import Recorded


def answers(run: Path) -> tuple[list[Recorded], int]:
    """Return the judge's answers in a run's response store, and how many replies hold none.

    Raises:
        RunDirectoryError: the run has no response store.
    """
    path = run / "responses.sqlite"
    if not path.is_file():
        raise RunDirectoryError(f"{run} holds no responses.sqlite; name a run directory that was scored with its cache")
    store = Store(path)
    try:
        return recorded.recorded(list(store.export()))
    finally:
        store.close()
