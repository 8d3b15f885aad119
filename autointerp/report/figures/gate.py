"""Path of a gate: the test statistic look by look, between its boundaries."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import pandas as pd

from autointerp.report.figures import _paper
from autointerp.report.figures.base import GREY, INK, Arm, arms, listed, with_arm
from autointerp.report.run import ReportRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Gate: the test statistic against its boundaries"
SIZE: Literal["column", "page"] = "page"
NEEDS = "a gate table (gate.parquet in the run directory)"
PANEL = "endpoint"
COLUMNS = ["endpoint", "look", "n", "info_frac", "z", "z_upper", "z_lower", "llm_calls", "llm_calls_saved", "decision"]


def data(run: ReportRun) -> pd.DataFrame:
    """One row per dictionary, endpoint and look."""
    if not run.files.has("gate"):
        return pd.DataFrame()
    table = run.files.read("gate")
    missing = [name for name in ["dictionary", *COLUMNS] if name not in table.columns]
    if missing or table.empty:
        return pd.DataFrame()
    if "design" in table.columns:  # limits on dead latents and cross-entropy have no looks
        table = table[table["design"].isin(["paired", "unpaired"])]
    return with_arm(table[["dictionary", *COLUMNS]].sort_values(["endpoint", "look"], kind="stable"), run)


def caption(table: pd.DataFrame) -> str:
    """Name the decisions and what stopping early saved."""
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
    """Grow with the rows of panels."""
    return 2.4 * _paper.rows_of(table["endpoint"].nunique())


def paths(table: pd.DataFrame, endpoint: str) -> Iterator[tuple[Arm, pd.DataFrame]]:
    """Yield each dictionary's looks at one endpoint."""
    for arm in arms(table):
        rows = table[(table["endpoint"] == endpoint) & (table["arm"] == arm.dictionary)]
        if len(rows):
            yield arm, rows


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw each dictionary's path between its boundaries, one panel per endpoint."""
    names = list(dict.fromkeys(table["endpoint"]))
    for axis, name in zip(_paper.panels(figure, names), names, strict=True):
        axis.axhline(0, color=GREY, linewidth=0.5)
        for arm, rows in paths(table, name):
            for column in ("z_upper", "z_lower"):
                axis.plot(
                    rows["info_frac"],
                    rows[column],
                    marker="_",
                    markersize=9,
                    color=INK,
                    linestyle="--",
                    linewidth=0.7,
                    label="boundaries",
                )
            axis.plot(
                rows["info_frac"],
                rows["z"],
                marker=arm.marker,
                color=arm.colour,
                markersize=3.5,
                linewidth=1,
                label=arm.label,
            )
            words = [
                f"{arm.dictionary}, look {look}: z {z:.2f}" for look, z in zip(rows["look"], rows["z"], strict=True)
            ]
            _paper.tips(axis, rows["info_frac"], rows["z"], words)
        axis.set(xlim=(0, 1.03), xlabel="share of the planned latents")
    figure.axes[0].set_ylabel("z")
    _paper.legend_below(figure, 3)
