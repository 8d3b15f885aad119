"""The log of a training run as TensorBoard events as well, where that is asked for."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from autointerp.errors import StudyError

FOLDER = "tensorboard"
SHOWN = ("fvu", "loss", "gradient_norm", "dead_share", "lr")


class Board:
    """Writes log lines under `<out>/tensorboard`, one run per dictionary; does nothing unless `wanted`.

    Raises:
        StudyError: it is requested, and TensorBoard is not installed.
    """

    def __init__(self, out: Path, step: int, *, wanted: bool) -> None:
        self._folder, self._step = out / FOLDER, step
        self._writers: dict[str, Any] = {}
        self._make: Any = None
        if wanted:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise StudyError(
                    f"training.tensorboard: true, but TensorBoard is not here ({error}): pip install tensorboard, or "
                    "leave the setting out; log.jsonl tells the same"
                ) from error
            self._make = SummaryWriter

    def write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Add the lines of one step; what an interrupted run had written after `step` is taken back."""
        if self._make is None:
            return
        for line in lines:
            name = f"{line['module']}/{line['architecture']}_m{line['n_latents']}_k{line['k']}_seed{line['seed']}"
            if name not in self._writers:
                self._writers[name] = self._make(str(self._folder / name), purge_step=self._step)
            for quantity in SHOWN:
                self._writers[name].add_scalar(quantity, line[quantity], line["step"])

    def close(self) -> None:
        """Write what is still buffered."""
        for writer in self._writers.values():
            writer.close()
