"""A null text is written, read, copied from table to table and read again as None, under every version of pandas."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from autointerp.run.store import nulls_as_none
from autointerp.run.writer import TableWriter

COLUMNS = {"name": "str", "share": "float64", "n": "int64", "tokens": "list<str>"}


def written(path: Path, rows: list[dict[str, object]]) -> pd.DataFrame:
    writer = TableWriter(path, COLUMNS)
    for row in rows:
        writer.add(row)
    writer.close()
    return nulls_as_none(pd.read_parquet(path))


def test_a_null_text_survives_any_number_of_copies(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"name": "a", "share": 0.5, "n": 1, "tokens": ["x"]},
        {"name": None, "share": float("nan"), "n": 2, "tokens": []},
        {"name": float("nan"), "share": 1.0, "n": 3, "tokens": ["y", "z"]},
    ]
    for copy in range(3):
        table = written(tmp_path / f"{copy}.parquet", rows)
        assert table["name"].tolist() == ["a", None, None]
        assert table["share"].isna().tolist() == [False, True, False]
        rows = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    stored = pq.read_table(tmp_path / "2.parquet")
    assert stored["name"].null_count == 2
    assert stored["share"].null_count == 0  # a number that is not one is no null


@pytest.mark.parametrize("dtype", [object, "string", "str"])
def test_every_kind_of_text_column_has_none_for_nulls(dtype: object) -> None:
    table = nulls_as_none(pd.DataFrame({"a": pd.Series(["x", None], dtype=dtype), "n": [1, 2]}))  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert table["a"].tolist() == ["x", None]
    assert [type(value) for value in table["a"]] == [str, type(None)]
