"""Cost to the model against interpretability, with both errors and the probability of being on the frontier."""

from typing import TYPE_CHECKING, Literal

import pandas as pd

from autointerp.report.figures import _paper
from autointerp.report.figures.base import arms, listed, scorers_of, with_arm
from autointerp.report.run import ReportRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Cost to the model against interpretability"
SIZE: Literal["column", "page"] = "column"
NEEDS = "reconstruction metrics (ce_increase) and estimates"
PANEL = "scorer"


def data(run: ReportRun) -> pd.DataFrame:
    """One row per dictionary and scorer: score and CE increase with intervals, probability of being on the frontier."""
    estimates, stored = run.estimates, run.curves
    costs = stored[stored["curve"] == "frontier_probability"]
    if estimates.empty or costs.empty:
        return pd.DataFrame()
    chosen = (estimates["statistic"] == "score") & (estimates["population"] == "eligible")
    rows = estimates.loc[chosen, ["dictionary", "scorer", "value", "low", "high", "level", "n_latents"]]
    names = {"value": "frontier_probability", "x": "ce_increase", "x_low": "ce_low", "x_high": "ce_high"}
    costs = costs.rename(columns=names)[["dictionary", "scorer", *names.values()]]
    return with_arm(rows.merge(costs, on=["dictionary", "scorer"]), run)


def caption(table: pd.DataFrame) -> str:
    """Name both axes' intervals, and the frontier's probabilities."""
    words = listed(
        [f"{row['arm']} {row['frontier_probability']:.2f} ({row['scorer']})" for row in table.to_dict("records")]
    )
    return (
        "Rise of the model's next-token cross-entropy when the dictionary's output replaces the module's (95 % "
        "interval over documents) against mean balanced accuracy over eligible latents (95 % interval over latents). "
        "Up and left is better. Probability that no other dictionary is both cheaper and more interpretable, drawn "
        f"from these errors: {words}."
    )


def height(table: pd.DataFrame) -> float:
    """One row of panels."""
    return 2.3


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw crosses of errors, in the colour and shape of the dictionary."""
    scorers = scorers_of(table)
    for axis, scorer in zip(_paper.panels(figure, scorers), scorers, strict=True):
        for arm in arms(table):
            for row in table[(table["scorer"] == scorer) & (table["arm"] == arm.dictionary)].to_dict("records"):
                axis.plot([row["ce_low"], row["ce_high"]], [row["value"]] * 2, color=arm.colour, linewidth=1)
                axis.plot([row["ce_increase"]] * 2, [row["low"], row["high"]], color=arm.colour, linewidth=1)
                axis.plot(
                    row["ce_increase"], row["value"], arm.marker, color=arm.colour, markersize=4.5, label=arm.label
                )
                text = (
                    f"{arm.dictionary}: CE increase {row['ce_increase']:.4f}, score {row['value']:.3f}, on the "
                    f"frontier with probability {row['frontier_probability']:.2f}"
                )
                _paper.tips(axis, [row["ce_increase"]], [row["value"]], [text])
        axis.set_xlabel("CE increase (nats)")
        axis.locator_params(axis="x", nbins=5)
        axis.margins(0.15)
    figure.axes[0].set_ylabel("balanced accuracy")
    _paper.legend_below(figure, 3)
