"""Identify a checkpoint without reading gigabytes again: cached hashes, keyed by the files' size and time.

`remember` writes down the hash of an opened dictionary; `recall` gives it back while source, listing and every file
that was read still look the same: size, times of change of content and of inode, inode and device. A file that
changed less than `SETTLED` seconds before it was opened is not remembered: its clock may not tell the next change.
"""

import json
import time
from pathlib import Path
from typing import Any

from autointerp.dictionaries.base import DictionaryConfig
from autointerp.dictionaries.files import Files, find
from autointerp.dictionaries.spec import Dictionary
from autointerp.run.store import write_json

# Some network file systems keep whole seconds.
SETTLED = 2.0


def recall(config: DictionaryConfig, memory: Path) -> str | None:
    """Return the sha256 over the files of a dictionary that was opened before; None where it must be opened to tell.

    Raises:
        DictionaryError: the checkpoint no longer exists.
    """
    kept = _kept(memory).get(_key(config))
    if kept is None:
        return None
    files = find(config.source, config.revision)
    same = kept["listing"] == _listing(files) and kept["looks"] == _looks(files, kept["looks"])
    return str(kept["sha256"]) if same else None


def remember(config: DictionaryConfig, dictionary: Dictionary, memory: Path, *, began: float) -> None:
    """Keep the hash of an opened dictionary in the file `memory`; `began` is `time.time()` before it was opened."""
    files = find(config.source, config.revision)
    if files.source != dictionary.provenance.source:  # a branch on the hub moved meanwhile
        return
    looks = _looks(files, [name for name, _ in dictionary.provenance.files])
    changed = max((max(seen["content"], seen["inode_changed"]) for seen in looks.values()), default=0) / 1e9
    if changed > began - SETTLED:
        return
    entry = {"sha256": dictionary.provenance.sha256, "listing": _listing(files), "looks": looks, "at": time.time()}
    write_json(memory, _kept(memory) | {_key(config): entry})


def _key(config: DictionaryConfig) -> str:
    return config.model_dump_json()


def _kept(memory: Path) -> dict[str, Any]:
    """Read the memory; one that cannot be read remembers nothing."""
    try:
        kept = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _listing(files: Files) -> list[str]:
    return [files.source, *files.names]


def _looks(files: Files, names: Any) -> dict[str, dict[str, int]]:
    """Return size and time of each named file; missing ones are left out."""
    found = {}
    for name in names:
        if name in files.names:
            stat = files.path(name).stat()
            found[name] = {
                "size": stat.st_size,
                "content": stat.st_mtime_ns,
                "inode_changed": stat.st_ctime_ns,
                "inode": stat.st_ino,
                "device": stat.st_dev,
            }
    return found
