"""Score against firing rate: the confound that a comparison of dictionaries lives with."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from autointerp.report.figures.base import (
    MARKERS,
    SYMBOLS,
    arms,
    colour,
    error_bars,
    grid_layout,
    interval_columns,
    on,
    role,
    scorers_of,
    simultaneous,
    with_arm,
)  # fmt: skip
from autointerp.report.run import ReportRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Score against firing rate"
SIZE: Literal["column", "page"] = "page"
NEEDS = "judged latents"
LEVEL, N_BINS = 0.95, 8


def data(run: ReportRun) -> pd.DataFrame:
    """Rows `part` = latent, bin (mean score in a bin of rates with equal counts), count (all eligible latents)."""
    own = run.own_scores[run.own_scores["score"].notna()]
    if own.empty:
        return pd.DataFrame()
    latents = with_arm(own).assign(part="latent", value=own["score"], rate=own["firing_rate_token"].clip(lower=1e-9))
    cuts = np.unique(np.quantile(np.log10(latents["rate"]), np.linspace(0, 1, N_BINS + 1)[1:-1]))
    latents["bin"] = np.searchsorted(cuts, np.log10(latents["rate"]))
    rows = []
    for (scorer, arm, architecture), part in latents.groupby(["scorer", "arm", "architecture"], sort=False):
        for place, inside in part.groupby("bin"):
            weights = 1 / inside["inclusion_probability"].to_numpy(float)
            found = interval_columns(inside["value"].to_numpy(float), weights, simultaneous(LEVEL, len(cuts) + 1))
            rate = float(10 ** np.log10(inside["rate"]).mean())
            rows.append(
                {
                    "part": "bin",
                    "scorer": scorer,
                    "arm": arm,
                    "architecture": architecture,
                    "bin": place,
                    "rate": rate,
                    **found,
                }
            )
    columns = ["part", "scorer", "arm", "architecture", "dictionary", "latent", "bin", "rate", "value"]
    return pd.concat([latents[columns], pd.DataFrame(rows), _counts(run)], ignore_index=True)


def _counts(run: ReportRun) -> pd.DataFrame:
    """Histogram of the firing rates of all eligible latents: share of each dictionary's eligible latents per bin."""
    eligible = with_arm(run.latents[run.latents["eligible"] & (run.latents["firing_rate_token"] > 0)])
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
            upper.scatter(
                dots["rate"], dots["value"], s=1.6, color=tint, alpha=0.3, linewidths=0, rasterized=len(dots) > 3000
            )
            errors = [means["value"] - means["low"], means["high"] - means["value"]]
            upper.errorbar(means["rate"], means["value"], yerr=errors, color=tint, linewidth=1, elinewidth=0.8,
                           marker=MARKERS.get(architecture, "^"), markersize=3, label=name)  # fmt: skip
            counts = table[(table["part"] == "count") & (table["arm"] == name)]
            lower.stairs(counts["value"], [*counts["low"], counts["high"].iloc[-1]], color=tint, linewidth=1)
        upper.set(xscale="log", ylim=(max(0.0, float(dots_low) - 0.05), 1.03))
        lower.set_xlabel("firing rate (share of tokens)")
    axes[0][0].set_ylabel("balanced accuracy")
    axes[1][0].set_ylabel("eligible")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """Scores and means for the page, histograms in a strip below."""
    found, scorers = [], scorers_of(table)
    for place, scorer in enumerate(scorers):
        for name, architecture in arms(table[table["part"] == "bin"]):
            mine = table[(table["arm"] == name) & (table["scorer"] == scorer)]
            dots, means = mine[mine["part"] == "latent"], mine[mine["part"] == "bin"]
            symbol = SYMBOLS.get(architecture, "triangle-up")
            shared = {"type": "scatter", "legendgroup": name, "name": name, **on(place)}
            found.append(
                {
                    **shared,
                    "mode": "markers",
                    "x": _short(dots["rate"]),
                    "y": dots["value"].round(4).tolist(),
                    "showlegend": False,
                    "text": [f"{d}/{i}" for d, i in zip(dots["dictionary"], dots["latent"].astype(int), strict=True)],
                    "marker": {"color": role(architecture), "size": 3.5, "opacity": 0.3, "symbol": symbol},
                    "hovertemplate": "%{text}: %{y:.3f}, fires on %{x:.2%}<extra></extra>",
                }
            )
            found.append({
                **shared, "mode": "lines+markers", "x": _short(means["rate"]), "y": means["value"].round(4).tolist(),
                "showlegend": place == 0, "line": {"color": role(architecture), "width": 1.8},
                "marker": {"color": role(architecture), "size": 8, "symbol": symbol}, **error_bars(means),
                "hovertemplate": f"{name}: mean %{{y:.3f}} at %{{x:.2%}}<extra></extra>",
            })  # fmt: skip
            counts = table[(table["part"] == "count") & (table["arm"] == name)]
            number = "" if place == 0 else str(place + 1)
            found.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": _short(counts["rate"]),
                    "y": counts["value"].round(4).tolist(),
                    "legendgroup": name,
                    "name": name,
                    "showlegend": False,
                    "line": {"shape": "hvh", "color": role(architecture), "width": 1.4},
                    "xaxis": f"x{number}",
                    "yaxis": f"y{len(scorers) + place + 1}",
                    "hovertemplate": f"{name}: %{{y:.1%}} of eligible<extra></extra>",
                }
            )
    x = {"type": "log", "title": {"text": "firing rate (share of tokens)"}, "tickformat": ".0e"}
    layout = grid_layout(scorers, x, {"range": [0, 1.03], "domain": [0.3, 1], "title": {"text": "balanced accuracy"}})
    for place in range(len(scorers)):
        number = "" if place == 0 else str(place + 1)
        layout[f"yaxis{len(scorers) + place + 1}"] = {
            "domain": [0, 0.2],
            "anchor": f"x{number}",
            "showticklabels": False,
            "rangemode": "tozero",
            "title": {"text": "" if place else "eligible"},
        }
        layout[f"xaxis{number}"]["anchor"] = f"y{len(scorers) + place + 1}"
    return {"data": found, "layout": {**layout, "showlegend": True, "legend": {"orientation": "h", "y": -0.28},
                                      "margin": {"l": 56, "r": 12, "t": 26, "b": 84}}}  # fmt: skip


def _short(values: pd.Series) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
