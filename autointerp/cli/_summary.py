"""What a finished run prints: tables of the dictionaries, comparisons in words, controls, where it all lies."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from autointerp.console import results
from autointerp.run.store import Run, read_json

# Reconstruction metrics shown, with their headings.
METRICS = {"fvu": "FVU", "ce_increase": "CE increase"}


def show(run: Run) -> None:
    """Print what a run found."""
    summary = read_json(run / "summary.json")
    for table in (coverage_table(run, summary), scores_table(run, summary)):
        results().print(table)
        results().print()
    for line in [*comparisons(summary), *controls(summary), *baseline(run)]:
        results().print(Text(line), soft_wrap=True)
    results().print(Text(f"\nrun directory  {run.path}\nreport         {run / 'report.html'}"), soft_wrap=True)


def coverage_table(run: Run, summary: dict[str, Any]) -> Table:
    """One row per dictionary: how many of its latents come how far, and how often the living ones fire."""
    table = _table("latents", ["alive", "eligible", "sampled", "scored", "median firing rate"])
    latents = run.read("latents", ["dictionary", "alive", "firing_rate_token"])
    for row in summary["coverage"]:
        mine = latents[(latents["dictionary"] == row["dictionary"]) & latents["alive"]]
        counts = [f"{row[step]:,}" for step in ("eligible", "sampled", "scored")]
        rate = f"{mine['firing_rate_token'].median():.2%} of tokens" if len(mine) else "-"
        table.add_row(Text(row["dictionary"]), f"{row['alive']:,} of {row['total']:,}", *counts, rate)
    return table


def scores_table(run: Run, summary: dict[str, Any]) -> Table:
    """One row per dictionary: mean score of its eligible latents with an interval, and what it preserves."""
    from autointerp.statistics import validity

    estimates = run.read("estimates")
    estimates = estimates[(estimates["population"] == "eligible") & (estimates["statistic"] == "score")]
    kept = run.read("reconstruction") if run.has("reconstruction") else pd.DataFrame(columns=["dictionary", "metric"])
    scorers = list(dict.fromkeys(estimates["scorer"]))
    metrics = [name for name in METRICS if name in set(kept["metric"])]
    table = _table(f"mean score [{estimates['level'].max():.0%}]", [
        *(validity.marked(scorer, summary["controls"]) for scorer in scorers), *map(METRICS.__getitem__, metrics),
    ])  # fmt: skip
    for row in summary["coverage"]:
        mine, whole = (rows[rows["dictionary"] == row["dictionary"]] for rows in (estimates, kept))
        cells = [_interval(mine[mine["scorer"] == scorer]) for scorer in scorers]
        cells += [_value(whole[whole["metric"] == metric]) for metric in metrics]
        table.add_row(Text(row["dictionary"]), *cells)
    return table


def _table(first: str, headings: list[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def comparisons(summary: dict[str, Any]) -> Iterable[str]:
    """The comparisons in the words that their verdicts allow."""
    for row in summary["headlines"]:
        yield row["words"]
    if not summary["headlines"]:
        yield "no comparison: fewer than two dictionaries were scored"
    for row in summary["skipped"]:
        yield f"left out: {row['what']}: {row['reason']}"


def controls(summary: dict[str, Any]) -> Iterable[str]:
    """The controls' verdict and its reasons."""
    from autointerp.statistics import validity

    found = summary["controls"]
    said = [*found["reasons"], *found.get("remarks", [])]
    yield f"controls: {validity.in_words(found)}" + "".join(f"\n  {reason}" for reason in said)


def baseline(run: Run) -> Iterable[str]:
    """A reminder where no language model took part."""
    roles = run.manifest.get("llms", {})
    if any(role.get("use") == "pattern" for role in roles.values()):
        yield "note: `pattern` is a literal-pattern baseline, not a language model; its scores are baseline scores"


def _interval(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "-"
    row = rows.iloc[0]
    value, low, high = (_short(row[name]) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _value(rows: pd.DataFrame) -> str:
    return "-" if rows.empty else f"{rows.iloc[0]['value']:.3f}"


def _short(value: float) -> str:
    """Write a number in [0, 1] without its leading zero: .787, 1.00."""
    return f"{value:.3f}".removeprefix("0") if value < 1 else f"{value:.2f}"
