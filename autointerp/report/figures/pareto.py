"""What a dictionary costs the model against how interpretable it is, with both errors and who is on the frontier."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from autointerp.report.figures import _paper, _plotly
from autointerp.report.figures.base import MARKERS, colour, listed, scorers_of, with_arm
from autointerp.report.run import ReportRun
from autointerp.seeds import generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Cost to the model against interpretability"
SIZE: Literal["column", "page"] = "column"
NEEDS = "reconstruction metrics (ce_increase) and estimates"
N_DRAWS = 4000


def data(run: ReportRun) -> pd.DataFrame:
    """One row per dictionary and scorer: score and CE increase with intervals, probability of being on the frontier."""
    estimates, costs = run.estimates, run.reconstruction
    costs = costs[costs["metric"] == "ce_increase"]
    if estimates.empty or costs.empty:
        return pd.DataFrame()
    wanted = (estimates["statistic"] == "score") & (estimates["population"] == "eligible")
    rows = estimates.loc[wanted, ["dictionary", "architecture", "scorer", "value", "low", "high", "level", "n_latents"]]
    costs = costs[["dictionary", "value", "low", "high", "n_documents"]].rename(
        columns={"value": "ce_increase", "low": "ce_low", "high": "ce_high"}
    )
    joined = rows.merge(costs, on="dictionary").reset_index(drop=True)
    if joined.empty:
        return joined
    chances = [frontier_probability(part) for _, part in joined.groupby("scorer", sort=False)]
    return with_arm(joined.assign(frontier_probability=pd.concat(chances)), run)


def frontier_probability(rows: pd.DataFrame) -> pd.Series:
    """Chance that no other dictionary is both cheaper and better, with estimates drawn from their errors (normal).

    >>> rows = pd.DataFrame({"scorer": ["d", "d"], "value": [.9, .6], "low": [.89, .59], "high": [.91, .61],
    ...     "ce_increase": [.1, .3], "ce_low": [.09, .29], "ce_high": [.11, .31], "level": [.95, .95]})
    >>> frontier_probability(rows).tolist()
    [1.0, 0.0]
    """
    z = stats.norm.ppf((1 + rows["level"].to_numpy(float)) / 2)
    rng = generator(0, "pareto", str(rows["scorer"].iloc[0]))
    shape = (N_DRAWS, len(rows))
    score = (
        rows["value"].to_numpy(float)
        + rng.standard_normal(shape) * (rows["high"] - rows["low"]).to_numpy(float) / 2 / z
    )
    cost_se = (rows["ce_high"] - rows["ce_low"]).to_numpy(float) / 2 / z
    cost = rows["ce_increase"].to_numpy(float) + rng.standard_normal(shape) * cost_se
    beaten = ((cost[:, None, :] < cost[:, :, None]) & (score[:, None, :] > score[:, :, None])).any(axis=2)
    return pd.Series(np.round(1 - beaten.mean(axis=0), 4), index=rows.index)


def caption(table: pd.DataFrame) -> str:
    """Name both axes' intervals, and the frontier's probabilities."""
    words = listed(
        [f"{row['dictionary']} {row['frontier_probability']:.2f} ({row['scorer']})" for row in table.to_dict("records")]
    )
    return (
        "Rise of the model's next-token cross-entropy when the dictionary's output replaces the module's (95 "
        "% interval over "
        "documents) against mean balanced accuracy over eligible latents (95 % interval over latents). Up and left is "
        f"better. Probability that no other dictionary is both cheaper and more interpretable: {words}."
    )


def height(table: pd.DataFrame) -> float:
    """One row of panels."""
    return 2.3


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw crosses of errors, marked by architecture."""
    for axis, scorer in zip(_paper.panels(figure, scorers_of(table)), scorers_of(table), strict=True):
        for row in table[table["scorer"] == scorer].to_dict("records"):
            tint = colour(row["architecture"])
            axis.plot([row["ce_low"], row["ce_high"]], [row["value"]] * 2, color=tint, linewidth=1)
            axis.plot([row["ce_increase"]] * 2, [row["low"], row["high"]], color=tint, linewidth=1)
            marker = MARKERS.get(row["architecture"], "^")
            axis.plot(row["ce_increase"], row["value"], marker, color=tint, markersize=4.5, label=row["arm"])
        axis.set_xlabel("CE increase (nats)")
        axis.margins(0.15)
    figure.axes[0].set_ylabel("balanced accuracy")
    _paper.legend_below(figure, 3)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """The same crosses for the page."""
    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    for place, scorer in enumerate(scorers_of(table)):
        for row in table[table["scorer"] == scorer].to_dict("records"):
            one = pd.DataFrame([row])
            cost = pd.DataFrame([{"value": row["ce_increase"], "low": row["ce_low"], "high": row["ce_high"]}])
            hover = (
                f"{row['dictionary']}: CE +%{{x:.4f}}, score %{{y:.3f}}, on the frontier with probability "
                f"{row['frontier_probability']:.2f}<extra></extra>"
            )
            found.append(_plotly.curve(
                [round(row["ce_increase"], 5)], one, row["arm"], row["architecture"], place, joined=False, size=10,
                legend=row["arm"] not in seen, hovertemplate=hover, **_plotly.error_bars(cost, "x"),
            ))  # fmt: skip
            seen.add(row["arm"])
    x, y = {"title": {"text": "CE increase (nats)"}}, {"title": {"text": "balanced accuracy"}}
    return {"data": found, "layout": _plotly.grid_layout(scorers_of(table), x, y, legend=len(seen))}
