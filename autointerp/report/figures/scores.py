"""Scores of single latents by dictionary: a density, every latent, the mean with its interval, the controls' lines."""

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from autointerp.report.figures import _paper
from autointerp.report.figures.base import GREY, INK, Arm, arms, listed, scorers_of, with_arm
from autointerp.report.run import ReportRun
from autointerp.seeds import generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Scores of single latents"
SIZE: Literal["column", "page"] = "page"
NEEDS = "judged latents"
PANEL = "scorer"


def data(run: ReportRun) -> pd.DataFrame:
    """Rows `part` = latent (score; `shrunk`: noise removed), mean (with interval), reference (shuffled control)."""
    own = run.own_scores[run.own_scores["score"].notna()]
    if own.empty or run.estimates.empty:
        return pd.DataFrame()
    latents = own[["scorer", "dictionary", "latent", "score", "shrunk", "inclusion_probability"]]
    latents = latents.assign(part="latent", value=latents["score"]).drop(columns="score")
    means = run.estimates
    means = means[(means["statistic"] == "score") & (means["population"] == "eligible")]
    means = means[["scorer", "dictionary", "value", "low", "high", "n_latents"]].assign(part="mean")
    lines = run.controls
    lines = lines[(lines["control"] == "shuffled") & (lines["measure"] == "score") & (lines["dictionary"] == "all")]
    lines = lines[["scorer", "value", "n_latents"]].assign(part="reference")
    return pd.concat([with_arm(latents, run), with_arm(means, run), lines], ignore_index=True)


def caption(table: pd.DataFrame) -> str:
    """Explain the dots, and list the means."""
    means = table[table["part"] == "mean"]
    words = listed(
        [
            f"{row['arm']} {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}] by {row['scorer']} "
            f"({int(row['n_latents'])})"
            for row in means.to_dict("records")
        ]
    )
    return (
        "Balanced accuracy of each judged latent (dots; 0.5 is chance), the density of the scores with judging noise "
        "removed (empirical Bayes), and the mean over eligible latents with its 95 % interval. Dashed line: mean of "
        f"latents judged by another latent's explanation. Means (latents): {words}."
    )


def height(table: pd.DataFrame) -> float:
    """Grow with the number of dictionaries."""
    n = len(arms(table[table["part"] == "mean"]))
    return 0.75 + n * (0.5 if n <= 12 else 0.25)


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw rain clouds, one row per dictionary, one panel per scorer."""
    names = arms(table[table["part"] == "mean"])[::-1]
    scorers = scorers_of(table)
    for axis, scorer in zip(_paper.panels(figure, scorers), scorers, strict=True):
        mine = table[table["scorer"] == scorer]
        for at, arm in enumerate(names):
            _cloud(axis, mine[mine["arm"] == arm.dictionary], at, arm)
        for row in mine[mine["part"] == "reference"].to_dict("records"):
            axis.axvline(row["value"], color=GREY, linestyle="--", linewidth=0.8, zorder=0)
            axis.text(
                row["value"],
                len(names) + 0.12,
                "shuffled",
                color=GREY,
                va="center",
                ha="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            )
        axis.axvline(0.5, color=GREY, linewidth=0.6, zorder=0)
        axis.set(xlim=(_least(table), 1.02), ylim=(-0.5, len(names) + 0.35), xlabel="balanced accuracy")
        axis.set_yticks(range(len(names)), [arm.dictionary for arm in names])
        axis.tick_params(axis="y", length=0)


def _least(table: pd.DataFrame) -> float:
    """Lower end of the axis: .45, or below the lowest score."""
    return max(0.0, min(0.45, float(table["value"].min()) - 0.03))


def _cloud(axis: "Axes", rows: pd.DataFrame, at: int, arm: Arm) -> None:
    from scipy.stats import gaussian_kde

    latents, means = rows[rows["part"] == "latent"], rows[rows["part"] == "mean"]
    shrunk = latents["shrunk"].to_numpy(float)
    if len(shrunk) > 2 and np.ptp(shrunk) > 1e-9:
        grid = np.linspace(max(0.0, shrunk.min() - 0.05), min(1.0, shrunk.max() + 0.05), 120)
        density = gaussian_kde(shrunk)(grid)
        top = at + 0.1 + 0.6 * density / density.max()
        axis.fill_between(grid, at + 0.1, top, color=arm.colour, alpha=0.35, linewidth=0)
    height = at + generator(0, "jitter", at).uniform(-0.3, -0.08, len(latents))
    raster = len(latents) > 3000
    axis.scatter(latents["value"], height, s=2.2, color=arm.colour, alpha=0.5, linewidths=0, rasterized=raster)
    names = [f"{d}/{int(i)}" for d, i in zip(latents["dictionary"], latents["latent"], strict=True)]
    texts = [f"{name}: {value:.3f}" for name, value in zip(names, latents["value"], strict=True)]
    if not raster:
        _paper.tips(axis, latents["value"], height, texts, names)
    for row in means.to_dict("records"):
        axis.plot([row["low"], row["high"]], [at + 0.02] * 2, color=INK, linewidth=1.6, solid_capstyle="butt")
        axis.plot(row["value"], at + 0.02, "o", color=INK, markersize=3.2)
        words = f"{arm.dictionary}: mean {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        _paper.tips(axis, [row["value"]], [at + 0.02], [words])
