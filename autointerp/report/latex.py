"""Tables for a paper, in booktabs LaTeX: `\\input` them; they need only the booktabs package."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from autointerp.report.run import ReportRun
from autointerp.statistics import validity

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip
POPULATIONS = {"eligible": "eligible", "standardised": "equal rates", "iti": "all (ITI)", "freq": "by firing"}
METRICS = {"fvu": "FVU", "ce_increase": "CE increase", "kl": "KL", "l0": "L0", "dead_share": "dead"}


def escape(text: object) -> str:
    """Write text so that LaTeX prints it and runs none of it.

    >>> print(escape("50% of \\\\input{x}_1"))
    50\\% of \\textbackslash{}input\\{x\\}\\_1
    """
    return "".join(SPECIAL.get(char, char) for char in str(text) if char.isprintable())


def number(value: float, low: float | None = None, high: float | None = None, digits: int = 3) -> str:
    """Write a number, with its interval behind it."""
    if value != value:
        return "--"
    if low is None or high is None:
        return _signed(value, digits)
    inner = ", ".join(_signed(bound, digits) for bound in (low, high))
    return f"{_signed(value, digits)} {{\\footnotesize [{inner}]}}"


def _signed(value: float, digits: int) -> str:
    """Write a number with a minus sign that is no hyphen."""
    return f"{value:.{digits}f}".replace("-", "$-$")


def _cell(row: Mapping[Hashable, Any] | None) -> str:
    """Write a row's value with its interval, or a dash where there is no row."""
    return "--" if row is None else number(row["value"], row["low"], row["high"])


def table(head: Sequence[str], rows: Sequence[Sequence[str]], mark: str = "") -> str:
    """Set rows that are already LaTeX in a booktabs tabular, under `mark` if there is one."""
    lines = [" & ".join(head) + r" \\", r"\midrule", *(" & ".join(row) + r" \\" for row in rows)]
    if mark:
        lines.insert(0, f"\\multicolumn{{{len(head)}}}{{l}}{{\\textbf{{{escape(mark)}}}}} \\\\")
    body = "\n".join(lines)
    return f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}\n\\toprule\n{body}\n\\bottomrule\n\\end{{tabular}}\n"


def tables_of(run: ReportRun, mark: str = "") -> dict[str, str]:
    """Make the tables of a run: scores, comparisons, reconstruction; those that the run has data for."""
    made = {"table_scores": _scores(run, mark), "table_comparisons": _comparisons(run.comparisons, mark),
            "table_reconstruction": _reconstruction(run.reconstruction)}  # fmt: skip
    return {name: text for name, text in made.items() if text}


def _scores(run: ReportRun, mark: str) -> str:
    estimates, found = run.estimates, run.summary.get("controls", {})
    if estimates.empty:
        return ""
    means = estimates[(estimates["statistic"] == "score") & (estimates["architecture"] != "planted")]
    rows = []
    for (dictionary, scorer), part in means.groupby(["dictionary", "scorer"], sort=False):
        cells = {row["population"]: row for row in part.to_dict("records")}
        values = [_cell(cells.get(name)) for name in POPULATIONS]
        name = validity.marked(str(scorer), found)
        rows.append([escape(dictionary), escape(name), *values, str(int(part["n_latents"].max()))])
    return table(["dictionary", "scorer", *map(escape, POPULATIONS.values()), "$n$"], rows, mark)


def _comparisons(comparisons: pd.DataFrame, mark: str) -> str:
    if comparisons.empty:
        return ""
    rows = [
        [
            escape(row["contrast"]),
            escape(row["scorer"]),
            str(row["layer"]) if row["layer"] >= 0 else escape(row["over"]),
            number(row["diff"], row["ci95_lo"], row["ci95_hi"]),
            number(row["p_diff_adj"]),
            number(row["p_tost_adj"]),
            escape(str(row["verdict"]).replace("_", " ")),
        ]
        for row in comparisons[comparisons["population"] == "eligible"].to_dict("records")
    ]
    head = ["contrast", "scorer", "layer", r"$\Delta$ [95\,\%]", r"$p$", r"$p_{\mathrm{TOST}}$", "verdict"]
    return table(head, rows, mark)


def _reconstruction(found: pd.DataFrame) -> str:
    if found.empty:
        return ""
    there = [name for name in METRICS if name in set(found["metric"])]
    rows = []
    for dictionary, part in found.groupby("dictionary", sort=False):
        cells = {row["metric"]: row for row in part.to_dict("records")}
        values = [_cell(cells.get(name)) for name in there]
        rows.append([escape(dictionary), *values])
    return table(["dictionary", *(METRICS[name] for name in there)], rows)
