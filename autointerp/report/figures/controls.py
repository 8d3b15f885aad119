"""The controls beside what they must show: chance for wrong explanations, near 1 for planted latents."""

from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from autointerp.report.figures import _paper, _plotly
from autointerp.report.figures.base import GREY, INK, scorers_of
from autointerp.report.run import ReportRun
from autointerp.statistics.random_arms import CONTROL_ARMS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Controls"
SIZE: Literal["column", "page"] = "column"
NEEDS = "control judgements"
TINTS = {"passed": "#009E73", "failed": "#D55E00", "undecided": "#B8860B", "informative": GREY}
ROLES = {"passed": "@good", "failed": "@bad", "undecided": "@transcoder", "informative": "@soft"}
FORMS = {"passed": ("o", "circle"), "failed": ("X", "x"), "undecided": ("D", "diamond"), "informative": ("s", "square")}
ORDER = ["shuffled", "empty", "lexical", "planted"]


def data(run: ReportRun) -> pd.DataFrame:
    """Rows of the controls table that have a value to compare with an expected one, over all dictionaries; then a row
    per control arm: its mean score, `expected` being that of the trained dictionary it is made of.
    """
    table = run.controls
    if table.empty:
        return pd.DataFrame()
    rows = table[(table["dictionary"] == "all") & table["control"].isin(ORDER)]
    rows = rows.assign(place=rows["control"].map({name: at for at, name in enumerate(ORDER)}))
    rows = pd.concat([rows.assign(kind="control"), *_arms(run)], ignore_index=True)
    return rows.sort_values(["scorer", "place"], kind="stable").drop(columns="place").reset_index(drop=True)


def _arms(run: ReportRun) -> list[pd.DataFrame]:
    from autointerp.statistics.intervals import mean

    made, own = run.dictionaries, run.own_scores
    found = []
    for at, arm in enumerate(made[made["architecture"].isin(CONTROL_ARMS)].to_dict("records")):
        told = run.controls[run.controls["control"] == arm["architecture"]]
        for row in told[told["dictionary"] == arm["source"]].to_dict("records"):
            mine = own[own["scorer"] == row["scorer"]]
            scores, trained = (
                mine.loc[mine["dictionary"] == name, "score"].dropna() for name in (arm["dictionary"], arm["source"])
            )
            if min(len(scores), len(trained)) < 2:
                continue
            inner = mean(scores.to_numpy(float))
            low, high = inner.interval(0.9)
            found.append(pd.DataFrame([{
                **row, "control": f"{arm['dictionary']} ({arm['architecture']})", "measure": "score", "kind": "arm",
                "value": inner.value, "low": low, "high": high, "expected": trained.mean(), "place": len(ORDER) + at,
            }]))  # fmt: skip
    return found


def _names(table: pd.DataFrame) -> list[str]:
    """The controls from the bottom up: control arms, then the others."""
    arms = table.loc[table["kind"] == "arm", "control"]
    return [*dict.fromkeys(arms), *(name for name in ORDER[::-1] if name in set(table["control"]))]


def caption(table: pd.DataFrame) -> str:
    """Count what passed."""
    counts = ", ".join(f"{n} {status}" for status, n in table["status"].value_counts().items())
    arms = (
        " Control arms, untrained, must score less than the dictionary they are made of, whose mean is the bar beside."
        if (table["kind"] == "arm").any() else ""
    )  # fmt: skip
    return (
        "Balanced accuracy under another latent's explanation and under none (both must be .5), by the "
        "latent's modal tokens "
        "without a judge (informative), and the judge's sensitivity + specificity - 1 on planted latents "
        "with their true "
        f"explanation; 90 % intervals.{arms} {counts}."
    )


def height(table: pd.DataFrame) -> float:
    """Grow with the number of controls."""
    return 0.9 + 0.22 * table["control"].nunique()


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw each control's interval; colour and shape tell its status."""
    names = _names(table)
    for axis, scorer in zip(_paper.panels(figure, scorers_of(table), sharex=True), scorers_of(table), strict=True):
        axis.axvline(0.5, color=GREY, linewidth=0.7, linestyle=":")
        for row in table[table["scorer"] == scorer].to_dict("records"):
            at, tint = names.index(row["control"]), TINTS[row["status"]]
            axis.plot([row["low"], row["high"]], [at, at], color=tint, linewidth=1.4)
            axis.plot(row["value"], at, FORMS[row["status"]][0], color=tint, markersize=4)
            if row["kind"] == "arm":
                axis.plot([row["expected"]] * 2, [at - 0.3, at + 0.3], color=INK, linewidth=1.2)
        axis.set(xlim=(0, 1.03), ylim=(-0.6, len(names) - 0.4), xlabel="score")
        axis.set_yticks(range(len(names)), names)
        axis.tick_params(axis="y", length=0)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """The same panel for the page."""
    found, shapes = [], []
    names = _names(table)
    for place, scorer in enumerate(scorers_of(table)):
        rows = table[table["scorer"] == scorer]
        found.append({
            "type": "scatter", "mode": "markers", "x": rows["value"].round(4).tolist(), "y": rows["control"].tolist(),
            "text": rows["status"].tolist(), "hovertemplate": "%{y}: %{x:.3f}, %{text}<extra></extra>",
            "marker": {"size": 10, "color": [ROLES[status] for status in rows["status"]],
                       "symbol": [FORMS[status][1] for status in rows["status"]]},
            **_plotly.error_bars(rows, "x"), **_plotly.on(place),
        })  # fmt: skip
        arms = rows[rows["kind"] == "arm"]
        if len(arms):
            found.append({
                "type": "scatter", "mode": "markers", "x": arms["expected"].round(4).tolist(),
                "y": arms["control"].tolist(), "hovertemplate": "trained: %{x:.3f}<extra></extra>",
                "marker": {"size": 16, "symbol": "line-ns-open", "color": "@ink"}, **_plotly.on(place),
            })  # fmt: skip
        shapes.append(_plotly.line(place, x=0.5))
    y = {"type": "category", "categoryorder": "array", "categoryarray": names}
    layout = _plotly.grid_layout(scorers_of(table), {"range": [0, 1.03], "title": {"text": "score"}}, y, shapes=shapes)
    return {"data": found, "layout": layout}
