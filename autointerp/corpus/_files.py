"""Files of a corpus: which kind a path holds, its files in a fixed order, and their text, compressed or not."""

import functools
import glob
import gzip
import io
import lzma
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from autointerp.console import note
from autointerp.corpus.base import Document, TokenDocument
from autointerp.errors import CorpusError

# File endings by corpus member; of the members of text, each may be followed by an ending of COMPRESSED.
KINDS = {
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "text": (".txt", ".text", ".md"),
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet",),
}
# Columns of pre-tokenised data sets, read where there is no `text`.
IDS = ("input_ids", "tokens", "token_ids")
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
# Files that `Dataset.save_to_disk` and `DatasetDict.save_to_disk` of the datasets library leave in their folder.
SAVED = ("state.json", "dataset_dict.json")
# What reading a damaged compressed file raises.
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)


def endings(member: str) -> tuple[str, ...]:
    """Return the file endings that a member reads, compressed ones included."""
    plain = KINDS[member]
    return plain if member == "parquet" else (*plain, *(one + packed for one in plain for packed in COMPRESSED))


def kind_of(path: Path) -> str | None:
    """Return the member that reads a file, by its ending."""
    return next((member for member in KINDS if path.name.lower().endswith(endings(member))), None)


def section(path: str) -> dict[str, Any] | None:
    """Return the corpus section of a study for a local path or glob; None where there is nothing of that name.

    Raises:
        CorpusError: files of no known kind, or a folder with files of several kinds.
    """
    place = Path(path).expanduser()
    if place.is_dir() and any((place / name).is_file() for name in SAVED):
        return {"use": "huggingface", "name": path}
    files = _files(place)
    if not files:
        if place.is_dir():
            raise CorpusError(f"--data {path}: the folder is empty")
        return None
    kinds = Counter(kind_of(file) for file in files)
    known = [kind for kind in kinds if kind is not None]
    if len(known) == 1:
        return {"use": known[0], "path": path}
    held = ", ".join(f"{n:,} {kind or 'other'}" for kind, n in kinds.most_common())
    if not known:
        every = ", ".join(ending for member in KINDS for ending in KINDS[member])
        raise CorpusError(f"--data {path}: {held} files; known endings: {every} (also with {', '.join(COMPRESSED)})")
    example = next(file for file in files if kind_of(file) == known[0])
    raise CorpusError(
        f"--data {path}: files of several kinds ({held}); which are meant? Name them, such as "
        f"--data '{place}/**/*{example.suffix}'"
    )


def find(path: str, member: str) -> list[Path]:
    """List the files that `path` names, sorted; of a folder those of the member's kind, at any depth.

    Raises:
        CorpusError: there is none.
    """
    place = Path(path).expanduser()
    found = _files(place)
    if place.is_dir():
        found = [file for file in found if file.name.lower().endswith(endings(member))]
        if not found:
            raise CorpusError(f"corpus: folder {path!r} holds no file ending in {', '.join(KINDS[member])}")
    elif not found:
        raise CorpusError(f"corpus: {path!r} does not exist; give a file, a folder or a glob such as 'texts/*.txt'")
    _say(member, path, len(found))
    return found


@functools.cache
def _say(member: str, path: str, n: int) -> None:
    note(f"corpus: {n:,} {member} file{'s' * (n != 1)} of {path}")


def _files(place: Path) -> list[Path]:
    """List files, sorted: a file itself, a folder's at any depth (links followed, hidden ones left out), a glob's."""
    if place.is_dir():
        seen: set[str] = set()
        found = []
        for folder, inner, names in os.walk(place, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                inner.clear()
                continue
            seen.add(real)
            inner[:] = [name for name in inner if not name.startswith(".")]
            found += [Path(folder) / name for name in names if not name.startswith(".")]
    elif place.exists():
        found = [place]
    else:
        found = [Path(name) for name in glob.glob(str(place), recursive=True)]  # noqa: PTH207 (paths may be absolute)
    return sorted(file for file in found if file.is_file())


def open_text(path: Path) -> IO[str]:
    """Open a text file, decompressed by its ending; a byte order mark is left out."""
    name = path.name.lower()
    if name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig")
    if name.endswith((".bz2", ".xz", ".zst")):
        return io.TextIOWrapper(_unpacked(path, name.rpartition(".")[2]), encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _unpacked(path: Path, ending: str) -> Any:
    import bz2

    if ending == "bz2":
        return bz2.open(path)
    if ending == "xz":
        return lzma.open(path)
    import pyarrow as pa

    return io.BufferedReader(_Raw(pa.input_stream(str(path), compression="zstd")))


class _Raw(io.RawIOBase):
    """An Arrow stream as Python's buffered readers expect one."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with the next bytes."""
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield a file's lines with their numbers, from 1.

    Raises:
        CorpusError: it is not UTF-8, or damaged.
    """
    number = 0
    try:
        with open_text(path) as file:
            for number, line in enumerate(file, start=1):
                yield number, line
    except UnicodeDecodeError as error:
        raise CorpusError(f"corpus: {path} after line {number:,} is not UTF-8 ({error.reason})") from error
    except DAMAGED as error:
        raise CorpusError(f"corpus: {path} cannot be read after line {number:,} ({error})") from error


def document(numbers: Iterator[int], value: object, column: str, where: str) -> Iterator[Document | TokenDocument]:
    """Yield the document in a row's cell, if any: text, a list of chat messages, or a list of token ids.

    Raises:
        CorpusError: the cell holds something else.
    """
    if isinstance(value, list) and value and all(type(one) is int for one in value):
        yield TokenDocument(next(numbers), tuple(value))
        return
    text = _text(value, column, where)
    if text.strip():
        yield Document(next(numbers), text)


def _text(value: object, column: str, where: str) -> str:
    """Return a cell's text: text itself, "" for null and empty lists, or the contents of a list of chat messages."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(one, dict) and "content" in one for one in value):
        return "\n\n".join(one["content"] for one in value if isinstance(one["content"], str))
    kind = type(value).__name__
    raise CorpusError(f"corpus: {where}: column {column!r} holds {kind}, neither text nor token ids; set corpus.column")


def column_of(row_keys: list[str], column: str, where: str) -> str:
    """Return the column if the data has it; for `text` otherwise a column of token ids, by its usual names.

    Raises:
        CorpusError: it has not; the message lists the fields it has.
    """
    if column in row_keys:
        return column
    ids = next((name for name in IDS if name in row_keys), None) if column == "text" else None
    if ids is None:
        held = ", ".join(row_keys[:20])
        raise CorpusError(f"corpus: {where} has no column {column!r}; it has: {held}; set corpus.column")
    return ids
