"""Plain text files: what separates two documents is a setting."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autointerp.corpus._files import DAMAGED, find, open_text
from autointerp.corpus.base import Document
from autointerp.errors import CorpusError

CHUNK_CHARACTERS = 1 << 20


class Config(BaseModel):
    """Location of the text, and how it is split into documents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="a text file (also .gz, .zst, .bz2, .xz), a folder of .txt files, or a glob")
    split: Literal["auto", "blank_lines", "lines", "separator", "heading", "file"] = Field(
        default="auto",
        description="what ends a document: a blank line, every line, `separator`, a `heading` line, or the file; auto: "
        "`separator` where a file's first MiB has it, else blank lines where it has any, else every line",
    )
    separator: str = Field(
        default="<|endoftext|>", min_length=1, description="text between documents, for split: separator"
    )
    heading: str = Field(
        default=r"^# ", min_length=1, description="regular expression of a document's first line, for split: heading"
    )

    @model_validator(mode="after")
    def _heading_compiles(self) -> "Config":
        try:
            re.compile(self.heading)
        except re.error as error:
            raise ValueError(f"heading {self.heading!r} is not a regular expression ({error})") from error
        return self


def documents(config: Config) -> Iterator[Document]:
    """Yield the files' documents in order; stretches without any visible character are no documents.

    Raises:
        CorpusError: no file, or one that is not UTF-8.
    """
    ids = itertools.count()
    for path in find(config.path, "text"):
        try:
            for text in _texts(path, config):
                if text := text.strip("\n"):
                    if text.isspace():
                        continue
                    yield Document(next(ids), text)
        except UnicodeDecodeError as error:
            raise CorpusError(f"corpus: {path} is not UTF-8 text ({error.reason} at byte {error.start})") from error
        except DAMAGED as error:
            if isinstance(error, CorpusError):
                raise
            raise CorpusError(f"corpus: {path} cannot be read ({error})") from error


def _texts(path: Path, config: Config) -> Iterator[str]:
    split = _guess(path, config.separator) if config.split == "auto" else config.split
    if split in {"separator", "lines"}:
        return _between(path, "\n" if split == "lines" else config.separator)
    if split == "file":
        return _whole(path)
    starts = re.compile(config.heading).search if split == "heading" else None
    return _runs(path, starts)


def _whole(path: Path) -> Iterator[str]:
    with open_text(path) as file:
        yield file.read()


def _guess(path: Path, separator: str) -> str:
    with open_text(path) as file:
        head = file.read(CHUNK_CHARACTERS)
    if separator in head:
        return "separator"
    return "blank_lines" if re.search(r"\S[^\S\n]*\n\s*\n\s*\S", head) else "lines"


def _between(path: Path, separator: str) -> Iterator[str]:
    rest = ""
    with open_text(path) as file:
        while chunk := file.read(CHUNK_CHARACTERS):
            *whole, rest = (rest + chunk).split(separator)
            yield from whole
    yield rest


def _runs(path: Path, starts: object) -> Iterator[str]:
    """Yield runs of lines: from one heading to the next, or from one blank line to the next."""
    lines: list[str] = []
    with open_text(path) as file:
        for line in file:
            ends = starts(line) if callable(starts) else not line.strip()
            if ends and lines:
                yield "".join(lines)
                lines = []
            lines.append(line)
    yield "".join(lines)
