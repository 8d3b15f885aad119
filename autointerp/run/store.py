"""The run directory: tables and markers in and out, atomically; what may be reused, and what changed.

Layout: `study.yaml` replays the run, `manifest.json` says what happened, `<table>.parquet` are `autointerp.run.tables`,
`stages/<stage>.json` marks a finished stage. A marker is written last. It carries the fingerprint of all settings the
stage depends on, what the stages before it wrote, and rows and sha256 of its own files: a stage whose settings, inputs
or files differ is done again, and a reader rejects a file that no marker lists.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from autointerp.errors import RunDirectoryError, TableError
from autointerp.run import integrity, tables
from autointerp.run.files import fingerprint, flush, read_json, write_atomically, write_json
from autointerp.run.manifest import read_manifest, schema_of, write_manifest
from autointerp.run.writer import PANDAS, TableWriter

__all__ = ["Run", "TableWriter", "fingerprint", "now", "open_run", "read_json", "write_atomically", "write_json"]

# Lists the files of a stage that is not finished.
PENDING = Path("stages") / "pending"


class Run:
    """One run directory, for reading and writing tables and markers. Needs no torch."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._written: dict[str, integrity.Record] = {}

    def __truediv__(self, name: str) -> Path:
        """Return the path of a file in the run directory."""
        return self.path / name

    # -- tables

    def has(self, table: str) -> bool:
        """Return whether the run has a table.

        Raises:
            RunDirectoryError: the run wrote it and it is missing.
        """
        return self.includes(f"{table}.parquet")

    def includes(self, name: str) -> bool:
        """Return whether the run has a file; as `has`."""
        if (self.path / name).exists():
            return True
        if self._records(name):
            raise RunDirectoryError(f"{self.path} lacks {name}, which this run wrote; {self._restore()}")
        return False

    def verified(self, name: str) -> Path:
        """Return the path of one of the run's files after checking that it is what the run wrote.

        Files of runs that kept no records (schema version 0) are taken as they are.

        Raises:
            RunDirectoryError: it is missing, was changed, or is not listed by the run.
        """
        path, records = self.path / name, self._records(name)
        if not path.exists():
            if records:
                raise RunDirectoryError(f"{self.path} lacks {name}, which this run wrote; {self._restore()}")
            there = sorted(file.stem for file in self.path.glob("*.parquet")) or "no tables"
            raise RunDirectoryError(f"{self.path} has no {name} (it has {there}); did its run finish?")
        if records and not integrity.matches(path, records):
            raise RunDirectoryError(
                f"{path} is not the file this run wrote (its sha256 differs: changed, cut short or copied from another "
                f"run); {self._restore()}"
            )
        if not records and name != "manifest.json" and self.manifest.get("schema", 0):
            raise RunDirectoryError(
                f"{path} is not listed by this run: it belongs to another run or an unfinished stage; {self._restore()}"
            )
        return path

    def _restore(self) -> str:
        if isinstance(self.manifest.get("tables"), dict):
            return "restore it, or export the run again"
        return (
            f"restore it, or repeat the `autointerp score` command with --out {self.path}: only what is damaged is "
            "done again, from stored LLM replies"
        )

    def _records(self, name: str) -> list[integrity.Record]:
        """Return the states of a file that the run recorded: one per stage that wrote it."""
        manifest = self.manifest
        if name == "manifest.json":  # has its own checksum
            return []
        if name == "study.yaml":
            return [manifest["study_file"]] if "study_file" in manifest else []
        exported = manifest.get("tables")
        if isinstance(exported, dict):
            lists = [exported]
        else:
            lists = [*(marker.get("outputs") or {} for marker in self._markers().values()), self._pending()]
        beside = integrity.beside(self.path / name)
        return [outputs[name] for outputs in lists if name in outputs] + ([beside] if beside else [])

    def read(self, table: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Read a table; a null text is None in it, under every version of pandas.

        Raises:
            RunDirectoryError: it is missing, was changed, or is not parquet.
        """
        path = self.verified(f"{table}.parquet")
        try:
            return nulls_as_none(pd.read_parquet(path, columns=columns))
        except integrity.UNREADABLE as error:
            raise integrity.read_parquet_error(path, error) from error

    def table(self, table: str, columns: dict[str, str]) -> pd.DataFrame:
        """Read a table and check its columns.

        Raises:
            RunDirectoryError: it cannot be read.
            TableError: columns are missing or of another type; the message names the versions that differ.
        """
        try:
            return tables.check(self.read(table), columns, table)
        except TableError as error:
            schema = self.manifest.get("schema", 0)
            if schema == integrity.SCHEMA:
                raise
            raise TableError(
                f"{self.path}: {error} (its tables have schema version {schema}, written by autointerp "
                f"{self.manifest.get('autointerp', 'unknown')}; this program writes version {integrity.SCHEMA})"
            ) from error

    def write(self, table: str, rows: pd.DataFrame, columns: dict[str, str] | None = None) -> None:
        """Write a whole table atomically; with `columns` it must have them, and gets their types."""
        if columns is not None:
            rows = tables.check(rows, columns, table)
            rows = rows.astype({name: PANDAS[kind] for name, kind in columns.items() if kind in PANDAS})
        with self._placing(f"{table}.parquet") as partial:
            rows.to_parquet(partial, index=False, compression="zstd")

    @contextmanager
    def writing(self, table: str, columns: dict[str, str]) -> Iterator[TableWriter]:
        """Write a table row by row; it replaces the old one when the block ends without an error."""
        with self._placing(f"{table}.parquet") as partial:
            writer = TableWriter(partial, columns)
            yield writer
            writer.close()

    def sort(self, table: str, by: list[str]) -> None:
        """Put a table's rows in order, so that it is the same whatever order replies came in."""
        rows = pq.read_table(self.verified(f"{table}.parquet")).sort_by([(name, "ascending") for name in by])
        with self._placing(f"{table}.parquet") as partial:
            pq.write_table(rows, partial, compression="zstd")

    def write_json(self, name: str, value: object) -> None:
        """Write a JSON file that belongs to the stage's outputs."""
        with self._placing(name) as partial:
            write_json(partial, value)

    @contextmanager
    def _placing(self, name: str) -> Iterator[Path]:
        """Yield a temporary path; its file is recorded and moved to `name`."""
        self.path.mkdir(parents=True, exist_ok=True)
        partial = self.path / f".{name}.partial"
        try:
            yield partial
            flush(partial)
            pending = {**self._pending(), name: integrity.record_of(partial, name=name)}
            write_json(self.path / PENDING, {"run": self.manifest.get("run"), "outputs": pending})
            self._written[name] = pending[name]
            partial.replace(self.path / name)
        finally:
            partial.unlink(missing_ok=True)

    # -- stages

    def finished(
        self, stage: str, mark: str, *, inputs: Mapping[str, str] | None = None, later: Sequence[str] = ()
    ) -> bool:
        """Return whether a stage is done with this fingerprint and these inputs, and its files are intact.

        Args:
            stage: the stage.
            mark: its fingerprint.
            inputs: `digests` of the stages it depends on; None does not compare them.
            later: stages that may have written the same files after it.
        """
        return self.current(stage, mark, inputs) and not self.damaged(stage, later)

    def current(self, stage: str, mark: str, inputs: Mapping[str, str] | None = None) -> bool:
        """Return whether a stage was done with this fingerprint and these inputs, whatever became of its files."""
        marker = self._markers().get(stage)
        if marker is None or marker.get("fingerprint") != mark:
            return False
        return inputs is None or marker.get("inputs") == dict(inputs)

    def damaged(self, stage: str, later: Sequence[str] = ()) -> list[str]:
        """List the files of a stage that are missing or changed since it, or a later stage, wrote them."""
        markers = self._markers()
        lists = [markers[name].get("outputs") or {} for name in (stage, *later) if name in markers]
        lists.append(self._pending())
        return [
            name
            for name in (lists[0] if stage in markers else ())
            if not integrity.matches(self.path / name, [outputs[name] for outputs in lists if name in outputs])
        ]

    def digests(self, stages: Sequence[str]) -> dict[str, str]:
        """Return a hash of what each finished stage wrote."""
        markers = self._markers()
        return {name: integrity.digest(markers[name].get("outputs") or {}) for name in stages if name in markers}

    def finish(
        self,
        stage: str,
        mark: str,
        *,
        seconds: float,
        counts: dict[str, object],
        inputs: Mapping[str, str] | None = None,
    ) -> None:
        """Mark a stage as done; call it after writing all its outputs. What it wrote before and no more is removed."""
        marker = {
            "run": self.manifest.get("run"),
            "fingerprint": mark,
            "seconds": round(seconds, 3),
            "counts": counts,
            "finished": now(),
            "inputs": dict(inputs or {}),
            "outputs": dict(self._written),
        }
        for name in self._outdated(stage):
            (self.path / name).unlink(missing_ok=True)
        write_json(self.path / "stages" / f"{stage}.json", marker)
        (self.path / PENDING).unlink(missing_ok=True)
        self._written.clear()

    def _outdated(self, stage: str) -> set[str]:
        """Return files of an earlier or unfinished attempt at a stage that it did not write again."""
        listed = {name: set(marker.get("outputs") or {}) for name, marker in self._markers().items()}
        before = listed.pop(stage, set()) | set(self._pending())
        return before.difference(self._written, *listed.values())

    def stages(self) -> dict[str, dict[str, Any]]:
        """Return the markers of all finished stages; those that are damaged or of another run are left out."""
        return self._markers()

    def _markers(self) -> dict[str, dict[str, Any]]:
        own, found = self.manifest.get("run"), {}
        for path in sorted((self.path / "stages").glob("*.json")):
            try:
                marker = read_json(path)
            except (RunDirectoryError, OSError):
                continue
            if isinstance(marker, dict) and marker.get("run") == own and isinstance(marker.get("outputs", {}), dict):
                found[path.stem] = marker
        return found

    def _pending(self) -> dict[str, integrity.Record]:
        """Return the records of files that a stage has written but not finished."""
        try:
            found = read_json(self.path / PENDING)
        except (RunDirectoryError, OSError):
            return {}
        same = isinstance(found, dict) and found.get("run") == self.manifest.get("run")
        return found["outputs"] if same and isinstance(found.get("outputs"), dict) else {}

    # -- what the run says of itself

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest; empty before the first stage.

        Raises:
            RunDirectoryError: it is not what the run wrote, or of a later schema version.
        """
        return read_manifest(self.path)

    def update_manifest(self, **entries: object) -> None:
        """Replace these entries of the manifest, and bring its stages up to date."""
        write_manifest(self.path, {**self.manifest, **entries, "stages": self.stages()})

    def begin(self) -> str:
        """Prepare for work: give a new run its identity, and drop a manifest that is damaged.

        Returns:
            why everything has to be done again, or "".
        """
        try:
            manifest, problem = self.manifest, ""
        except RunDirectoryError as error:
            manifest, problem = {}, str(error)
            integrity.check_schema(schema_of(self.path), self.path / "manifest.json")
            (self.path / "manifest.json").unlink()
        if "run" not in manifest or "tables" in manifest:
            manifest = {name: value for name, value in manifest.items() if name not in ("tables", "stages")}
            if not problem and any((self.path / "stages").glob("*.json")):
                problem = f"{self.path}: its stages belong to another manifest"
            write_manifest(self.path, {**manifest, "run": uuid.uuid4().hex[:16]})
        return problem


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def open_run(path: Path | str) -> Run:
    """Open an existing run directory for reading.

    Raises:
        RunDirectoryError: there is none, or its manifest and markers are not of one run.
    """
    path = Path(path)
    try:
        if not (path / "manifest.json").exists() and not (path / "judgements.parquet").exists():
            raise RunDirectoryError(f"{path} is not a run directory: no manifest.json, no judgements.parquet")
    except (OSError, ValueError) as error:
        if isinstance(error, RunDirectoryError):
            raise
        raise RunDirectoryError(
            f"run directory {str(path)[:200]!r} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    run = Run(path)
    kept = set() if "tables" in run.manifest else {file.stem for file in (path / "stages").glob("*.json")}
    if foreign := sorted(kept - set(run.stages())):
        raise RunDirectoryError(
            f"{path}: manifest.json and stages/{foreign[0]}.json are not of one run, or damaged; restore them, or "
            "repeat the `autointerp score` command that made the run"
        )
    return run


def nulls_as_none(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with None for nulls in text columns, where pandas 3 has NaN."""
    for name in table.columns:
        column = table[name]
        if pd.api.types.is_string_dtype(column.dtype) and column.isna().any():
            table[name] = column.astype(object).where(column.notna(), None)
    return table
