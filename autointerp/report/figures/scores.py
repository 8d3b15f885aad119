"""Scores of single latents by dictionary: a density, every latent, the mean with its interval, the controls' lines."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from autointerp.report.figures import _paper, _plotly
from autointerp.report.figures.base import GREY, INK, arms, colour, interval_columns, listed, scorers_of, with_arm
from autointerp.report.run import ReportRun
from autointerp.seeds import generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Scores of single latents"
SIZE: Literal["column", "page"] = "page"
NEEDS = "judged latents"
REFERENCES = ("shuffled", "planted")
# More dictionaries than this share a row with those of their architecture.
MOST_ROWS = 12
LEVEL = 0.95


def data(run: ReportRun) -> pd.DataFrame:
    """Rows `part` = latent (score; `shrunk`: noise taken out), mean (with interval), reference (a control's mean)."""
    from autointerp.statistics.variance import shrink

    own = run.own_scores[run.own_scores["score"].notna()]
    if own.empty:
        return pd.DataFrame()
    latents = with_arm(shrink(own), run, many=MOST_ROWS)
    latents = latents.assign(part="latent", value=latents["score"])
    columns = [
        "part", "scorer", "arm", "architecture", "dictionary", "latent", "value", "shrunk", "inclusion_probability",
    ]  # fmt: skip
    rows = []
    for (scorer, arm, architecture), part in latents.groupby(["scorer", "arm", "architecture"], sort=False):
        found = interval_columns(
            part["value"].to_numpy(float), 1 / part["inclusion_probability"].to_numpy(float), LEVEL
        )
        rows.append({"part": "mean", "scorer": scorer, "arm": arm, "architecture": architecture, **found})
    for (scorer, control), part in run.scores.groupby(["scorer", "control"], sort=False):
        if control in REFERENCES and part["score"].notna().any():
            rows.append({"part": "reference", "scorer": scorer, "arm": control, "architecture": "",
                         "value": part["score"].mean(), "n_latents": int(part["score"].notna().sum())})  # fmt: skip
    return pd.concat([latents[columns], pd.DataFrame(rows)], ignore_index=True)


def caption(table: pd.DataFrame) -> str:
    """Say what a dot is, and the means."""
    means = table[table["part"] == "mean"]
    words = listed(
        [
            f"{row['arm']} {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}] by {row['scorer']} "
            f"({int(row['n_latents'])})"
            for row in means.to_dict("records")
        ]
    )
    return (
        "Balanced accuracy of each judged latent (dots; chance .5), the density of the scores with judging "
        "noise taken out "
        "(empirical Bayes), and the mean over eligible latents with its 95 % interval. Dashed lines: latents judged by "
        f"another latent's explanation, and planted latents with their true one. Means (latents): {words}."
    )


def height(table: pd.DataFrame) -> float:
    """Grow with the number of arms."""
    return 0.75 + 0.5 * len(arms(table[table["part"] == "mean"]))


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw rain clouds, one row per arm, one panel per scorer."""
    names = arms(table[table["part"] == "mean"])
    for axis, scorer in zip(_paper.panels(figure, scorers_of(table)), scorers_of(table), strict=True):
        mine = table[table["scorer"] == scorer]
        for at, (name, architecture) in enumerate(reversed(names)):
            _cloud(axis, mine[mine["arm"] == name], at, colour(architecture))
        for row in mine[mine["part"] == "reference"].to_dict("records"):
            axis.axvline(row["value"], color=GREY, linestyle="--", linewidth=0.8, zorder=0)
            axis.text(row["value"], len(names) + 0.12, row["arm"], color=GREY, va="center", ha="center",
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})  # fmt: skip
        axis.axvline(0.5, color=GREY, linewidth=0.6, zorder=0)
        axis.set(xlim=(_least(table), 1.02), ylim=(-0.5, len(names) + 0.35), xlabel="balanced accuracy")
        axis.set_yticks(range(len(names)), [name for name, _ in reversed(names)])
        axis.tick_params(axis="y", length=0)


def _least(table: pd.DataFrame) -> float:
    """Where the axis begins: at .45, or below the lowest score."""
    return max(0.0, min(0.45, float(table["value"].min()) - 0.03))


def _cloud(axis: "Axes", rows: pd.DataFrame, at: int, tint: str) -> None:
    from scipy.stats import gaussian_kde

    latents, means = rows[rows["part"] == "latent"], rows[rows["part"] == "mean"]
    shrunk = latents["shrunk"].to_numpy(float)
    if len(shrunk) > 2 and np.ptp(shrunk) > 1e-9:
        grid = np.linspace(max(0.0, shrunk.min() - 0.05), min(1.0, shrunk.max() + 0.05), 200)
        density = gaussian_kde(shrunk)(grid)
        axis.fill_between(grid, at + 0.1, at + 0.1 + 0.6 * density / density.max(), color=tint, alpha=0.35, linewidth=0)
    jitter = generator(0, "jitter", at).uniform(-0.3, -0.08, len(latents))
    axis.scatter(
        latents["value"], at + jitter, s=2.2, color=tint, alpha=0.5, linewidths=0, rasterized=len(latents) > 3000
    )
    for row in means.to_dict("records"):
        axis.plot([row["low"], row["high"]], [at + 0.02] * 2, color=INK, linewidth=1.6, solid_capstyle="butt")
        axis.plot(row["value"], at + 0.02, "o", color=INK, markersize=3.2)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """Half violins with all latents, one panel per scorer."""
    names, found, shapes, marks = arms(table[table["part"] == "mean"]), [], [], []
    for place, scorer in enumerate(scorers_of(table)):
        mine = table[table["scorer"] == scorer]
        found += [_violin(mine[mine["arm"] == name], name, architecture, place) for name, architecture in names[::-1]]
        means = mine[mine["part"] == "mean"]
        found.append({
            "type": "scatter", "mode": "markers", "x": means["value"].round(4).tolist(), "y": means["arm"].tolist(),
            "marker": {"color": "@ink", "size": 8}, "hovertemplate": "%{y}: mean %{x:.3f}<extra></extra>",
            **_plotly.error_bars(means, "x"), **_plotly.on(place),
        })  # fmt: skip
        references = mine[mine["part"] == "reference"]
        shapes += [_plotly.line(place, x=float(value), dash="dash") for value in references["value"]]
        shapes.append(_plotly.line(place, x=0.5))
        marks += [_plotly.mark(place, float(row["value"]), str(row["arm"])) for row in references.to_dict("records")]
    axis = {"range": [_least(table), 1.02], "title": {"text": "balanced accuracy"}}
    y = {"type": "category", "range": [-0.6, len(names) - 0.1]}
    layout = _plotly.grid_layout(scorers_of(table), axis, y, shapes=shapes)
    layout["annotations"] += marks
    return {"data": found, "layout": {**layout, "height": 130 + 70 * max(3, len(names))}}


def _violin(rows: pd.DataFrame, name: str, architecture: str, place: int) -> dict[str, Any]:
    """One arm's latents as dots under half a violin."""
    latents, tint = rows[rows["part"] == "latent"], _plotly.role(architecture)
    return {
        "type": "violin", "orientation": "h", "side": "positive", "points": "all", "pointpos": -0.35, "jitter": 0.5,
        "width": 1.3, "x": latents["value"].round(4).tolist(), "y": [name] * len(latents), "name": name,
        "text": [f"{d}/{i}" for d, i in zip(latents["dictionary"], latents["latent"].astype(int), strict=True)],
        "hovertemplate": "%{text}: %{x:.3f}<extra></extra>", "hoveron": "points", "spanmode": "hard",
        "marker": {"size": 3, "opacity": 0.55, "color": tint}, "line": {"color": tint, "width": 1},
        "fillcolor": _plotly.role(architecture, 0.25), **_plotly.on(place),
    }  # fmt: skip
