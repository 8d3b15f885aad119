"""How a gate came to its decision: the test statistic look by look, between its boundaries."""

from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from autointerp.report.figures import _paper, _plotly
from autointerp.report.figures.base import GREY, INK
from autointerp.report.run import ReportRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Gate: the test statistic against its boundaries"
SIZE: Literal["column", "page"] = "column"
NEEDS = "a gate table (gate.parquet in the run directory)"
COLUMNS = ["endpoint", "look", "n", "info_frac", "z", "z_upper", "z_lower", "llm_calls", "llm_calls_saved", "decision"]


def data(run: ReportRun) -> pd.DataFrame:
    """One row per endpoint and look; `panel` names the dictionary too where the gate judged several."""
    if not run.files.has("gate"):
        return pd.DataFrame()
    table = run.files.read("gate")
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing or table.empty:
        return pd.DataFrame()
    if "design" in table.columns:  # limits on dead latents and cross-entropy have no looks
        table = table[table["design"] != "limit"]
    several = "dictionary" in table.columns and table["dictionary"].nunique() > 1
    names = table["dictionary"] + ", " + table["endpoint"] if several else table["endpoint"]
    return table[COLUMNS].assign(panel=names).sort_values(["panel", "look"], kind="stable").reset_index(drop=True)


def caption(table: pd.DataFrame) -> str:
    """Name the decisions and what stopping early saved."""
    last = table.drop_duplicates("panel", keep="last")
    words = "; ".join(
        f"{row['panel']}: {row['decision']} at look {int(row['look'])}, {int(row['llm_calls_saved']):,} calls saved"
        for row in last.to_dict("records")
    )
    return (
        "Non-inferiority statistic at each look over randomly ordered latents. Above the upper boundary the "
        "candidate passes; "
        f"below the lower one going on is futile. {words}."
    )


def height(table: pd.DataFrame) -> float:
    """One row of panels."""
    return 2.2


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw the path between the boundaries."""
    names = list(dict.fromkeys(table["panel"]))
    for axis, name in zip(_paper.panels(figure, names), names, strict=True):
        rows = table[table["panel"] == name]
        axis.plot(rows["info_frac"], rows["z_upper"], color="#009E73", linestyle="--", linewidth=1, label="pass")
        axis.plot(rows["info_frac"], rows["z_lower"], color="#D55E00", linestyle="--", linewidth=1, label="futile")
        axis.plot(rows["info_frac"], rows["z"], "o-", color=INK, markersize=3.5, linewidth=1, label="z")
        axis.axhline(0, color=GREY, linewidth=0.5)
        axis.set(xlim=(0, 1.03), xlabel="share of the planned information")
    figure.axes[0].set_ylabel("z")
    _paper.legend_below(figure, 3)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """The same path for the page."""
    names, found = list(dict.fromkeys(table["panel"])), []
    kinds = (("z_upper", "pass", "@good", "dash"), ("z_lower", "futile", "@bad", "dash"), ("z", "z", "@ink", "solid"))
    for place, name in enumerate(names):
        rows = table[table["panel"] == name]
        for column, label, tint, dash in kinds:
            found.append({
                "type": "scatter", "mode": "lines+markers", "x": rows["info_frac"].tolist(),
                "y": [None if value != value else round(value, 4) for value in rows[column]], "name": label,
                "legendgroup": label, "showlegend": place == 0, "line": {"color": tint, "dash": dash, "width": 1.6},
                "marker": {"size": 8 if column == "z" else 1, "color": tint}, **_plotly.on(place),
            })  # fmt: skip
    x = {"range": [0, 1.03], "title": {"text": "share of the planned information"}}
    return {"data": found, "layout": _plotly.grid_layout(names, x, {"title": {"text": "z"}}, legend=len(kinds))}
