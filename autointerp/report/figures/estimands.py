"""Four answers to "how interpretable is it?": over eligible latents, at equal firing rates, over all, by what fires."""

from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from autointerp.report.figures import _paper, _plotly
from autointerp.report.figures.base import GREY, MARKERS, arms, colour, scorers_of, with_arm
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
    rows = rows[[
        "dictionary", "architecture", "scorer", "population", "value", "low", "high", "n_latents", "n_eff", "method",
        "note",
    ]]  # fmt: skip
    return with_arm(rows, run)


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
    """Grow with the number of dictionaries."""
    return 1.0 + 0.42 * max(2, table["dictionary"].nunique() * 0.8)


def _offsets(table: pd.DataFrame) -> dict[str, float]:
    """Places of the dictionaries around their population's row."""
    names = list(dict.fromkeys(table["dictionary"]))
    return {name: (0.5 - (at + 0.5) / len(names)) * 0.7 for at, name in enumerate(names)}


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw one row per population, dictionaries beside each other."""
    populations = [name for name in WORDS if name in set(table["population"])][::-1]
    offsets = _offsets(table)
    for axis, scorer in zip(_paper.panels(figure, scorers_of(table), sharex=True), scorers_of(table), strict=True):
        axis.axvline(0.5, color=GREY, linewidth=0.6)
        for row in table[table["scorer"] == scorer].to_dict("records"):
            at, tint = populations.index(row["population"]) + offsets[row["dictionary"]], colour(row["architecture"])
            axis.plot([row["low"], row["high"]], [at, at], color=tint, linewidth=1.2)
            axis.plot(row["value"], at, MARKERS.get(row["architecture"], "^"), color=tint, markersize=4,
                      label=row["arm"])  # fmt: skip
        axis.set_yticks(range(len(populations)), [WORDS[name] for name in populations])
        axis.set_xlabel("balanced accuracy")
    _paper.legend_below(figure, 4)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """The same dots for the page."""
    found, offsets = [], _offsets(table)
    order = [name for name in WORDS if name in set(table["population"])][::-1]
    seen: set[str] = set()
    for place, scorer in enumerate(scorers_of(table)):
        for (name, arm, architecture), rows in table[table["scorer"] == scorer].groupby(
            ["dictionary", "arm", "architecture"], sort=False
        ):
            y = [order.index(population) + offsets[str(name)] for population in rows["population"]]
            trace = _plotly.curve(
                _plotly.short(rows["value"]), rows, str(arm), str(architecture), place, joined=False, axis="x", size=9,
                legend=arm not in seen, text=[WORDS[population] for population in rows["population"]],
                hovertemplate=f"{name}, %{{text}}: %{{x:.3f}}<extra></extra>",
            )  # fmt: skip
            found.append({**trace, "y": y})
            seen.add(str(arm))
    shapes = [_plotly.line(place, x=0.5) for place in range(len(scorers_of(table)))]
    ticks = {"tickvals": list(range(len(order))), "ticktext": [WORDS[name] for name in order]}
    layout = _plotly.grid_layout(scorers_of(table), {"title": {"text": "balanced accuracy"}}, ticks,
                                 legend=len(arms(table)), shapes=shapes)  # fmt: skip
    return {"data": found, "layout": {**layout, "height": 190 + 44 * max(4, len(offsets))}}
