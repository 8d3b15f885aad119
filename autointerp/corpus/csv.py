"""Tables of comma- or tab-separated values: one row per document, the text in one of the columns."""

import csv
import itertools
import sys
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from autointerp.corpus._files import DAMAGED, column_of, find, open_text
from autointerp.corpus.base import Document
from autointerp.errors import CorpusError


class Config(BaseModel):
    """Location of the rows, and the column that holds the text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="a .csv or .tsv file (also .gz, .zst, .bz2, .xz), a folder of them, or a glob")
    column: str = Field(default="text", description="the column that holds the text, by its name in the first row")


def documents(config: Config) -> Iterator[Document]:
    """Yield one document per row, in order; rows without text are skipped.

    Raises:
        CorpusError: no file, one without the column, or one that cannot be read.
    """
    csv.field_size_limit(sys.maxsize)
    ids = itertools.count()
    for path in find(config.path, "csv"):
        number = 0
        try:
            with open_text(path) as file:
                rows = csv.reader(file, delimiter="\t" if ".tsv" in path.suffixes else ",", strict=True)
                names = next(rows, [])
                at = names.index(column_of(names, config.column, str(path)))
                for row in rows:
                    number += 1
                    if len(row) > at and row[at].strip():
                        yield Document(next(ids), row[at])
        except CorpusError:
            raise
        except (*DAMAGED, csv.Error) as error:
            raise CorpusError(f"corpus: {path} cannot be read after row {number:,} ({error})") from error
