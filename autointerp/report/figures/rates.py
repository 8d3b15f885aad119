"""Score against firing rate: the confound that a comparison of dictionaries must deal with."""

from typing import TYPE_CHECKING, Literal

import pandas as pd

from autointerp.report.figures import _paper
from autointerp.report.figures.base import arms, scorers_of, with_arm
from autointerp.report.run import ReportRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Score against firing rate"
SIZE: Literal["column", "page"] = "page"
NEEDS = "judged latents"
PANEL = "scorer"


def data(run: ReportRun) -> pd.DataFrame:
    """Rows `part` = latent, rate (mean score in a bin of rates of equal count), eligible_rates (histogram)."""
    own = run.own_scores[run.own_scores["score"].notna()]
    if own.empty:
        return pd.DataFrame()
    latents = own[["scorer", "dictionary", "latent", "score", "firing_rate_token"]]
    latents = latents.rename(columns={"score": "value", "firing_rate_token": "x"}).assign(part="latent", bin="")
    stored = run.curves
    stored = stored[stored["curve"].isin(["rate", "eligible_rates"])].rename(columns={"curve": "part"})
    return with_arm(pd.concat([latents, stored], ignore_index=True), run)


def caption(table: pd.DataFrame) -> str:
    """Explain the bins and bars."""
    n = int((table["part"] == "latent").sum())
    return (
        f"Score of each judged latent against the share of tokens on which it fires ({n:,} latent-scorer pairs, "
        "faint), means within bins of equal count pooled over dictionaries (bars: 95 % intervals, simultaneous over "
        "bins), and below them the distribution of the firing rates of all eligible latents. Where the distributions "
        "below differ, compare scores at equal firing rates."
    )


def height(table: pd.DataFrame) -> float:
    """One row of panels with a histogram under it."""
    return 2.9


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw scores above, histograms of firing rates below, on one rate axis."""
    scorers = scorers_of(table)
    axes = figure.subplots(2, len(scorers), squeeze=False, sharex=True, sharey="row", height_ratios=[3, 1])
    least = max(0.0, float(table.loc[table["part"] == "latent", "value"].min()) - 0.05)
    for column, scorer in enumerate(scorers):
        upper, lower = axes[0][column], axes[1][column]
        upper.set_title(scorer)
        for arm in arms(table):
            mine = table[(table["arm"] == arm.dictionary) & (table["scorer"] == scorer)]
            _dots(upper, mine[mine["part"] == "latent"], arm.colour)
            means = mine[mine["part"] == "rate"]
            _paper.curve(upper, means["x"], means, arm, words="rate bin ")
            counts = table[(table["part"] == "eligible_rates") & (table["arm"] == arm.dictionary)]
            if len(counts):
                edges = [*counts["x_low"], counts["x_high"].iloc[-1]]
                lower.stairs(counts["value"], edges, color=arm.colour, linewidth=1)
        upper.set(xscale="log", ylim=(least, 1.03))
        lower.set_xlabel("firing rate (share of tokens)")
    axes[0][0].set_ylabel("balanced accuracy")
    axes[1][0].set_ylabel("eligible")
    _paper.legend_below(figure, 3)


def _dots(axis: "Axes", dots: pd.DataFrame, tint: str) -> None:
    raster = len(dots) > 3000
    axis.scatter(dots["x"], dots["value"], s=1.6, color=tint, alpha=0.4, linewidths=0, rasterized=raster)
    names = [f"{d}/{int(i)}" for d, i in zip(dots["dictionary"], dots["latent"], strict=True)]
    texts = [f"{name}: {y:.3f}, fires on {x:.2%}" for name, x, y in zip(names, dots["x"], dots["value"], strict=True)]
    if not raster:
        _paper.tips(axis, dots["x"], dots["value"], texts, names)
