"""Writing a table row by row in flat memory, with the column types of `autointerp.run.tables`."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ARROW = {
    "str": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "list<str>": pa.list_(pa.string()),
    "list<float>": pa.list_(pa.float32()),
}
PANDAS = {"str": "str", "int64": "int64", "float64": "float64", "bool": "bool"}
# Rows gathered before a row group is written: a few tens of MB of judgements.
ROW_GROUP = 50_000


def arrow_schema(columns: dict[str, str]) -> pa.Schema:
    """Turn a table of `autointerp.run.tables` into an Arrow schema."""
    return pa.schema([(name, ARROW[kind]) for name, kind in columns.items()])


class TableWriter:
    """Writes one table row by row in flat memory; it appears under its name only when all rows are in."""

    def __init__(self, path: Path, columns: dict[str, str]) -> None:
        self._schema = arrow_schema(columns)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, object]] = []
        self.n_rows = 0

    def add(self, row: dict[str, object]) -> None:
        """Add one row with exactly the table's columns."""
        self._rows.append(row)
        self.n_rows += 1
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = []
            for field in self._schema:
                values = [row.get(field.name) for row in self._rows]
                # NaN in a text column is how pandas 3 holds a null.
                columns.append(pa.array(values, field.type, from_pandas=pa.types.is_string(field.type)))
            self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
            self._rows = []

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._writer.close()
