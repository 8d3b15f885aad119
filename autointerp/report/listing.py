"""The latents of a run as a list in the terminal: sorted, filtered, one line each, in 80 columns."""

from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from autointerp.errors import TableError
from autointerp.report.escaping import visible
from autointerp.report.latent import number
from autointerp.report.run import ReportRun, sampled_rows


def rows_of(
    run: ReportRun, sort: str = "score", conditions: Sequence[str] = (), limit: int | None = None
) -> pd.DataFrame:
    """Select and sort the sampled latents.

    Args:
        run: the run.
        sort: a column, falling; `column:up` for rising.
        conditions: such as `score>0.8`, `dictionary==sae_k16`, `explanation~colour` (contains); all must hold.
        limit: rows at most.

    Raises:
        TableError: no such column, or a condition that cannot be read.
    """
    table = sampled_rows(run)
    for condition in conditions:
        table = table[_holds(table, condition)]
    column, _, way = sort.partition(":")
    if column not in table.columns:
        raise TableError(f"latents: cannot sort by {column!r}; use one of: {', '.join(table.columns)}")
    table = table.sort_values(column, ascending=way == "up", kind="stable", na_position="last")
    return table.head(limit).reset_index(drop=True) if limit else table.reset_index(drop=True)


def _holds(table: pd.DataFrame, condition: str) -> pd.Series:
    for sign in (">=", "<=", "==", "!=", "~", ">", "<"):
        column, found, value = condition.partition(sign)
        column, value = column.strip(), value.strip()
        if not found:
            continue
        if column not in table.columns:
            raise TableError(
                f"latents: no column {column!r} in filter {condition!r}; use one of: {', '.join(table.columns)}"
            )
        if sign == "~":
            return table[column].astype(str).str.contains(value, case=False, regex=False)
        if sign in ("==", "!=") and not pd.api.types.is_numeric_dtype(table[column]):
            same = table[column].astype(str).str.lower() == value.lower()
            return same if sign == "==" else ~same
        return _compared(table[column], sign, value, condition)
    raise TableError(
        f"latents: filter {condition!r} is not understood; write column>value, with one of >= <= == != ~ > <"
    )


def _compared(column: pd.Series, sign: str, value: str, condition: str) -> pd.Series:
    try:
        bound = float(value)
        numbers = pd.to_numeric(column)
    except (ValueError, TypeError) as error:
        raise TableError(f"latents: filter {condition!r} compares a value that is not a number") from error
    made = {
        ">=": numbers >= bound,
        "<=": numbers <= bound,
        "==": numbers == bound,
        "!=": numbers != bound,
        ">": numbers > bound,
        "<": numbers < bound,
    }
    return made[sign]


def _widest(rows: pd.DataFrame) -> int:
    return max((len(f"{name}/{at}") for name, at in zip(rows["dictionary"], rows["latent"], strict=True)), default=6)


def latents_table(rows: pd.DataFrame, scorers: Sequence[str]) -> Table:
    """List latents, one line each."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=True)
    table.add_column("latent", no_wrap=True, min_width=min(24, _widest(rows)), max_width=24)
    table.add_column("explanation", overflow="ellipsis", no_wrap=True, ratio=1)
    for scorer in scorers:
        table.add_column(scorer[:9], justify="right", no_wrap=True, min_width=max(5, min(9, len(scorer))))
    table.add_column("fires on", justify="right", no_wrap=True, min_width=8)
    for row in rows.to_dict("records"):
        words = (
            Text(visible(row["explanation"]))
            if isinstance(row["explanation"], str)
            else Text(str(row["status"]).replace("_", " "), "italic")
        )
        table.add_row(
            Text(visible(f"{row['dictionary']}/{row['latent']}")),
            words,
            *(number(row[f"score_{scorer}"]) for scorer in scorers),
            f"{row['firing_rate_token']:.3%}",
        )
    return table
