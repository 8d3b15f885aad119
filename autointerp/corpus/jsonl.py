"""JSON: one object per line, or an array of objects; plain or compressed; the text in one of the fields."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from autointerp.corpus._files import DAMAGED, column_of, document, find, lines_of, open_text
from autointerp.corpus.base import Document, TokenDocument
from autointerp.errors import CorpusError

CHUNK_CHARACTERS = 1 << 20


class Config(BaseModel):
    """Location of the objects, and the field that holds the text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="a .jsonl or .json file (also .gz, .zst, .bz2, .xz), a folder of them, or a glob")
    column: str = Field(default="text", description="the field that holds text, chat messages or token ids")


def documents(config: Config) -> Iterator[Document | TokenDocument]:
    """Yield one document per object, in order; null and blank texts are skipped.

    Raises:
        CorpusError: no file, a line that is not a JSON object, one without the field, or bytes that are not UTF-8.
    """
    ids = itertools.count()
    for path in find(config.path, "jsonl"):
        for where, row in _array(path) if _is_array(path) else _lines(path):
            if not isinstance(row, dict):
                raise CorpusError(
                    f"corpus: {where} is a JSON {type(row).__name__}, not an object with a field {config.column!r}"
                )
            column = column_of(list(row), config.column, where)
            yield from document(ids, row[column], column, where)


def _lines(path: Path) -> Iterator[tuple[str, object]]:
    for number, line in lines_of(path):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"corpus: {where} is not JSON ({error})") from error
        yield where, row


def _is_array(path: Path) -> bool:
    """Return whether a file is one JSON array of objects rather than a value per line."""
    try:
        with open_text(path) as file:
            head = file.read(4096).lstrip()
    except DAMAGED:
        return False  # reading its lines says what is wrong
    return head.startswith("[") and head[1:].lstrip()[:1] in ("{", "]", "")


def _array(path: Path) -> Iterator[tuple[str, object]]:
    """Yield the members of a JSON array, read piece by piece."""
    decoder, rest, number, ended = json.JSONDecoder(), "", 0, False
    try:
        with open_text(path) as file:
            rest = file.read(CHUNK_CHARACTERS).lstrip()[1:]
            while True:
                rest = rest.lstrip(" \t\r\n,")
                if rest.startswith("]"):
                    return
                try:
                    value, end = decoder.raw_decode(rest)
                except ValueError as error:
                    if ended:
                        raise CorpusError(f"corpus: {path} item {number + 1} is not JSON ({error})") from error
                    more = file.read(max(CHUNK_CHARACTERS, len(rest)))
                    rest, ended = rest + more, not more
                    continue
                number += 1
                yield f"{path} item {number}", value
                rest = rest[end:]
    except UnicodeDecodeError as error:
        raise CorpusError(f"corpus: {path} after item {number:,} is not UTF-8 ({error.reason})") from error
    except (*DAMAGED, RecursionError) as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(f"corpus: {path} cannot be read after item {number:,} ({error})") from error
