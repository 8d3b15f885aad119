"""The tables of every output: scores, comparisons, controls, reconstruction, coverage, claims.

A table is neutral: cells hold numbers or text, and `autointerp.report.writers` writes it for the terminal, Markdown,
LaTeX, HTML or CSV. Every number is a value of a stored table.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from autointerp.report.findings import Findings, warnings
from autointerp.report.words import COMPARED, CONTROLS, COVERAGE, MEASURES, METRICS, POPULATIONS, PRESERVED, VERDICTS
from autointerp.statistics import validity
from autointerp.statistics.random_arms import CONTROL_ARMS

NAN = float("nan")
# Populations of a narrow table (terminal, README): the judged sample, and the whole dictionary.
NARROW = ("eligible", "iti")
WIDE = tuple(POPULATIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A value, with its interval if both bounds are numbers."""

    value: float
    low: float = NAN
    high: float = NAN
    digits: int = 3
    signed: bool = False

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return math.isfinite(self.value)

    @property
    def main(self) -> str:
        """The value as text with an ASCII minus sign: `0.643`, `+0.012`; `-` if there is none."""
        return self._text(self.value) if self.known else "-"

    @property
    def interval(self) -> str:
        """The interval as text, `[0.616, 0.671]`, or nothing."""
        if not (self.known and math.isfinite(self.low) and math.isfinite(self.high)):
            return ""
        return f"[{self._text(self.low)}, {self._text(self.high)}]"

    def _text(self, value: float) -> str:
        text = f"{value:+.{self.digits}f}" if self.signed else f"{value:.{self.digits}f}"
        return f"{0:.{self.digits}f}" if not float(text) else text

    def __str__(self) -> str:
        return f"{self.main} {self.interval}".rstrip()


@dataclass(frozen=True, slots=True)
class PValue:
    """A p value."""

    value: float

    def __str__(self) -> str:
        if not math.isfinite(self.value):
            return "-"
        return "<0.001" if self.value < 0.001 else f"{self.value:.3f}"


@dataclass(frozen=True, slots=True)
class Badge:
    """A coloured label on the page: a verdict or a status, with an optional reason."""

    text: str
    kind: str
    reason: str = ""

    def __str__(self) -> str:
        return self.text


Cell = Number | PValue | Badge | str | int


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows; the first `n_names` columns are text, the others numbers. `notes` must stand with it."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    n_names: int = 1
    notes: Sequence[str] = ()
    architectures: Sequence[str] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.rows)


def scores(found: Findings, populations: Sequence[str] = NARROW) -> Table:
    """Mean score of each dictionary by each scorer over each population, with intervals."""
    table, rows, marks = found.estimates, [], []
    if len(table):
        means = table[(table["statistic"] == "score") & table["dictionary"].isin(found.names)]
        for (name, scorer), part in means.groupby(["dictionary", "scorer"], sort=False, observed=True):
            cells = {row["population"]: row for row in part.to_dict("records")}
            n = int(cells["eligible"]["n_latents"]) if "eligible" in cells else int(part["n_latents"].max())
            values = [_number(cells.get(population)) for population in populations]
            rows.append([found.label(str(name)), validity.marked(str(scorer), found.control_status), *values, n])
            marks.append(str(part["architecture"].iloc[0]))
    level = f"{float(table['level'].max()):.0%}" if len(rows) else "95%"
    title = f"Scores: mean balanced accuracy [{level} interval], 0.5 is chance"
    columns = ["dictionary", "scorer", *(POPULATIONS[name] for name in populations), "latents"]
    return Table("scores", title, columns, rows, n_names=2, notes=warnings(found), architectures=marks)


def _number(row: Mapping[Any, Any] | None, digits: int = 3, *, interval: bool = True) -> Number:
    if row is None:
        return Number(value=NAN)
    low, high = (float(row["low"]), float(row["high"])) if interval else (NAN, NAN)
    return Number(value=float(row["value"]), low=low, high=high, digits=digits)


def comparisons(
    found: Findings, populations: Sequence[str] = NARROW, *, secondary: bool = True, tests: bool = False
) -> Table:
    """Differences between dictionaries, by the user's names: one row per pair, scorer and measure, with its verdict.

    Args:
        found: the findings.
        populations: those over which mean scores are compared.
        secondary: add F1 and precision at the firing rates of real text.
        tests: add the adjusted p values.
    """
    table = found.comparisons
    chosen = table[table["population"] == "eligible"].to_dict("records") if len(table) else []
    places, rows = {_where(row) for row in chosen}, []
    for row in chosen:
        same = [(COMPARED.get(name, POPULATIONS[name]), _same_pair(table, row, name)) for name in populations]
        measured = [(label, one) for label, one in same if one is not None]
        for label, one in [*measured, *(_secondary(found, row) if secondary else [])]:
            word = str(one["verdict"])
            where = [_where(row)] if len(places) > 1 else []
            measure = [label] if secondary or len(populations) > 1 else []
            p_values = [PValue(float(one[name])) for name in ("p_diff_adj", "p_tost_adj")] if tests else []
            cells = [*where, str(row["scorer"]), *measure, _difference(one), *p_values]
            rows.append([pair_name(found, row), *cells, Badge(VERDICTS.get(word, word), word)])
    names = ["comparison", *(["where"] if len(places) > 1 else []), "scorer"]
    names += ["measure"] if secondary or len(populations) > 1 else []
    columns = [*names, "difference", *(["p (adjusted)", "p (equivalence)"] if tests else []), "verdict"]
    what = "" if "measure" in names else " of mean scores over eligible latents"
    title = f"Comparisons: difference{what} [95% interval]"
    return Table("comparisons", title, columns, rows, n_names=len(names), notes=warnings(found))


def _secondary(found: Findings, row: Mapping[Any, Any]) -> list[tuple[str, Mapping[Any, Any]]]:
    """List the differences at real firing rates between a row's dictionaries, by its scorer."""
    table = found.prevalence_comparisons
    if not len(table) or not row["a"]:
        return []
    same = (table["a"] == row["a"]) & (table["b"] == row["b"]) & (table["scorer"] == row["scorer"])
    kept = table[same].to_dict("records")
    return [(COMPARED.get(str(one["measure"]), str(one["measure"])), one) for one in kept]


def _same_pair(table: pd.DataFrame, row: Mapping[Any, Any], population: str) -> Mapping[Any, Any] | None:
    if population == "eligible":
        return row
    keys = [name for name in ("contrast", "a", "b", "scorer", "over", "layer", "k", "scope", "site") if name in row]
    same = table["population"] == population
    for key in keys:
        same &= table[key] == row[key]
    found = table[same].to_dict("records")
    return found[0] if found else None


def _difference(row: Mapping[Any, Any]) -> Number:
    return Number(value=float(row["diff"]), low=float(row["ci95_lo"]), high=float(row["ci95_hi"]), signed=True)


def pair_name(found: Findings, row: Mapping[Any, Any]) -> str:
    """Name a comparison `b - a` by dictionaries; one that pools dictionaries, by architectures."""
    if row["a"] and row["b"]:
        return f"{found.label(str(row['b']))} - {found.label(str(row['a']))}"
    return f"{row['contrast']} (architectures)"


def _where(row: Mapping[Any, Any]) -> str:
    if row["over"] not in ("dictionaries", "", None):
        return f"all {row['over']}"
    layer = int(row["layer"])
    return f"layer {layer}" if layer >= 0 else "-"


def reconstruction(found: Findings, names: Sequence[str] = tuple(METRICS)) -> Table:
    """Reconstruction quality of each dictionary on held-out documents, by these metrics."""
    table = found.reconstruction
    there = set(table["metric"]) if len(table) else set()
    metrics = {name: metric for name, metric in METRICS.items() if name in there and name in names}
    architecture = dict(zip(found.dictionaries["dictionary"], found.dictionaries["architecture"], strict=True))
    rows, marks, n_documents = [], [], 0
    for name, part in table.groupby("dictionary", sort=False) if len(table) else ():
        if name not in architecture:
            continue
        cells = {row["metric"]: row for row in part.to_dict("records")}
        values = [_number(cells.get(key), metric.digits, interval=metric.interval) for key, metric in metrics.items()]
        rows.append([found.label(str(name)), *values])
        marks.append(str(architecture[name]))
        n_documents = max(n_documents, int(part["n_documents"].max()))
    title = f"Reconstruction on {n_documents} held-out documents [95% interval]"
    columns = ["dictionary", *(metric.label for metric in metrics.values())]
    return Table("reconstruction", title, columns, rows, architectures=marks)


def coverage(found: Findings, steps: Sequence[str] = (*COVERAGE, "explanation_failed")) -> Table:
    """Number of each dictionary's latents at each step, from all to scored."""
    kept = [row for row in found.summary.get("coverage", []) if row["dictionary"] in found.names]
    columns = ["dictionary", *(COVERAGE.get(step, step.replace("_", " ")) for step in steps)]
    rows = [[found.label(str(row["dictionary"])), *(int(row[step]) for step in steps)] for row in kept]
    marks = [str(row["architecture"]) for row in kept]
    return Table("coverage", "Coverage: number of latents at each step", columns, rows, architectures=marks)


def controls(found: Findings) -> Table:
    """The controls over all dictionaries, which decide validity, and each control arm's."""
    table = found.controls
    kept = table[(table["dictionary"] == "all") | table["control"].isin(CONTROL_ARMS)] if len(table) else table
    order = list(CONTROLS)
    rows = sorted(
        kept.to_dict("records"),
        key=lambda row: (order.index(row["control"]) if row["control"] in order else len(order), str(row["scorer"])),
    )
    columns = ["control", "scorer", "measure", "value", "expected", "latents", "status"]
    return Table("controls", "Controls [90% interval]", columns, [_control_cells(row) for row in rows], n_names=3)


def _control_cells(row: Mapping[Any, Any]) -> list[Cell]:
    names = [CONTROLS.get(row["control"], str(row["control"])), str(row["scorer"])]
    measure, status = MEASURES.get(row["measure"], str(row["measure"])), str(row["status"])
    expected = Number(value=NAN if status == "informative" else float(row["expected"]), digits=1)
    badge = Badge(status, status, str(row["reason"] or ""))
    return [*names, measure, _control_value(row), expected, int(row["n_latents"]), badge]


def _control_value(row: Mapping[Any, Any]) -> Number:
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    return Number(value=value, low=low, high=high) if (low, high) != (value, value) else Number(value=value)


def claims(table: pd.DataFrame) -> list[Table]:
    """Answer each of the paper's claims about architectures: one table per claim, contrast and scope."""
    made = []
    for _, part in table.groupby(["claim", "contrast", "scope"], sort=False) if len(table) else ():
        rows = []
        for row in part.sort_values(["layer", "k"], kind="stable").to_dict("records"):
            where = "all" if row["over"] == "layers" else str(row["layer"])
            where += f", {row['k']}" if row["k"] else ""
            known = not pd.isna(row["diff"])
            number = Number(value=row["diff"], low=row["ci95_lo"], high=row["ci95_hi"], digits=4, signed=True)
            verdict = str(row["verdict"])
            names, badge = (
                [where, str(row["scorer"] or row["quantity"])],
                Badge(VERDICTS.get(verdict, verdict), verdict),
            )
            rows.append([*names, number if known else Number(value=NAN), badge, str(row["holds"])])
        one = part.iloc[0]
        scope = f"{one['n_a']} v {one['n_b']} seeds" if one["scope"] == "architecture" else "these dictionaries"
        title = f"Claim {one['claim']}: {one['words']}\n{one['contrast']}, {scope}"
        title += f", scores judged by {one['judge']}" if one["judge"] else ""
        columns = ["layer, k", "by", "difference [95%]", "verdict", "holds"]
        made.append(Table(name=f"claim_{one['claim']}", title=title, columns=columns, rows=rows, n_names=2))
    return made


def beyond(found: Findings) -> list[Table]:
    """Scores at real firing rates, and corrected for the judge's errors and for judging noise."""
    summary = found.summary
    real = {(row["dictionary"], row["scorer"], row["measure"]): row for row in summary.get("real_distribution", [])}
    corrected = {(row["dictionary"], row["scorer"]): row for row in summary.get("judge_corrected", [])}
    at_rates, without, threshold = [], [], NAN
    for row in summary.get("shares_above_threshold", []):
        key = row["dictionary"], row["scorer"]
        names = [found.label(str(row["dictionary"])), validity.marked(str(row["scorer"]), found.control_status)]
        star, threshold = corrected.get(key), float(row["threshold"])
        if (*key, "precision") in real:
            at_rates.append([*names, *(_number(real.get((*key, name))) for name in ("precision", "false_per_true"))])
        informedness = _number({**star, "value": star["informedness"]} if star else None)
        shares = [Number(value=float(row[name])) for name in ("observed", "without_noise")]
        without.append([*names, informedness, *shares])
    columns = ["dictionary", "scorer", "precision", "false per true alarm"]
    title = f"Without the judge's errors; share of latents that score >= {threshold:g}"
    heads = ["dictionary", "scorer", "recall + spec. - 1", "share", "noise removed"]
    return [
        Table("real_rates", "At the firing rates of real text [95% interval]", columns, at_rates, n_names=2),
        Table("corrected", title, heads, without, n_names=2),
    ]


def reconstruction_comparisons(found: Findings) -> Table:
    """Differences of what dictionaries preserve; less is better in every metric."""
    table = found.reconstruction_comparisons
    rows = []
    for row in table.to_dict("records"):
        number = Number(value=row["diff"], low=row["ci95_lo"], high=row["ci95_hi"], digits=4, signed=True)
        verdict = str(row["verdict"])
        label = METRICS[row["metric"]].label if row["metric"] in METRICS else str(row["metric"])
        rows.append([pair_name(found, row), label, number, Badge(PRESERVED.get(verdict, verdict), verdict)])
    title, columns = "Comparisons of reconstruction: difference [95% interval]", "comparison metric difference verdict"
    return Table("reconstruction_comparisons", title, columns.split(), rows, n_names=2)


def all_tables(found: Findings) -> list[Table]:
    """List the tables of a full report, each with all its columns; empty ones are left out."""
    judged = scores(found, WIDE), comparisons(found, NARROW, tests=True)
    measured = reconstruction(found), reconstruction_comparisons(found)
    return [table for table in (*judged, *measured, coverage(found), controls(found)) if table]
