"""A worker that claims items from a folder: each is computed by one worker at a time, without locks or a server."""

import os
import pickle
import threading
import time
import traceback
from pathlib import Path

from autointerp.errors import AutointerpError
from autointerp.execution.base import Counter, here, open_worker

ITEM, CLAIM, RECEIPT, ERROR, JOB, STOP = "item", "claim", "receipt", "error", "job", "stop"
# Seconds between two looks at a folder without work.
LOOK_S = 0.2


def put(path: Path, content: bytes) -> None:
    """Write a file that is complete or absent."""
    partial = path.with_name(f".{path.name}.{here()}.{threading.get_ident()}")
    partial.write_bytes(content)
    partial.replace(path)


def work(folder: str, stale_s: float) -> None:
    """Compute items of a folder until the driver says stop, or is gone for good."""
    place = Path(folder)
    try:
        worker = open_worker((place / JOB).read_bytes())
        while not (place / STOP).exists() and place.exists():
            if (number := claim(place, stale_s)) is None:
                time.sleep(LOOK_S)
                continue
            item = pickle.loads((place / f"{number}.{ITEM}").read_bytes())
            with _Heartbeat(place / f"{number}.{CLAIM}", stale_s / 4):
                receipt = worker(item, Counter())
            put(place / f"{number}.{RECEIPT}", pickle.dumps(receipt))
    except AutointerpError as error:
        put(place / f"{here()}.{ERROR}", pickle.dumps(error))
    except FileNotFoundError:
        if place.exists():
            raise
    except Exception as error:
        traceback.print_exc()
        put(place / f"{here()}.{ERROR}", pickle.dumps(RuntimeError(f"{here()}: {type(error).__name__}: {error}")))


def claim(folder: Path, stale_s: float) -> int | None:
    """Claim an item that nobody computes; None if there is none now."""
    for path in sorted(folder.glob(f"*.{ITEM}"), key=lambda one: int(one.stem)):
        if path.with_suffix(f".{RECEIPT}").exists():
            continue
        mine = path.with_suffix(f".{CLAIM}")
        if _age(mine, folder) > stale_s:
            # Whoever renames the old claim may claim the item; the others find no file to rename.
            try:
                mine.rename(mine.with_suffix(f".stale-{here()}"))
            except FileNotFoundError:
                continue
        try:
            with mine.open("x") as file:
                file.write(here())
        except FileExistsError:
            continue
        # It may have been done between the first look and the claim.
        if not path.with_suffix(f".{RECEIPT}").exists():
            return int(path.stem)
    return None


def _age(path: Path, folder: Path) -> float:
    """Return the seconds since a file was touched, by the file system's own clock; 0 if there is none."""
    clock = folder / f".clock.{here()}"
    try:
        touched = path.stat().st_mtime
        clock.touch()
        return clock.stat().st_mtime - touched
    except FileNotFoundError:
        return 0.0


class _Heartbeat:
    """Touches a claim while its item is computed."""

    def __init__(self, path: Path, every_s: float) -> None:
        self._path, self._every_s, self._ended = path, every_s, threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _beat(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                os.utime(self._path)
            except OSError:
                return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
