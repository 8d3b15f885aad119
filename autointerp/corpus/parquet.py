"""Parquet files: one row per document, the text in one of the columns."""

import itertools
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from autointerp.corpus._files import column_of, find, text_of
from autointerp.corpus.base import Document
from autointerp.errors import CorpusError

ROWS = 1024


class Config(BaseModel):
    """Where the rows are and which column holds the text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="a .parquet file, a folder of them, or a glob")
    column: str = Field(default="text", description="the column that holds the text")


def documents(config: Config) -> Iterator[Document]:
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
            chat = pa.types.is_list(value) and pa.types.is_struct(value.value_type)
            if not (pa.types.is_string(value) or pa.types.is_large_string(value) or chat):
                raise CorpusError(f"corpus: {path}: column {column!r} is {kind}, not text; set corpus.column")
            try:
                for batch in file.iter_batches(batch_size=ROWS, columns=[column]):
                    for cell in batch.column(0).to_pylist():
                        text = text_of(cell, column, str(path))
                        if text.strip():
                            yield Document(next(ids), text)
            except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
                raise CorpusError(f"corpus: {path}: column {column!r} cannot be read as text ({error})") from error
