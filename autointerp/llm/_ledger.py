"""Batches that were submitted, in a file that outlives the process: one JSON object a line, only appended to."""

import json
import os
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from autointerp.errors import RunDirectoryError


@dataclass(slots=True)
class Batch:
    """One batch. `names` are those of its requests whose results are of use; `id` is "" until the provider gave one."""

    key: str
    names: set[str]
    since: float
    id: str = ""
    n: int = field(default=0)


class Ledger:
    """The batches in a file; without a file, those of this process."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.batches: dict[str, Batch] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                self._read(line)

    def _read(self, line: str) -> None:
        try:
            value = json.loads(line)
            key = value["batch"]
            if "names" in value:
                self.batches[key] = Batch(key, set(value["names"]), float(value["since"]), n=len(value["names"]))
            elif "id" in value:
                self.batches[key].id = value["id"]
            else:
                self.batches[key].names -= set(value["spent"])
        except (ValueError, KeyError, TypeError):
            return  # the last line of a process that was killed

    def begin(self, names: Collection[str]) -> Batch:
        """Note that a batch is about to be submitted."""
        batch = Batch(uuid4().hex, set(names), time.time(), n=len(names))
        self.batches[batch.key] = batch
        self._append({"batch": batch.key, "names": sorted(names), "since": batch.since})
        return batch

    def submitted(self, batch: Batch, name: str) -> None:
        """Note what the provider calls a batch."""
        batch.id = name
        self._append({"batch": batch.key, "id": name})

    def spend(self, batch: Batch, names: Collection[str]) -> None:
        """Note requests that a batch left unanswered: they are sent again elsewhere."""
        if names:
            batch.names -= set(names)
            self._append({"batch": batch.key, "spent": sorted(names)})

    def _append(self, value: dict[str, object]) -> None:
        if self.path is None:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                if file.tell() and not self._ends_in_newline():
                    file.write("\n")
                file.write(json.dumps(value) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunDirectoryError(
                f"{self.path} cannot be written ({error.strerror}): no batch is submitted"
            ) from error

    def _ends_in_newline(self) -> bool:
        assert self.path is not None
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
