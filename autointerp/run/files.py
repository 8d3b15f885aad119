"""Files written whole or not at all, and JSON."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autointerp.errors import RunDirectoryError


def fingerprint(*parts: object) -> str:
    """Hash JSON-able parts to 16 hex digits; the order of keys does not matter."""
    text = json.dumps(parts, sort_keys=True, default=str, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file next to `path`, flush it to disk, then rename it to `path`.

    A symbolic link keeps pointing to the file that is replaced; a device or pipe is written to, never replaced.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    if path.exists() and not path.is_file() and not path.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            write(whole := Path(folder) / "whole")
            with whole.open("rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name[:150]}.{os.uname().nodename[:50]}.{os.getpid()}.partial")
    try:
        write(partial)
        flush(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Make sure that a file's bytes are on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically; NaN is refused, since other readers would not take it."""
    text = json.dumps(value, indent=2, allow_nan=False, default=str, ensure_ascii=False)
    write_atomically(path, lambda partial: partial.write_text(text + "\n", encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        RunDirectoryError: the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunDirectoryError(f"{path} does not exist; did the run finish?") from error
    except (ValueError, RecursionError) as error:
        raise RunDirectoryError(f"{path} is not JSON ({error}); restore it, or run the same command again") from error
