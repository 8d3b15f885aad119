"""The controls beside what they must show: chance for wrong explanations, near 1 for planted latents."""

from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from autointerp.report.figures import _paper, _plotly
from autointerp.report.figures.base import GREY, scorers_of
from autointerp.report.run import ReportRun

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
    """Rows of the controls table that have a value to compare with an expected one, over all dictionaries."""
    table = run.controls
    if table.empty:
        return pd.DataFrame()
    rows = table[(table["dictionary"] == "all") & table["control"].isin(ORDER)]
    rows = rows.assign(place=rows["control"].map({name: at for at, name in enumerate(ORDER)}))
    return rows.sort_values(["scorer", "place"], kind="stable").drop(columns="place").reset_index(drop=True)


def caption(table: pd.DataFrame) -> str:
    """Count what passed."""
    counts = ", ".join(f"{n} {status}" for status, n in table["status"].value_counts().items())
    return (
        "Balanced accuracy under another latent's explanation and under none (both must be .5), by the "
        "latent's modal tokens "
        "without a judge (informative), and the judge's sensitivity + specificity - 1 on planted latents "
        "with their true "
        f"explanation; 90 % intervals. {counts}."
    )


def height(table: pd.DataFrame) -> float:
    """Grow with the number of controls."""
    return 0.9 + 0.22 * table["control"].nunique()


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw each control's interval; colour and shape tell its status."""
    names = [name for name in ORDER if name in set(table["control"])][::-1]
    for axis, scorer in zip(_paper.panels(figure, scorers_of(table), sharex=True), scorers_of(table), strict=True):
        axis.axvline(0.5, color=GREY, linewidth=0.7, linestyle=":")
        for row in table[table["scorer"] == scorer].to_dict("records"):
            at, tint = names.index(row["control"]), TINTS[row["status"]]
            axis.plot([row["low"], row["high"]], [at, at], color=tint, linewidth=1.4)
            axis.plot(row["value"], at, FORMS[row["status"]][0], color=tint, markersize=4)
        axis.set(xlim=(0, 1.03), ylim=(-0.6, len(names) - 0.4), xlabel="score")
        axis.set_yticks(range(len(names)), names)
        axis.tick_params(axis="y", length=0)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """The same panel for the page."""
    found, shapes = [], []
    names = [name for name in ORDER if name in set(table["control"])][::-1]
    for place, scorer in enumerate(scorers_of(table)):
        rows = table[table["scorer"] == scorer]
        found.append({
            "type": "scatter", "mode": "markers", "x": rows["value"].round(4).tolist(), "y": rows["control"].tolist(),
            "text": rows["status"].tolist(), "hovertemplate": "%{y}: %{x:.3f}, %{text}<extra></extra>",
            "marker": {"size": 10, "color": [ROLES[status] for status in rows["status"]],
                       "symbol": [FORMS[status][1] for status in rows["status"]]},
            **_plotly.error_bars(rows, "x"), **_plotly.on(place),
        })  # fmt: skip
        shapes.append(_plotly.line(place, x=0.5))
    y = {"type": "category", "categoryorder": "array", "categoryarray": names}
    layout = _plotly.grid_layout(scorers_of(table), {"range": [0, 1.03], "title": {"text": "score"}}, y, shapes=shapes)
    return {"data": found, "layout": layout}
