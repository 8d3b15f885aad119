"""Which latents the scores speak for: total, alive, eligible, sampled, explained, scored."""

from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from autointerp.report.figures import _paper, _plotly
from autointerp.report.figures.base import INK, arms, colour, with_arm
from autointerp.report.run import ReportRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "From all latents to the scored ones"
SIZE: Literal["column", "page"] = "page"
NEEDS = "the latents table"
RUNGS = ["total", "alive", "eligible", "sampled", "explained", "scored"]
LOST = {"alive": "dead", "eligible": "rare or dense", "sampled": "not drawn", "explained": "explanation failed",
        "scored": "never answered"}  # fmt: skip


def data(run: ReportRun) -> pd.DataFrame:
    """One row per arm and rung: latents on it, their share of all, and how many were lost on the way to it."""
    coverage = pd.DataFrame(run.summary.get("coverage", []))
    if coverage.empty:
        return coverage
    studied = coverage[coverage["dictionary"].isin(run.dictionaries["dictionary"])]
    summed = with_arm(studied, run).groupby(["arm", "architecture"], sort=False)[RUNGS].sum().reset_index()
    rows = []
    for found in summed.to_dict("records"):
        before, total = int(found["total"]), int(found["total"])
        for rung in RUNGS:
            n = int(found[rung])
            rows.append({
                "arm": found["arm"], "architecture": found["architecture"], "rung": rung, "n": n,
                "share": n / total if total else 0.0, "lost": before - n, "lost_as": LOST.get(rung, ""),
            })  # fmt: skip
            before = n
    return pd.DataFrame(rows)


def caption(table: pd.DataFrame) -> str:
    """Count each ladder."""
    words = "; ".join(
        f"{name}: " + ", ".join(f"{row['n']:,} {row['rung']}" for row in part.to_dict("records"))
        for name, part in table.groupby("arm", sort=False)
    )
    return f"Latents left at each step. Scores of eligible latents say nothing about those lost before. {words}."


def height(table: pd.DataFrame) -> float:
    """One row of panels."""
    return 1.9


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw bars that shrink from rung to rung, with the counts lost between them."""
    names = arms(table)
    for axis, (name, architecture) in zip(_paper.panels(figure, [name for name, _ in names]), names, strict=True):
        rows = table[table["arm"] == name].iloc[::-1]
        axis.barh(rows["rung"], rows["share"], color=colour(architecture), alpha=0.8, height=0.62)
        for row in rows.to_dict("records"):
            lost = f"   −{row['lost']:,} {row['lost_as']}" if row["lost"] else ""
            axis.text(row["share"] + 0.02, row["rung"], f"{row['n']:,}{lost}", va="center", color=INK, fontsize="small")
        axis.set(xlim=(0, 1.9), xticks=[])
        axis.spines["bottom"].set_visible(False)
        axis.tick_params(axis="y", length=0)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """The same bars for the page."""
    names, found = arms(table), []
    for place, (name, architecture) in enumerate(names):
        rows = table[table["arm"] == name].iloc[::-1]
        lost = [f"−{n:,} {words}" if n else "" for n, words in zip(rows["lost"], rows["lost_as"], strict=True)]
        found.append(
            {
                "type": "bar",
                "orientation": "h",
                "x": rows["share"].round(5).tolist(),
                "y": rows["rung"].tolist(),
                "customdata": lost,
                "text": [f"{n:,}" for n in rows["n"]],
                "textposition": "outside",
                "cliponaxis": False,
                "marker": {"color": _plotly.role(architecture, 0.8)},
                "hovertemplate": "%{y}: %{text} (%{x:.1%}) %{customdata}<extra></extra>",
                **_plotly.on(place),
            }
        )
    layout = _plotly.grid_layout(
        [name for name, _ in names],
        {"range": [0, 1.3], "tickformat": ".0%", "title": {"text": "share of all latents"}},
        {"type": "category"},
    )
    return {"data": found, "layout": layout}
