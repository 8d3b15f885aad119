"""Differences between architectures, layer by layer and together, with the zone in which they count as equivalent."""

from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from autointerp.report.figures import _paper, _plotly
from autointerp.report.figures.base import GREY, INK, listed, scorers_of
from autointerp.report.run import ReportRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Differences between architectures"
SIZE: Literal["column", "page"] = "page"
NEEDS = "at least two dictionaries that can be compared"
KEPT = [
    "contrast", "scorer", "over", "layer", "k", "a", "b", "scope", "diff", "ci95_lo", "ci95_hi", "margin", "verdict",
    "n_a", "n_b",
]  # fmt: skip


def data(run: ReportRun) -> pd.DataFrame:
    """Comparisons over eligible latents; `low`, `high` are simultaneous over layers where there are several."""
    table = run.comparisons
    if table.empty:
        return pd.DataFrame()
    rows = table[table["population"] == "eligible"].copy()
    bands = [f"{name}_{side}" for name in ("band", "pi") for side in ("lo", "hi")]
    for name in bands:
        rows[name] = rows[name].astype(float) if name in rows else float("nan")
    rows = rows[[*KEPT, *bands]].assign(value=rows["diff"])
    rows["low"] = rows["band_lo"].fillna(rows["ci95_lo"])
    rows["high"] = rows["band_hi"].fillna(rows["ci95_hi"])
    rows = rows.sort_values(["contrast", "over", "layer"], kind="stable", key=_first_seen)
    rows["label"] = [_label(row) for row in rows.to_dict("records")]
    return rows.reset_index(drop=True)


def _first_seen(column: pd.Series) -> pd.Series:
    """Sort contrasts as they first come, pooled rows behind their layers, layers upwards."""
    if column.name == "layer":
        return column
    if column.name == "over":
        return column.ne("dictionaries")
    return column.map({name: at for at, name in enumerate(pd.unique(column))})


def _label(row: dict) -> str:
    contrast = str(row["contrast"]).replace(" - ", " \N{MINUS SIGN} ")
    if row["over"] == "layers":
        return f"{contrast}, all layers"
    if row["over"] not in ("dictionaries", ""):
        return f"{contrast}, over {row['over']}"
    return f"{contrast}, layer {int(row['layer'])}" if row["layer"] >= 0 else contrast


def caption(table: pd.DataFrame) -> str:
    """Say what the zone and the bars are, and each verdict."""
    margin = float(table["margin"].iloc[0])
    several = table["layer"].nunique() > 1 and bool(table["band_lo"].notna().any())
    kind = "simultaneous 95 % bands over layers" if several else "95 % intervals"
    verdicts = listed(
        [
            f"{row['label']} ({row['scorer']}) {row['value']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]: "
            f"{row['verdict'].replace('_', ' ')}"
            for row in table.to_dict("records")
        ]
    )
    pooled = (
        " Diamonds pool the layers; the thin line is where a further layer would lie."
        if (table["over"] == "layers").any()
        else ""
    )
    return (
        f"Difference of mean balanced accuracy over eligible latents, second minus first, with {kind}. Grey: within "
        f"{margin:g} of no difference, the zone of equivalence.{pooled} {verdicts}."
    )


def height(table: pd.DataFrame) -> float:
    """Grow with the number of rows."""
    return 0.7 + 0.2 * table["label"].nunique()


def draw(table: pd.DataFrame, figure: "Figure") -> None:
    """Draw one row per contrast and layer, one panel per scorer."""
    labels = list(dict.fromkeys(table["label"]))[::-1]
    margin = float(table["margin"].iloc[0])
    for axis, scorer in zip(_paper.panels(figure, scorers_of(table), sharex=True), scorers_of(table), strict=True):
        axis.axvspan(-margin, margin, color="#D9DCE1", linewidth=0, zorder=0)
        axis.axvline(0, color=GREY, linewidth=0.7, zorder=1)
        for row in table[table["scorer"] == scorer].to_dict("records"):
            at = labels.index(row["label"])
            axis.plot([row["pi_lo"], row["pi_hi"]], [at, at], color=GREY, linewidth=0.7)
            axis.plot([row["low"], row["high"]], [at, at], color=INK, linewidth=1.5, solid_capstyle="butt")
            axis.plot(row["value"], at, "D" if row["over"] == "layers" else "o", color=INK, markersize=4)
        axis.set_xlabel("difference in balanced accuracy")
        axis.locator_params(axis="x", nbins=5)
        axis.set_yticks(range(len(labels)), labels)
        axis.set_ylim(-0.6, len(labels) - 0.4)
        axis.tick_params(axis="y", length=0)


def interactive(table: pd.DataFrame) -> dict[str, Any]:
    """The same forest for the page."""
    margin, found, shapes = float(table["margin"].iloc[0]), [], []
    for place, scorer in enumerate(scorers_of(table)):
        rows = table[table["scorer"] == scorer].iloc[::-1]
        symbols = ["diamond" if over == "layers" else "circle" for over in rows["over"]]
        found.append({
            "type": "scatter", "mode": "markers", "x": rows["value"].round(4).tolist(), "y": rows["label"].tolist(),
            "text": rows["verdict"].str.replace("_", " ").tolist(),
            "hovertemplate": "%{x:+.3f}: %{text}<extra></extra>",
            "marker": {"color": "@ink", "size": 9, "symbol": symbols}, **_plotly.error_bars(rows, "x"),
            **_plotly.on(place),
        })  # fmt: skip
        shapes += [_plotly.zone(place, -margin, margin), _plotly.line(place, x=0.0, dash="solid")]
    n_rows = table["label"].nunique()
    y = {"type": "category", "range": [-0.6, n_rows - 0.4]}
    layout = _plotly.grid_layout(
        scorers_of(table), {"title": {"text": "difference in balanced accuracy"}}, y, shapes=shapes
    )
    return {"data": found, "layout": {**layout, "height": 110 + 32 * max(3, n_rows)}}
