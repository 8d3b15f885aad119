"""Four answers to "how interpretable is it?": over eligible latents, at equal firing rates, over all, by firing."""

from typing import TYPE_CHECKING, Literal

import pandas as pd

from autointerp.report.figures import _paper
from autointerp.report.figures.base import GREY, arms, scorers_of, with_arm
from autointerp.report.run import ReportRun
from autointerp.report.words import POPULATIONS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Four populations"
SIZE: Literal["column", "page"] = "page"
NEEDS = "estimates"
PANEL = "scorer"


def data(run: ReportRun) -> pd.DataFrame:
    """One row per dictionary, scorer and population."""
    table = run.estimates
    if table.empty:
        return pd.DataFrame()
    rows = table[table["statistic"] == "score"]
    rows = rows[["dictionary", "scorer", "population", "value", "low", "high", "n_latents", "n_eff", "method", "note"]]
    return with_arm(rows, run)


def caption(table: pd.DataFrame) -> str:
    """Explain the populations."""
    return (
        "Mean balanced accuracy with 95 % intervals over four populations: eligible latents (what is usually "
        "reported); the same at the pooled firing rates of all dictionaries; every latent of the dictionary, where one "
        "that cannot be judged counts as chance (intent to interpret, ITI); eligible latents weighted by how often "
        "they fire. A ranking that changes between them comes from which latents are counted."
    )


def height(table: pd.DataFrame) -> float:
    """Grow with the number of dictionaries."""
    return 1.0 + 0.42 * max(2, table["dictionary"].nunique() * 0.8)


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw one row per population, dictionaries side by side."""
    populations = [name for name in POPULATIONS if name in set(table["population"])][::-1]
    names, scorers = arms(table), scorers_of(table)
    for axis, scorer in zip(_paper.panels(figure, scorers, sharex=True), scorers, strict=True):
        axis.axvline(0.5, color=GREY, linewidth=0.6)
        for place, arm in enumerate(names):
            offset = (0.5 - (place + 0.5) / len(names)) * 0.7
            for row in table[(table["scorer"] == scorer) & (table["arm"] == arm.dictionary)].to_dict("records"):
                at = populations.index(row["population"]) + offset
                axis.plot([row["low"], row["high"]], [at, at], color=arm.colour, linewidth=1.2)
                axis.plot(row["value"], at, arm.marker, color=arm.colour, markersize=4, label=arm.label)
                text = f"{arm.dictionary}, {POPULATIONS[row['population']]}: {row['value']:.3f}"
                _paper.tips(axis, [row["value"]], [at], [f"{text} [{row['low']:.3f}, {row['high']:.3f}]"])
        axis.set_yticks(range(len(populations)), [POPULATIONS[name] for name in populations])
        axis.set_xlabel("balanced accuracy (0.5: chance)")
    _paper.legend_below(figure, 3)
