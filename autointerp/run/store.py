"""The run directory: tables and markers in and out, atomically; what may be reused, and what changed.

Layout: `study.yaml` replays the run, `manifest.json` says what happened, `<table>.parquet` are `autointerp.run.tables`,
`stages/<stage>.json` marks a finished stage. A marker is written last, and carries the fingerprint of all the stage
depends on; a stage without a marker of the right fingerprint is done again.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from autointerp.errors import RunDirectoryError
from autointerp.run import tables

ARROW = {
    "str": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_(),
    "list<str>": pa.list_(pa.string()), "list<float>": pa.list_(pa.float32()),
}  # fmt: skip
PANDAS = {"str": "str", "int64": "int64", "float64": "float64", "bool": "bool"}
# Rows gathered before a row group is written: a few tens of MB of judgements.
ROW_GROUP = 50_000


def fingerprint(*parts: object) -> str:
    """Hash JSON-able parts to 16 hex digits; the order of keys does not matter."""
    text = json.dumps(parts, sort_keys=True, default=str, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary neighbour of `path`, flush it to disk, then put it in place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically; NaN is refused, since other readers would not take it."""
    text = json.dumps(value, indent=2, allow_nan=False, default=str, ensure_ascii=False)
    write_atomically(path, lambda partial: partial.write_text(text + "\n", encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        RunDirectoryError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunDirectoryError(f"{path} is not JSON ({error}); was it edited? delete it to redo its stage") from error


def arrow_schema(columns: dict[str, str]) -> pa.Schema:
    """Turn a table of `autointerp.run.tables` into an Arrow schema."""
    return pa.schema([(name, ARROW[kind]) for name, kind in columns.items()])


class TableWriter:
    """Writes one table row by row in flat memory; it appears under its name only when all rows are in."""

    def __init__(self, path: Path, columns: dict[str, str]) -> None:
        self._schema = arrow_schema(columns)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, object]] = []
        self.n_rows = 0

    def add(self, row: dict[str, object]) -> None:
        """Add one row with exactly the table's columns."""
        self._rows.append(row)
        self.n_rows += 1
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._writer.close()


class Run:
    """One run directory, for reading and writing tables and markers. Needs no torch."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __truediv__(self, name: str) -> Path:
        """Return the path of a file in the run directory."""
        return self.path / name

    # -- tables

    def has(self, table: str) -> bool:
        """Tell whether a table is there."""
        return (self.path / f"{table}.parquet").exists()

    def read(self, table: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Read a table.

        Raises:
            RunDirectoryError: it is not there, or is no parquet.
        """
        path = self.path / f"{table}.parquet"
        if not path.exists():
            there = sorted(file.stem for file in self.path.glob("*.parquet")) or "no tables"
            raise RunDirectoryError(f"{self.path} has no {path.name} (it has {there}); did its run finish?")
        try:
            return pd.read_parquet(path, columns=columns)
        except (OSError, pa.ArrowInvalid) as error:
            raise RunDirectoryError(f"{path} cannot be read as parquet ({error}); delete it and run again") from error

    def write(self, table: str, rows: pd.DataFrame, columns: dict[str, str] | None = None) -> None:
        """Write a whole table atomically; with `columns` it must have them, and gets their types."""
        if columns is not None:
            rows = tables.check(rows, columns, table)
            rows = rows.astype({name: PANDAS[kind] for name, kind in columns.items() if kind in PANDAS})
        write_atomically(
            self.path / f"{table}.parquet",
            lambda partial: rows.to_parquet(partial, index=False, compression="zstd"),
        )

    @contextmanager
    def writing(self, table: str, columns: dict[str, str]) -> Iterator[TableWriter]:
        """Write a table row by row; it is put in place when the block ends without an error."""
        partial = self.path / f".{table}.parquet.partial"
        writer = TableWriter(partial, columns)
        try:
            yield writer
            writer.close()
            partial.replace(self.path / f"{table}.parquet")
        finally:
            partial.unlink(missing_ok=True)

    def sort(self, table: str, by: list[str]) -> None:
        """Put a table's rows in order, so that it is the same whatever order replies came in."""
        path = self.path / f"{table}.parquet"
        rows = pq.read_table(path).sort_by([(name, "ascending") for name in by])
        write_atomically(path, lambda partial: pq.write_table(rows, partial, compression="zstd"))

    # -- stages

    def finished(self, stage: str, mark: str) -> bool:
        """Tell whether a stage is done with this very fingerprint."""
        path = self.path / "stages" / f"{stage}.json"
        return path.exists() and read_json(path).get("fingerprint") == mark

    def finish(self, stage: str, mark: str, *, seconds: float, counts: dict[str, object]) -> None:
        """Mark a stage as done; call it after all its outputs are in place."""
        marker = {"fingerprint": mark, "seconds": round(seconds, 3), "counts": counts, "finished": now()}
        write_json(self.path / "stages" / f"{stage}.json", marker)

    def stages(self) -> dict[str, dict[str, Any]]:
        """Return the markers of all finished stages."""
        return {path.stem: read_json(path) for path in sorted((self.path / "stages").glob("*.json"))}

    # -- what the run says of itself

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest; empty before the first stage."""
        path = self.path / "manifest.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except ValueError as error:
            raise RunDirectoryError(f"{path} is no JSON ({error}); restore it, or run again") from error
        if not isinstance(found, dict):
            raise RunDirectoryError(f"{path} holds {type(found).__name__}, not a JSON object; restore it, or run again")
        return found

    def update_manifest(self, **entries: object) -> None:
        """Replace these entries of the manifest, and bring its stages up to date."""
        write_json(self.path / "manifest.json", {**self.manifest, **entries, "stages": self.stages()})


@contextmanager
def claimed(path: Path) -> Iterator[Run]:
    """Hold a run directory for this process alone, making it where it is not there.

    Raises:
        RunDirectoryError: another process works in it, or it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / ".lock").open("a")
    except OSError as error:
        raise RunDirectoryError(
            f"run directory {path} cannot be written: {error.strerror}; choose another --out"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunDirectoryError(
                f"another process is working in {path}; wait for it, or choose another --out"
            ) from error
        yield Run(path)


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def open_run(path: Path | str) -> Run:
    """Open an existing run directory.

    Raises:
        RunDirectoryError: there is none.
    """
    path = Path(path)
    if not (path / "manifest.json").exists() and not (path / "judgements.parquet").exists():
        raise RunDirectoryError(f"{path} is no run directory: it has neither manifest.json nor judgements.parquet")
    return Run(path)
