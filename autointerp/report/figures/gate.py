"""How a gate came to its decision: the test statistic look by look, between its boundaries."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from autointerp.report.figures import _paper, _plotly
from autointerp.report.figures.base import GREY, INK, MARKERS, colour, listed, with_arm
from autointerp.report.run import ReportRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Gate: the test statistic against its boundaries"
SIZE: Literal["column", "page"] = "page"
NEEDS = "a gate table (gate.parquet in the run directory)"
COLUMNS = ["endpoint", "look", "n", "info_frac", "z", "z_upper", "z_lower", "llm_calls", "llm_calls_saved", "decision"]


def data(run: ReportRun) -> pd.DataFrame:
    """One row per dictionary, endpoint and look, with `arm`, by which dictionaries are told apart."""
    if not run.files.has("gate"):
        return pd.DataFrame()
    table = run.files.read("gate")
    missing = [name for name in ["dictionary", *COLUMNS] if name not in table.columns]
    if missing or table.empty:
        return pd.DataFrame()
    if "design" in table.columns:  # limits on dead latents and cross-entropy have no looks
        table = table[table["design"].isin(["paired", "unpaired"])]
    known = run.dictionaries.set_index("dictionary")["architecture"]
    table = table[["dictionary", *COLUMNS]].assign(architecture=table["dictionary"].map(known).fillna("other"))
    return with_arm(table.sort_values(["endpoint", "look"], kind="stable"), run)


def caption(table: pd.DataFrame) -> str:
    """Name the decisions and the LLM calls that stopping early saved."""
    last = table.drop_duplicates(["dictionary", "endpoint"], keep="last")
    words = listed(
        [
            f"{row['dictionary']}, {row['endpoint']}: {row['decision']} at look {int(row['look'])}, "
            f"{int(row['llm_calls_saved']):,} calls saved"
            for row in last.to_dict("records")
        ]
    )
    return (
        "Non-inferiority statistic, (difference + margin) / standard error, of each dictionary at each look over "
        "randomly ordered latents. From the upper boundary (dashes) up an endpoint passes; below the lower one it is "
        f"significantly worse than the baseline. {words}."
    )


def height(table: pd.DataFrame) -> float:
    """One row of panels."""
    return 2.4


def paths(table: pd.DataFrame, endpoint: str) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield each dictionary's arm, architecture and looks at one endpoint."""
    for _, rows in table[table["endpoint"] == endpoint].groupby("dictionary", sort=False):
        yield str(rows["arm"].iloc[0]), str(rows["architecture"].iloc[0]), rows


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw each dictionary's path between its boundaries, one panel per endpoint."""
    names = list(dict.fromkeys(table["endpoint"]))
    for axis, name in zip(_paper.panels(figure, names), names, strict=True):
        axis.axhline(0, color=GREY, linewidth=0.5)
        for arm, architecture, rows in paths(table, name):
            for column in ("z_upper", "z_lower"):
                axis.plot(rows["info_frac"], rows[column], marker="_", markersize=9, color=INK, linestyle="--",
                          linewidth=0.7, label="boundaries")  # fmt: skip
            axis.plot(rows["info_frac"], rows["z"], marker=MARKERS.get(architecture, "^"), color=colour(architecture),
                      markersize=3.5, linewidth=1, label=arm)  # fmt: skip
        axis.set(xlim=(0, 1.03), xlabel="share of the planned latents")
    figure.axes[0].set_ylabel("z")
    _paper.legend_below(figure, 4)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """The same paths for the page."""
    names, found, listed_names = list(dict.fromkeys(table["endpoint"])), [], set()
    for place, name in enumerate(names):
        for arm, architecture, rows in paths(table, name):
            kinds = [("z_upper", "boundaries", "@ink", "dash", "line-ew-open", 14),
                     ("z_lower", "boundaries", "@ink", "dash", "line-ew-open", 14),
                     ("z", arm, _plotly.role(architecture), "solid", _plotly.symbol(architecture), 8)]  # fmt: skip
            for column, label, tint, dash, symbol, size in kinds:
                found.append({
                    "type": "scatter", "mode": "lines+markers", "x": rows["info_frac"].tolist(),
                    "y": [None if value != value else round(value, 4) for value in rows[column]], "name": label,
                    "legendgroup": label, "showlegend": label not in listed_names,
                    "line": {"color": tint, "dash": dash, "width": 1.6 if column == "z" else 1},
                    "marker": {"size": size, "color": tint, "symbol": symbol}, **_plotly.on(place),
                })  # fmt: skip
                listed_names.add(label)
    x = {"range": [0, 1.03], "title": {"text": "share of the planned latents"}}
    layout = _plotly.grid_layout(names, x, {"title": {"text": "z"}}, legend=len(listed_names))
    return {"data": found, "layout": layout}
