"""A run directory is written by one process at a time."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autointerp.errors import RunDirectoryError
from autointerp.run.store import Run

# What flock says where the file system has no locks.
UNSUPPORTED = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}
HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


@contextmanager
def claimed(path: Path) -> Iterator[Run]:
    """Hold a run directory for this process alone; create it if it does not exist.

    Raises:
        RunDirectoryError: another process works in it, or it cannot be created, locked or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / ".lock").open("a")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RunDirectoryError(f"run directory {path} cannot be written: {reason}; choose another --out") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                raise RunDirectoryError(
                    f"another process is working in {path}; wait for it, or choose another --out"
                ) from error
            if error.errno not in UNSUPPORTED:
                raise RunDirectoryError(f"run directory {path} cannot be locked: {error.strerror}") from error
            with _lock_file(path / ".lock.owner"):
                yield Run(path)
            return
        yield Run(path)


@contextmanager
def _lock_file(path: Path) -> Iterator[None]:
    """Hold a lock file that names host and process, for file systems without flock (some of Lustre and NFS)."""
    owner = f"{socket.gethostname()} {os.getpid()}"
    try:
        _write_new(path, owner)
    except FileExistsError:
        _take_over(path, owner)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _write_new(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)


def _take_over(path: Path, owner: str) -> None:
    """Replace the lock file of a process that has ended; only one process at a time may do so.

    Raises:
        RunDirectoryError: its holder may still run, or another process is just taking it over.
    """
    guard = path.with_name(f"{path.name}.takeover")
    try:
        _write_new(guard, owner)
    except FileExistsError as error:
        raise _held(path, f"remove {guard} if it stays") from error
    try:
        holder = path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""
        if not _ended(holder):
            hint = f"remove {path} if that process has ended (this file system has no flock)"
            raise _held(path, f"host and process {holder or 'unknown'}: {hint}")
        replacement = path.with_name(f"{path.name}.{os.getpid()}")
        replacement.write_text(owner, encoding="utf-8")
        replacement.replace(path)
    finally:
        guard.unlink(missing_ok=True)


def _held(path: Path, reason: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"another process is working in {path.parent} ({reason}); wait for it, or choose another --out"
    )


def _ended(holder: str) -> bool:
    """Return whether the process that holds a lock file ran on this host and has ended."""
    host, _, process = holder.partition(" ")
    if host != socket.gethostname() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
