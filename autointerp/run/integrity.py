"""Records of the files that a run wrote: rows and sha256 of each, and the checks that readers make with them.

A finished stage lists its files in its marker; an export that is a run of its own lists them in its manifest.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from autointerp.errors import RunDirectoryError

# Version of the tables' columns and of these records, in every manifest. 0: manifests that do not state one;
# 2: `examples` has the column `planted`.
SCHEMA = 2
# A log of prompts with measured latencies: two equal runs differ in it, and no later stage depends on it.
LOGS = ("questions.parquet",)

Record = dict[str, Any]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; it is computed once per process and state of the file."""
    stat = path.stat()
    return _sha256(str(path), (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))


@functools.lru_cache(maxsize=4096)
def _sha256(path: str, _state: tuple[int, ...]) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_of(path: Path, *, name: str = "") -> Record:
    """Return a file's sha256 and, of a parquet file, its number of rows.

    Args:
        path: the file.
        name: the name it will get, if that is not its own yet.
    """
    rows = {"rows": pq.read_metadata(path).num_rows} if (name or path.name).endswith(".parquet") else {}
    return {**rows, "sha256": sha256_of(path)}


def beside(path: Path) -> Record | None:
    """Return the record of a table in the JSON file of its name, if any: `gate.json` lists `gate.parquet`."""
    try:
        found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found.get("table") if path.suffix == ".parquet" and isinstance(found, dict) else None


def matches(path: Path, records: Iterable[Record]) -> bool:
    """Return whether a file exists and is one of those recorded."""
    known = {record.get("sha256") for record in records if isinstance(record, dict)}
    return path.is_file() and sha256_of(path) in known


def digest(outputs: Mapping[str, Record]) -> str:
    """Hash what a stage's outputs hold, for the stages that depend on them; logs are left out."""
    held = sorted((name, record.get("sha256")) for name, record in outputs.items() if name not in LOGS)
    return hashlib.sha256(json.dumps(held).encode()).hexdigest()[:16]


def checksum(manifest: Mapping[str, Any]) -> str:
    """Hash a manifest's entries other than the checksum itself."""
    entries = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(entries, sort_keys=True, default=str).encode()).hexdigest()[:16]


def check_schema(manifest: Mapping[str, Any], path: Path) -> None:
    """Reject a run that a later version of the program wrote.

    Raises:
        RunDirectoryError: its schema version is unknown.
    """
    schema = manifest.get("schema", 0)
    if type(schema) is not int or not 0 <= schema <= SCHEMA:
        raise RunDirectoryError(
            f"{path}: its tables have schema version {schema!r:.20} (written by autointerp "
            f"{manifest.get('autointerp', 'unknown')!s:.20}); this program reads versions 0 to {SCHEMA}: upgrade "
            "autointerp, or use the version that wrote the run"
        )


def read_parquet_error(path: Path, error: Exception) -> RunDirectoryError:
    """Return the error for a file that is not readable parquet."""
    reason = " ".join(str(error).split())[:200]
    return RunDirectoryError(f"{path} cannot be read as parquet ({reason}); restore it, or run again")


# What pyarrow and pandas raise on damaged files and on columns of another type.
UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError, TypeError)
