"""JSON lines, plain or gzipped: one object per line, the text in one of its fields."""

import gzip
import itertools
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, Field

from autointerp.corpus._files import column_of, find
from autointerp.corpus.base import Document
from autointerp.errors import CorpusError


class Config(BaseModel):
    """Where the lines are and which field holds the text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="a .jsonl or .jsonl.gz file, a folder of them, or a glob")
    column: str = Field(default="text", description="the field that holds the text")


def documents(config: Config) -> Iterator[Document]:
    """Yield one document per line, in order; null and blank texts are passed over.

    Raises:
        CorpusError: no file, a line that is no JSON object, or one without the field, or bytes that are no UTF-8.
    """
    ids = itertools.count()
    for path in find(config.path, (".jsonl", ".jsonl.gz", ".json.gz", ".ndjson")):
        for number, line in _lines(path):
            if line.strip() and (text := _text(line, config.column, f"{path} line {number}")).strip():
                yield Document(next(ids), text)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                yield number, line
    except UnicodeDecodeError as error:
        raise CorpusError(f"corpus: {path} behind line {number:,} is not UTF-8 ({error.reason})") from error
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"corpus: {path} cannot be read behind line {number:,} ({error})") from error


def _open(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _text(line: str, column: str, where: str) -> str:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"corpus: {where} is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise CorpusError(f"corpus: {where} is a JSON {type(row).__name__}, not an object with a field {column!r}")
    text = row[column_of(list(row), column, where)]
    if text is None:
        return ""
    if not isinstance(text, str):
        raise CorpusError(f"corpus: {where}: field {column!r} is {type(text).__name__}, not text")
    return text
