"""Score against firing rate: the confound that a comparison of dictionaries lives with."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from autointerp.report.figures import _paper, _plotly
from autointerp.report.figures.base import arms, colour, interval_columns, scorers_of, simultaneous, with_arm
from autointerp.report.run import ReportRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Score against firing rate"
SIZE: Literal["column", "page"] = "page"
NEEDS = "judged latents"
LEVEL, MOST_BINS, LEAST_PER_BIN = 0.95, 8, 15


def data(run: ReportRun) -> pd.DataFrame:
    """Rows `part` = latent, bin (mean score in a bin of rates with equal counts), count (all eligible latents)."""
    own = run.own_scores[run.own_scores["score"].notna()]
    if own.empty:
        return pd.DataFrame()
    latents = with_arm(own, run)
    latents = latents.assign(part="latent", value=latents["score"], rate=latents["firing_rate_token"].clip(lower=1e-9))
    fewest = int(latents.groupby(["scorer", "arm"]).size().min())
    n_bins = min(MOST_BINS, max(3, fewest // LEAST_PER_BIN))
    cuts = np.unique(np.quantile(np.log10(latents["rate"]), np.linspace(0, 1, n_bins + 1)[1:-1]))
    latents["bin"] = np.searchsorted(cuts, np.log10(latents["rate"]))
    rows = []
    for (scorer, arm, architecture), part in latents.groupby(["scorer", "arm", "architecture"], sort=False):
        for place, inside in part.groupby("bin"):
            weights = 1 / inside["inclusion_probability"].to_numpy(float)
            found = interval_columns(inside["value"].to_numpy(float), weights, simultaneous(LEVEL, len(cuts) + 1))
            rate = float(10 ** np.log10(inside["rate"]).mean())
            rows.append({"part": "bin", "scorer": scorer, "arm": arm, "architecture": architecture, "bin": place,
                         "rate": rate, **found})  # fmt: skip
    columns = ["part", "scorer", "arm", "architecture", "dictionary", "latent", "bin", "rate", "value"]
    return pd.concat([latents[columns], pd.DataFrame(rows), _counts(run)], ignore_index=True)


def _counts(run: ReportRun) -> pd.DataFrame:
    """Histogram of the firing rates of all eligible latents: share of each dictionary's eligible latents per bin."""
    eligible = with_arm(run.latents[run.latents["eligible"] & (run.latents["firing_rate_token"] > 0)], run)
    logs = np.log10(eligible["firing_rate_token"].to_numpy(float))
    edges = np.linspace(logs.min(), logs.max() + 1e-9, 21) if len(logs) else np.linspace(-5, 0, 21)
    rows = []
    for (arm, architecture), part in eligible.groupby(["arm", "architecture"], sort=False):
        counts, _ = np.histogram(np.log10(part["firing_rate_token"]), edges)
        rows += [
            {
                "part": "count",
                "arm": arm,
                "architecture": architecture,
                "bin": at,
                "rate": float(10 ** ((edges[at] + edges[at + 1]) / 2)),
                "low": float(10 ** edges[at]),
                "high": float(10 ** edges[at + 1]),
                "value": n / counts.sum(),
                "n_latents": int(n),
            }
            for at, n in enumerate(counts)
        ]
    return pd.DataFrame(rows)


def caption(table: pd.DataFrame) -> str:
    """Say what bins and bars are."""
    n = int((table["part"] == "latent").sum())
    return (
        f"Score of each judged latent against the share of tokens on which it fires ({n:,} latent-scorer "
        "pairs, faint), means "
        "within bins of equal count pooled over dictionaries (bars: 95 %, simultaneous over bins), and below "
        "them how the "
        "firing rates of all eligible latents are distributed. Dictionaries that differ below cannot be compared above "
        "without the frequency-standardised estimand."
    )


def height(table: pd.DataFrame) -> float:
    """One row of panels with a histogram under it."""
    return 2.9


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw scores above, histograms of firing rates below, on one rate axis."""
    scorers = scorers_of(table)
    axes = figure.subplots(2, len(scorers), squeeze=False, sharex=True, sharey="row", height_ratios=[3, 1])
    dots_low = table.loc[table["part"] == "latent", "value"].min()
    for column, scorer in enumerate(scorers):
        upper, lower = axes[0][column], axes[1][column]
        upper.set_title(scorer)
        for name, architecture in arms(table[table["part"] == "bin"]):
            tint, mine = colour(architecture), table[(table["arm"] == name) & (table["scorer"] == scorer)]
            dots, means = mine[mine["part"] == "latent"], mine[mine["part"] == "bin"]
            raster = len(dots) > 3000
            upper.scatter(dots["rate"], dots["value"], s=1.6, color=tint, alpha=0.4, linewidths=0, rasterized=raster)
            _paper.curve(upper, means["rate"], means, architecture, name)
            counts = table[(table["part"] == "count") & (table["arm"] == name)]
            lower.stairs(counts["value"], [*counts["low"], counts["high"].iloc[-1]], color=tint, linewidth=1)
        upper.set(xscale="log", ylim=(max(0.0, float(dots_low) - 0.05), 1.03))
        lower.set_xlabel("firing rate (share of tokens)")
    axes[0][0].set_ylabel("balanced accuracy")
    axes[1][0].set_ylabel("eligible")
    _paper.legend_below(figure, 4)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """Scores and means for the page, histograms in a strip below."""
    scorers, names = scorers_of(table), arms(table[table["part"] == "bin"])
    found = [
        trace for place, scorer in enumerate(scorers) for name, architecture in names
        for trace in _traces(table[table["arm"] == name], scorer, name, architecture, place, len(scorers))
    ]  # fmt: skip
    x = {"type": "log", "title": {"text": "firing rate (share of tokens)"}, "tickformat": ".0e", "nticks": 5}
    y = {"range": [0, 1.03], "domain": [0.3, 1], "title": {"text": "balanced accuracy"}}
    layout = _plotly.grid_layout(scorers, x, y, legend=len(names))
    for place in range(len(scorers)):
        strip = len(scorers) + place
        layout[_plotly.axis_name("y", strip)] = {
            "domain": [0, 0.2], "anchor": _plotly.on(place)["xaxis"], "showticklabels": False, "rangemode": "tozero",
            "title": {"text": "" if place else "eligible"},
        }  # fmt: skip
        layout[_plotly.axis_name("x", place)]["anchor"] = f"y{strip + 1}"
    return {"data": found, "layout": {**layout, "height": 420}}


def _traces(
    mine: pd.DataFrame, scorer: str, name: str, architecture: str, place: int, n_panels: int
) -> list[dict[str, Any]]:
    """One dictionary in one panel: its latents, their means by bin, and below how its eligible latents' rates lie."""
    dots = mine[(mine["part"] == "latent") & (mine["scorer"] == scorer)]
    means = mine[(mine["part"] == "bin") & (mine["scorer"] == scorer)]
    counts = mine[mine["part"] == "count"]
    tint, shared = (
        _plotly.role(architecture),
        {"type": "scatter", "legendgroup": name, "name": name, "showlegend": False},
    )
    return [
        {
            **shared, **_plotly.on(place), "mode": "markers", "x": _plotly.short(dots["rate"]),
            "y": dots["value"].round(4).tolist(),
            "text": [f"{d}/{i}" for d, i in zip(dots["dictionary"], dots["latent"].astype(int), strict=True)],
            "marker": {"color": tint, "size": 3.5, "opacity": 0.3, "symbol": _plotly.symbol(architecture)},
            "hovertemplate": "%{text}: %{y:.3f}, fires on %{x:.2%}<extra></extra>",
        },
        _plotly.curve(
            _plotly.short(means["rate"]), means, name, architecture, place, size=8,
            hovertemplate=f"{name}: mean %{{y:.3f}} at %{{x:.2%}}<extra></extra>",
        ),
        {
            **shared, **_plotly.on(place), "yaxis": f"y{n_panels + place + 1}", "mode": "lines",
            "x": _plotly.short(counts["rate"]), "y": counts["value"].round(4).tolist(),
            "line": {"shape": "hvh", "color": tint, "width": 1.4},
            "hovertemplate": f"{name}: %{{y:.1%}} of eligible<extra></extra>",
        },
    ]  # fmt: skip
