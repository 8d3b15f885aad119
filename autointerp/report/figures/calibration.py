"""Calibration of the judge's P(yes): binned, with intervals clustered by latent."""

from typing import TYPE_CHECKING, Literal

import pandas as pd

from autointerp.report.figures import _paper
from autointerp.report.figures.base import GREY, arms, listed, scorers_of, with_arm
from autointerp.report.run import ReportRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Calibration of the judge"
SIZE: Literal["column", "page"] = "column"
NEEDS = "a judge that gives probabilities"
PANEL = "scorer"


def data(run: ReportRun) -> pd.DataFrame:
    """One row per dictionary, scorer and tenth of P(yes) (`x`: its mean), with the Brier score and the mean AUROC."""
    stored = run.curves
    rows = stored[stored["curve"] == "calibration"]
    if rows.empty:
        return pd.DataFrame()
    key = ["dictionary", "scorer"]
    brier = stored.loc[stored["curve"] == "brier", [*key, "value"]].rename(columns={"value": "brier"})
    ranks = run.estimates
    ranks = ranks.loc[ranks["statistic"] == "auroc", [*key, "value"]].rename(columns={"value": "auroc"})
    return with_arm(rows.merge(brier, on=key, how="left").merge(ranks, on=key, how="left"), run)


def caption(table: pd.DataFrame) -> str:
    """Name the Brier scores and the mean AUROC."""
    firsts = table.drop_duplicates(["scorer", "arm"]).to_dict("records")
    words = listed(
        [f"{row['arm']}, {row['scorer']}: Brier {row['brier']:.3f}, AUROC {row['auroc']:.3f}" for row in firsts]
    )
    return (
        "Share of contexts that truly activate the latent, by the judge's P(yes) in tenths; bars: 95 % intervals over "
        "latents. The mix of activating and silent contexts is that of the questions, not of natural text. AUROC is "
        f"the mean over eligible latents of each latent's own. {words}."
    )


def height(table: pd.DataFrame) -> float:
    """One row of panels."""
    return 2.3


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw observed against stated probabilities."""
    scorers = scorers_of(table)
    for axis, scorer in zip(_paper.panels(figure, scorers), scorers, strict=True):
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle=":")
        for arm in arms(table):
            rows = table[(table["scorer"] == scorer) & (table["arm"] == arm.dictionary)]
            _paper.curve(axis, rows["x"], rows, arm, words="P(yes) bin ")
        axis.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="P(yes)")
    figure.axes[0].set_ylabel("truly active")
    _paper.legend_below(figure, 3)
