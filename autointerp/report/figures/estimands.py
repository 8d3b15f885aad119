"""Four answers to "how interpretable is it?": over eligible latents, at equal firing rates, over all, by what fires."""

from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from autointerp.report.figures.base import (
    GREY,
    MARKERS,
    SYMBOLS,
    arms,
    colour,
    error_bars,
    grid_layout,
    line,
    on,
    panels,
    role,
    scorers_of,
    with_arm,
)  # fmt: skip
from autointerp.report.run import ReportRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Four estimands"
SIZE: Literal["column", "page"] = "page"
NEEDS = "estimates"
WORDS = {
    "eligible": "eligible latents",
    "standardised": "equal firing rates",
    "iti": "all latents (ITI)",
    "freq": "weighted by firing",
}


def data(run: ReportRun) -> pd.DataFrame:
    """One row per dictionary, scorer and population."""
    table = run.estimates
    if table.empty:
        return pd.DataFrame()
    rows = table[(table["statistic"] == "score") & (table["architecture"] != "planted")]
    rows = rows[
        [
            "dictionary",
            "architecture",
            "scorer",
            "population",
            "value",
            "low",
            "high",
            "n_latents",
            "n_eff",
            "method",
            "note",
        ]
    ]
    return with_arm(rows).reset_index(drop=True)


def caption(table: pd.DataFrame) -> str:
    """Say what each population is."""
    return (
        "Mean balanced accuracy with 95 % intervals over four populations: eligible latents (what is usually "
        "reported); the "
        "same at the pooled firing rates of all dictionaries; every latent of the dictionary, one that "
        "cannot be judged "
        "counting as chance (intent to interpret); eligible latents weighted by how often they fire. A ranking that "
        "changes between them is a fact about selection, not about interpretability."
    )


def height(table: pd.DataFrame) -> float:
    """Grow with the number of arms."""
    return 1.0 + 0.42 * max(2, len(arms(table)) * 0.8)


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw one row per population, dictionaries beside each other."""
    names = arms(table)
    populations = [name for name in WORDS if name in set(table["population"])][::-1]
    offsets = {name: (0.5 - (at + 0.5) / len(names)) * 0.7 for at, (name, _) in enumerate(names)}
    for axis, scorer in zip(panels(figure, scorers_of(table), sharex=True), scorers_of(table), strict=True):
        axis.axvline(0.5, color=GREY, linewidth=0.6)
        for row in table[table["scorer"] == scorer].to_dict("records"):
            at, tint = populations.index(row["population"]) + offsets[row["arm"]], colour(row["architecture"])
            axis.plot([row["low"], row["high"]], [at, at], color=tint, linewidth=1.2)
            label = row["arm"] if row["population"] == populations[0] else None
            axis.plot(row["value"], at, MARKERS.get(row["architecture"], "^"), color=tint, markersize=4, label=label)
        axis.set_yticks(range(len(populations)), [WORDS[name] for name in populations])
        axis.set_xlabel("balanced accuracy")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=4, frameon=False)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """The same dots for the page."""
    names, found = arms(table), []
    step = 0.7 / max(1, len(names))
    order = [name for name in WORDS if name in set(table["population"])][::-1]
    for place, scorer in enumerate(scorers_of(table)):
        for at, (name, architecture) in enumerate(names):
            rows = table[(table["scorer"] == scorer) & (table["arm"] == name)]
            y = [order.index(population) + 0.35 - step * (at + 0.5) for population in rows["population"]]
            found.append({
                "type": "scatter", "mode": "markers", "x": rows["value"].round(4).tolist(), "y": y, "name": name,
                "legendgroup": name, "showlegend": place == 0,
                "marker": {"color": role(architecture), "size": 9, "symbol": SYMBOLS.get(architecture, "triangle-up")},
                "text": [WORDS[population] for population in rows["population"]],
                "hovertemplate": f"{name}, %{{text}}: %{{x:.3f}}<extra></extra>", **error_bars(rows, "x"), **on(place),
            })  # fmt: skip
    shapes = [line(place, x=0.5) for place in range(len(scorers_of(table)))]
    ticks = {"tickvals": list(range(len(order))), "ticktext": [WORDS[name] for name in order]}
    layout = grid_layout(scorers_of(table), {"title": {"text": "balanced accuracy"}}, ticks, shapes=shapes)
    return {"data": found, "layout": {**layout, "showlegend": True, "legend": {"orientation": "h", "y": -0.25},
                                      "margin": {"l": 56, "r": 12, "t": 26, "b": 80}}}  # fmt: skip
