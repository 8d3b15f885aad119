"""Coverage: total, alive, eligible, sampled, explained, scored latents."""

from typing import TYPE_CHECKING, Literal

import pandas as pd

from autointerp.report.figures import _paper
from autointerp.report.figures.base import INK, arms, with_arm
from autointerp.report.run import ReportRun
from autointerp.report.words import COVERAGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "From all latents to the scored ones"
SIZE: Literal["column", "page"] = "page"
NEEDS = "the latents table"
PANEL = "arm"
RUNGS = list(COVERAGE)
LOST = {
    "alive": "dead",
    "eligible": "rare or dense",
    "sampled": "not drawn",
    "explained": "explanation failed",
    "scored": "never answered",
}


def data(run: ReportRun) -> pd.DataFrame:
    """One row per dictionary and step: its latents, their share of all, and how many were lost on the way to it."""
    coverage = pd.DataFrame(run.summary.get("coverage", []))
    if coverage.empty:
        return coverage
    rows = []
    for found in with_arm(coverage, run).to_dict("records"):
        before, total = int(found["total"]), int(found["total"])
        for rung in RUNGS:
            n = int(found[rung])
            rows.append(
                {
                    **{name: found[name] for name in ("dictionary", "arm", "architecture", "tone")},
                    "rung": rung,
                    "n": n,
                    "share": n / total if total else 0.0,
                    "lost": before - n,
                    "lost_as": LOST.get(rung, ""),
                }
            )
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
    """Grow with the rows of panels."""
    return 1.9 * _paper.rows_of(table["arm"].nunique())


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw bars that shrink from step to step, with the counts lost between them."""
    names = arms(table)
    for axis, arm in zip(_paper.panels(figure, [arm.dictionary for arm in names]), names, strict=True):
        rows = table[table["arm"] == arm.dictionary].iloc[::-1]
        axis.barh(rows["rung"], rows["share"], color=arm.colour, alpha=0.8, height=0.62)
        for row in rows.to_dict("records"):
            lost = f"   \N{MINUS SIGN}{row['lost']:,} {row['lost_as']}" if row["lost"] else ""
            axis.text(row["share"] + 0.02, row["rung"], f"{row['n']:,}{lost}", va="center", color=INK, fontsize="small")
        axis.set(xlim=(0, 1.9), xticks=[])
        axis.spines["bottom"].set_visible(False)
        axis.tick_params(axis="y", length=0)
