"""Parquet files: one row per document, the text in one of the columns."""

import itertools
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from autointerp.corpus._files import column_of, find
from autointerp.corpus.base import Document
from autointerp.errors import CorpusError

ROWS = 1024


class Config(BaseModel):
    """Where the rows are and which column holds the text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="a .parquet file, a folder of them, or a glob")
    column: str = Field(default="text", description="the column that holds the text")


def documents(config: Config) -> Iterator[Document]:
    """Yield one document per row, in order; rows without text are passed over.

    Raises:
        CorpusError: no file, one that is not parquet, or one without the column as text.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = itertools.count()
    for path in find(config.path, (".parquet",)):
        try:
            file = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise CorpusError(f"corpus: {path} is not a parquet file ({error})") from error
        with file:
            column = column_of(file.schema_arrow.names, config.column, str(path))
            kind = file.schema_arrow.field(column).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise CorpusError(f"corpus: {path}: column {column!r} is {kind}, not text; set corpus.column")
            try:
                for batch in file.iter_batches(batch_size=ROWS, columns=[column]):
                    for text in batch.column(0).to_pylist():
                        if text and text.strip():
                            yield Document(next(ids), text)
            except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
                raise CorpusError(f"corpus: {path}: column {column!r} cannot be read as text ({error})") from error
