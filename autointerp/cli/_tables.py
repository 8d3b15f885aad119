"""How `compare`, `gate` and `plan` print and write tables."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

POPULATION_HEADS = {"eligible": "eligible", "standardised": "std. freq", "iti": "all (ITI)", "freq": "by firing"}


def grid(title: str, heads: list[str], rows: list[list[str]]) -> Table:
    """Make a rich table that also reads well in 80 columns and in a log."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def estimates_table(estimates: pd.DataFrame, controls: dict[str, Any]) -> Table:
    """Show each dictionary's score in the four populations; `controls` of the summary says which are INVALID."""
    from autointerp.statistics import validity

    rows = []
    scores = estimates[estimates["statistic"] == "score"] if len(estimates) else estimates
    for (name, scorer), part in scores.groupby(["dictionary", "scorer"], sort=False, observed=True):
        by = {row["population"]: row for row in part.to_dict("records")}
        cells = [f"{by[p]['value']:.3f} ±{(by[p]['high'] - by[p]['low']) / 2:.3f}" for p in POPULATION_HEADS]
        rows.append([str(name), validity.marked(str(scorer), controls), *cells])
    return grid("Scores (balanced accuracy, chance .5)", ["dictionary", "scorer", *POPULATION_HEADS.values()], rows)


def comparisons_table(comparisons: pd.DataFrame) -> Table:
    """Show the differences of the eligible population with interval and verdict."""
    own = comparisons[comparisons["population"] == "eligible"] if len(comparisons) else comparisons
    rows = []
    for row in own.to_dict("records"):
        where = "all" if row["over"] == "layers" else str(row["layer"])
        interval = f"{row['diff']:+.3f} [{row['ci95_lo']:+.3f}, {row['ci95_hi']:+.3f}]"
        scope = " (seeds)" if row["scope"] == "architecture" else ""
        rows.append([f"{row['contrast']}{scope}", where, row["scorer"], interval, row["verdict"]])
    return grid("Differences (eligible latents)", ["contrast", "layer", "scorer", "difference [95 %]", "verdict"], rows)


def claims_tables(claims: pd.DataFrame) -> list[Table]:
    """Show each of the paper's claims with the comparisons that answer it; titles name whose scores these are.

    One table per claim, contrast and scope, no wider than 80 columns.
    """
    found = []
    for _, part in claims.groupby(["claim", "contrast", "scope"], sort=False):
        rows = []
        for row in part.sort_values(["layer", "k"], kind="stable").to_dict("records"):
            known = not pd.isna(row["diff"])
            span = f"{row['diff']:+.4f} [{row['ci95_lo']:+.4f}, {row['ci95_hi']:+.4f}]" if known else "-"
            where = "all" if row["over"] == "layers" else str(row["layer"])
            where += f", {row['k']}" if row["k"] else ""
            rows.append([where, row["scorer"] or row["quantity"], span, row["verdict"], row["holds"]])
        one = part.iloc[0]
        scope = f"{one['n_a']} v {one['n_b']} seeds" if one["scope"] == "architecture" else "these dictionaries"
        title = f"Claim {one['claim']}: {one['words']}\n{one['contrast']}, {scope}"
        title += f", scores judged by {one['judge']}" if one["judge"] else ""
        found.append(grid(title, ["layer, k", "by", "difference [95 %]", "verdict", "holds"], rows))
    return found


def beyond_table(summary: dict[str, Any]) -> Table:
    """Show what scores mean at real firing rates, without the judge's own errors, and without judging noise."""
    from autointerp.statistics import validity

    real = {(row["dictionary"], row["scorer"], row["measure"]): row for row in summary["real_distribution"]}
    star = {(row["dictionary"], row["scorer"]): row for row in summary["judge_corrected"]}
    rows = []
    for row in summary["shares_above_threshold"]:
        key = row["dictionary"], row["scorer"]
        cells = [_span(real.get((*key, name))) for name in ("precision", "false_per_true")]
        corrected = star.get(key)
        cells.append(_span({**corrected, "value": corrected["informedness"]} if corrected else None))
        name = validity.marked(row["scorer"], summary["controls"])
        rows.append([row["dictionary"], name, *cells, f"{row['observed']:.2f} / {row['without_noise']:.2f}"])
    heads = ["dictionary", "scorer", "precision at real rates", "false per true alarm", "J* (judge corrected)"]
    return grid("Beyond the score", [*heads, "share above, observed / without noise"], rows)


def _span(row: dict[str, Any] | None) -> str:
    return "-" if row is None else f"{row['value']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn a table into JSON-able records; an absent number is null."""
    return json.loads(table.to_json(orient="records", double_precision=15))


def write_all(folder: Path, tables: dict[str, pd.DataFrame], summary: dict[str, Any]) -> None:
    """Write every table as parquet and CSV, the short ones as LaTeX (booktabs), and the summary as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
        table.to_csv(folder / f"{name}.csv", index=False)
    for name in ("estimates", "comparisons"):
        (folder / f"{name}.tex").write_text(latex(name, tables[name], summary["controls"]), encoding="utf-8")
    text = json.dumps(summary, indent=2, allow_nan=False, default=str)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")


def latex(name: str, rows: pd.DataFrame, controls: dict[str, Any]) -> str:
    """Write a table for a paper: booktabs, scores with intervals, names escaped; a failed control is said on top."""
    from autointerp.report.latex import escape, number, table
    from autointerp.statistics import validity

    if rows.empty:
        return "% no rows\n"
    own, mark = rows[rows["population"] == "eligible"], validity.warning(controls)
    if name == "estimates":
        return table(["dictionary", "scorer", r"score [95\,\%]", "$n$"], [
            [escape(row["dictionary"]), escape(validity.marked(str(row["scorer"]), controls)),
             number(row["value"], row["low"], row["high"]), str(row["n_latents"])]
            for row in own[own["statistic"] == "score"].to_dict("records")
        ], mark)  # fmt: skip
    head = ["contrast", "layer", "scorer", r"difference [95\,\%]", r"$p_{\mathrm{TOST}}$", "verdict"]
    return table(head, [
        [escape(row["contrast"]), str(row["layer"]) if row["layer"] >= 0 else escape(row["over"]),
         escape(row["scorer"]), number(row["diff"], row["ci95_lo"], row["ci95_hi"]), number(row["p_tost_adj"]),
         escape(str(row["verdict"]).replace("_", " "))]
        for row in own.to_dict("records")
    ], mark)  # fmt: skip


def show(*tables: Table) -> None:
    """Print tables to stdout."""
    console = Console(highlight=False)
    for table in tables:
        console.print(table)
        console.print()
