"""Printing and writing of tables by verbs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from autointerp.report import escaping, writers
from autointerp.report.tables import Cell, Table

if TYPE_CHECKING:
    from rich.table import Table as RichTable


def grid(title: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> "RichTable":
    """Make a rich table that also reads well in 80 columns and in a log."""
    return writers.terminal(Table(name="", title=title, columns=heads, rows=rows))


def show(*tables: "RichTable") -> None:
    """Print tables to stdout."""
    from rich.console import Console

    console = Console(highlight=False, emoji=False)
    for table in tables:
        console.print(table)
        console.print()


def write_all(
    folder: Path, stored: Mapping[str, pd.DataFrame], shown: Sequence[Table], summary: Mapping[str, Any]
) -> None:
    """Write stored tables as parquet and CSV, the tables shown as LaTeX (booktabs), and the summary as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in stored.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
        (folder / f"{name}.csv").write_text(escaping.csv(table), encoding="utf-8")
    for table in shown:
        if table:
            (folder / f"{table.name}.tex").write_text(writers.latex(table), encoding="utf-8")
    text = json.dumps(summary, indent=2, allow_nan=False, default=str)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
