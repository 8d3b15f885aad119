"""Parquet files: one row per document, the text in one of the columns."""

import itertools
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from autointerp.corpus._files import column_of, document, find
from autointerp.corpus.base import Document, TokenDocument
from autointerp.errors import CorpusError

ROWS = 1024


class Config(BaseModel):
    """Location of the rows, and the column that holds the text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="a .parquet file, a folder of them, or a glob")
    column: str = Field(default="text", description="the column that holds text, chat messages or token ids")


def documents(config: Config) -> Iterator[Document | TokenDocument]:
    """Yield one document per row, in order; rows without text are skipped.

    Raises:
        CorpusError: no file, one that is not parquet, or one without the column as text.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = itertools.count()
    for path in find(config.path, "parquet"):
        try:
            file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise CorpusError(f"corpus: {path} is not a parquet file ({error})") from error
        with file:
            column = column_of(file.schema_arrow.names, config.column, str(path))
            kind = file.schema_arrow.field(column).type
            value = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not _readable(value):
                raise CorpusError(
                    f"corpus: {path}: column {column!r} is {kind}, neither text nor token ids; set corpus.column"
                )
            try:
                for batch in file.iter_batches(batch_size=ROWS, columns=[column]):
                    for cell in batch.column(0).to_pylist():
                        yield from document(ids, cell, column, str(path))
            except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
                raise CorpusError(f"corpus: {path}: column {column!r} cannot be read as text ({error})") from error


def _readable(kind: Any) -> bool:
    """Return whether an Arrow type is text, a list of structures (chat messages) or a list of integers (token ids)."""
    import pyarrow.types as types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return types.is_struct(kind.value_type) or types.is_integer(kind.value_type)
    return types.is_string(kind) or types.is_large_string(kind)
