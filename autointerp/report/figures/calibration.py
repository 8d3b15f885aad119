"""Does the judge's P(yes) mean what it says? Binned, with intervals clustered by latent."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.report.figures import _paper, _plotly
from autointerp.report.figures.base import GREY, arms, listed, scorers_of, with_arm
from autointerp.report.run import ReportRun
from autointerp.run import tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Calibration of the judge"
SIZE: Literal["column", "page"] = "column"
NEEDS = "a judge that gives probabilities"
LEVEL, N_BINS = 0.95, 10


def data(run: ReportRun) -> pd.DataFrame:
    """One row per dictionary, scorer and tenth of P(yes): mean P(yes), share of true ones, Brier score, mean AUROC."""
    judged = run.judgements
    judged = judged[(judged["control"] == "none") & judged["probability"].notna()]
    judged = judged.merge(run.latents[[*tables.KEY, "architecture"]], on=tables.KEY)
    if judged.empty:
        return pd.DataFrame()
    judged = with_arm(judged, run)
    judged = judged.assign(bin=np.minimum((judged["probability"] * N_BINS).astype(int), N_BINS - 1))
    own = run.own_scores
    rows = []
    for (scorer, arm, architecture), part in judged.groupby(["scorer", "arm", "architecture"], sort=False):
        brier = float(((part["probability"] - part["truth"]) ** 2).mean())
        ranks = own.loc[(own["scorer"] == scorer) & own["dictionary"].isin(part["dictionary"]), "auroc"].mean()
        for place, inside in part.groupby("bin"):
            rows.append(
                {
                    "scorer": scorer,
                    "arm": arm,
                    "architecture": architecture,
                    "bin": place,
                    "p_yes": inside["probability"].mean(),
                    **clustered_share(inside["truth"].to_numpy(bool), inside.groupby(tables.KEY).ngroup().to_numpy()),
                    "n_items": len(inside),
                    "brier": brier,
                    "auroc": float(ranks),
                }
            )
    return pd.DataFrame(rows)


def clustered_share(truth: np.ndarray, cluster: np.ndarray) -> dict[str, float]:
    """Share of true items with its t interval over clusters (latents): a ratio of sums, linearised.

    >>> found = clustered_share(np.array([True, True, False, False]), np.array([0, 0, 1, 1]))
    >>> found["value"], found["low"], found["high"]
    (0.5, 0.0, 1.0)
    """
    n, hits = np.bincount(cluster), np.bincount(cluster, weights=truth)
    n, hits = n[n > 0], hits[n > 0]
    share, k = float(hits.sum() / n.sum()), len(n)
    if k < 2:
        return {"value": share, "low": 0.0, "high": 1.0, "n_latents": k}
    se = float(np.sqrt(k / (k - 1) * ((hits - share * n) ** 2).sum()) / n.sum())
    half = float(stats.t.ppf((1 + LEVEL) / 2, k - 1)) * se
    return {"value": share, "low": max(0.0, share - half), "high": min(1.0, share + half), "n_latents": k}


def caption(table: pd.DataFrame) -> str:
    """Name the Brier scores and the mean AUROC."""
    firsts = table.drop_duplicates(["scorer", "arm"]).to_dict("records")
    words = listed(
        [f"{row['arm']}, {row['scorer']}: Brier {row['brier']:.3f}, AUROC {row['auroc']:.3f}" for row in firsts]
    )
    return (
        "Share of contexts that truly activate the latent, by the judge's P(yes) in tenths; bars: 95 % over "
        "latents. The mix "
        "of activating and silent contexts is that of the questions, not of natural text. AUROC is averaged "
        "over latents, "
        f"never pooled. {words}."
    )


def height(table: pd.DataFrame) -> float:
    """One row of panels."""
    return 2.3


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw observed against stated probabilities."""
    for axis, scorer in zip(_paper.panels(figure, scorers_of(table)), scorers_of(table), strict=True):
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle=":")
        for name, architecture in arms(table):
            rows = table[(table["scorer"] == scorer) & (table["arm"] == name)]
            _paper.curve(axis, rows["p_yes"], rows, architecture, name)
        axis.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="P(yes)")
    figure.axes[0].set_ylabel("truly active")
    _paper.legend_below(figure, 2)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """The same curves for the page."""
    found = []
    for place, scorer in enumerate(scorers_of(table)):
        for name, architecture in arms(table):
            rows = table[(table["scorer"] == scorer) & (table["arm"] == name)]
            hover = f"{name}: P(yes) %{{x:.2f}}, truly active %{{y:.2f}}<extra></extra>"
            found.append(
                _plotly.curve(_plotly.short(rows["p_yes"]), rows, name, architecture, place, hovertemplate=hover)
            )
        found.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [0, 1],
                "y": [0, 1],
                "showlegend": False,
                "hoverinfo": "skip",
                "line": {"color": "@soft", "dash": "dot", "width": 1},
                **_plotly.on(place),
            }
        )
    layout = _plotly.grid_layout(
        scorers_of(table), {"range": [0, 1], "title": {"text": "P(yes)"}},
        {"range": [0, 1.03], "title": {"text": "truly active"}}, legend=len(arms(table)),
    )  # fmt: skip
    return {"data": found, "layout": layout}
